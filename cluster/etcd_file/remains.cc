#include "cluster/etcd_file/remains.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/status_macros.h"
#include "base/wire_reader.h"
#include "cluster/storage_value.h"

namespace kekd {
namespace {

constexpr char kKeyTag = 0x0a;
// A key of 2 MiB has a length of three bytes.
constexpr size_t kMaxLengthBytes = 3;
// How an object begins that Kubernetes stores as protobuf in clear: a runtime.Unknown behind its
// magic, whose first field is the type.
constexpr absl::string_view kBare("k8s\0\x0a", 5);

// The length-delimited field at the front of `bytes`, or as much of it as there is.
struct CutField {
  absl::string_view content;
  bool whole = true;
};

std::optional<CutField> TakeField(absl::string_view& bytes) {
  const std::optional<uint64_t> length = TakeVarint(bytes);
  if (!length) return std::nullopt;
  const CutField field = {.content = bytes.substr(0, static_cast<size_t>(*length)),
                          .whole = *length <= bytes.size()};
  bytes.remove_prefix(field.content.size());
  return field;
}

// Where "0x0a <length>" begins that ends at `key`; none if there is no such thing.
std::optional<size_t> FieldBegin(absl::string_view bytes, size_t key) {
  for (size_t count = 1; count <= kMaxLengthBytes && count + 1 <= key; ++count) {
    if (bytes[key - count - 1] != kKeyTag) continue;
    absl::string_view length = bytes.substr(key - count, count);
    if (TakeVarint(length) && length.empty()) return key - count - 1;
  }
  return std::nullopt;
}

// A runtime.TypeMeta: an API version and a kind, and nothing else.
bool IsTypeMeta(absl::string_view message) {
  for (const char tag : {'\x0a', '\x12'}) {
    if (message.empty() || message[0] != tag) return false;
    message.remove_prefix(1);
    const std::optional<CutField> field = TakeField(message);
    const bool is_name = field && field->whole && !field->content.empty() &&
                         std::all_of(field->content.begin(), field->content.end(),
                                     [](char c) { return c > ' ' && c <= '~'; });
    if (!is_name) return false;
  }
  return message.empty();
}

// What is looked for, and where it comes next.
struct Pattern {
  explicit Pattern(absl::string_view what) : text(what) {}

  // The first one from `from` and from `skipped`; none is npos.
  void FindNext(absl::string_view bytes, size_t skipped) {
    from = std::max(from, skipped);
    // npos is behind everything: there is none from here on either.
    if (is_known && at >= from) return;
    is_known = true;
    at = absl::string_view::npos;
    if (from >= bytes.size()) return;
    const void* hit = ::memmem(bytes.data() + from, bytes.size() - from, text.data(), text.size());
    if (hit != nullptr) at = static_cast<size_t>(static_cast<const char*>(hit) - bytes.data());
  }

  absl::string_view text;
  size_t from = 0;
  size_t at = 0;
  bool is_known = false;
};

}  // namespace

absl::Status RemainsFinder::HandOver(absl::string_view bytes, StoredObject found,
                                     Handed& handed) const {
  const size_t begin = static_cast<size_t>(found.value.data() - bytes.data());
  if (!found.whole || (begin < handed.whole && found.value.size() > kMaxBeginning)) {
    found.value = found.value.substr(0, kMaxBeginning);
    found.whole = false;
  }
  const size_t end = begin + found.value.size();
  handed.begun = std::max(handed.begun, std::min(end, begin + kMaxBeginning));
  if (found.whole) {
    handed.whole = std::max(handed.whole, end);
    // Else something was written over it, and may be found in it.
    if (ClassifyValue(found.value).decodable()) handed.sound = std::max(handed.sound, end);
  }
  return visit_(found);
}

absl::Status RemainsFinder::VisitKeyed(absl::string_view bytes, size_t at, absl::string_view prefix,
                                       Handed& handed) const {
  absl::string_view remains = bytes.substr(at + 1);
  const std::optional<CutField> key = TakeField(remains);
  if (!key || !key->whole || key->content.size() < prefix.size()) return absl::OkStatus();
  StoredObject found = {.key = key->content, .place = place_};
  // Both messages are written in the order of their fields: a KeyValue has its revisions, the
  // version and then the value, a PutRequest has the value as its second field.
  for (int last = 1; !remains.empty();) {
    const int number = static_cast<uint8_t>(remains[0]) >> 3;
    const int type = static_cast<uint8_t>(remains[0]) & 7;
    const bool is_put = number == 2 && type == 2;
    remains.remove_prefix(1);
    if (number <= last || number > 5) return absl::OkStatus();
    last = number;
    if (is_put || (number == 5 && type == 2)) {
      const std::optional<CutField> value = TakeField(remains);
      if (!value || (value->content.empty() && !value->whole)) return absl::OkStatus();
      // A RangeRequest has the end of its range there, which is no object.
      if (is_put && absl::StartsWith(value->content, prefix)) return absl::OkStatus();
      found.value = value->content;
      found.whole = value->whole;
      return HandOver(bytes, found, handed);
    }
    if (type != 0) return absl::OkStatus();
    const std::optional<uint64_t> number_value = TakeVarint(remains);
    if (!number_value) return absl::OkStatus();
    if (number == 3) found.mod_revision = static_cast<int64_t>(*number_value);
  }
  return absl::OkStatus();
}

absl::Status RemainsFinder::VisitBare(absl::string_view bytes, size_t at, Handed& handed) const {
  absl::string_view remains = bytes.substr(at + kBare.size());
  std::optional<CutField> field = TakeField(remains);
  if (!field || !field->whole || !IsTypeMeta(field->content)) return absl::OkStatus();
  // The object itself, and then two fields that Kubernetes writes and leaves empty.
  if (!absl::ConsumePrefix(&remains, "\x12")) return absl::OkStatus();
  field = TakeField(remains);
  if (!field) return absl::OkStatus();
  if (field->whole && absl::ConsumePrefix(&remains, absl::string_view("\x1a\0", 2))) {
    absl::ConsumePrefix(&remains, absl::string_view("\x22\0", 2));
  }
  const size_t size = bytes.size() - at - remains.size();
  return HandOver(bytes, {.value = bytes.substr(at, size), .place = place_, .whole = field->whole},
                  handed);
}

absl::Status RemainsFinder::Search(absl::string_view bytes, size_t limit, Handed& handed) const {
  std::vector<Pattern> patterns(prefixes_.begin(), prefixes_.end());
  patterns.emplace_back(kBare);
  for (;;) {
    // In the order of the bytes, so that a value comes before what lies in it.
    Pattern* first = nullptr;
    for (Pattern& pattern : patterns) {
      const bool is_bare = pattern.text == kBare;
      const size_t end =
          std::min(bytes.size(), limit + pattern.text.size() + (is_bare ? 0 : 1 + kMaxLengthBytes));
      pattern.FindNext(bytes.substr(0, end), handed.sound);
      if (first == nullptr || pattern.at < first->at) first = &pattern;
    }
    if (first->at == absl::string_view::npos) return absl::OkStatus();
    const size_t at = first->at;
    first->from = at + 1;
    if (first->text == kBare) {
      if (at < limit && at >= handed.begun) {
        KEKD_RETURN_IF_ERROR(VisitBare(bytes, at, handed));
      }
    } else if (const std::optional<size_t> begin = FieldBegin(bytes, at); begin && *begin < limit) {
      KEKD_RETURN_IF_ERROR(VisitKeyed(bytes, *begin, first->text, handed));
    }
  }
}

absl::Status RemainsFinder::SearchFile(const RandomAccessFile& file, uint64_t begin, uint64_t end,
                                       GapList& gaps, absl::FunctionRef<void(uint64_t)> on_bytes) {
  size_t kept = 0;  // bytes at `begin` that are in the buffer
  Handed handed;    // of what begins there
  const auto less = [](size_t at, size_t bytes) { return at - std::min(at, bytes); };
  while (begin < end) {
    const size_t size = static_cast<size_t>(std::min<uint64_t>(end - begin, 2 * kMaxValue));
    const absl::Span<char> window = buffer_.Resize(size, kept);
    const absl::StatusOr<size_t> got = file.ReadAt(begin + kept, window.subspan(kept));
    const bool last = size == end - begin;
    const size_t limit = last ? size : kMaxValue;
    if (got.ok() && *got == size - kept) {
      KEKD_RETURN_IF_ERROR(Search(absl::string_view(window.data(), size), limit, handed));
      handed = {.sound = less(handed.sound, limit),
                .whole = less(handed.whole, limit),
                .begun = less(handed.begun, limit)};
      kept = size - limit;
      std::memmove(window.data(), window.data() + limit, kept);
    } else {
      gaps.Add({.what = absl::StrCat("bytes ", begin, " to ", begin + limit, " of ", file.path()),
                .why = got.ok() ? "the file ends in them" : std::string(got.status().message()),
                .cure = "remains may lie there: look at the disk, and read again"});
      kept = 0;
      handed = {};
    }
    on_bytes(limit);
    begin += limit;
  }
  return absl::OkStatus();
}

}  // namespace kekd
