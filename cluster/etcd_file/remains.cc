#include "cluster/etcd_file/remains.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "base/wire_reader.h"

namespace kekd {
namespace {

constexpr char kKeyTag = 0x0a;
// A key of 2 MiB has a length of three bytes.
constexpr size_t kMaxLengthBytes = 3;

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

}  // namespace

absl::Status RemainsFinder::VisitAt(absl::string_view remains, absl::string_view prefix) const {
  remains.remove_prefix(1);
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
      return visit_(found);
    }
    if (type != 0) return absl::OkStatus();
    const std::optional<uint64_t> number_value = TakeVarint(remains);
    if (!number_value) return absl::OkStatus();
    if (number == 3) found.mod_revision = static_cast<int64_t>(*number_value);
  }
  return absl::OkStatus();
}

absl::Status RemainsFinder::Search(absl::string_view bytes, size_t limit) const {
  for (const std::string& prefix : prefixes_) {
    const size_t end = std::min(bytes.size(), limit + 1 + kMaxLengthBytes + prefix.size());
    for (size_t from = 0; from < end;) {
      const void* hit = ::memmem(bytes.data() + from, end - from, prefix.data(), prefix.size());
      if (hit == nullptr) break;
      const size_t at = static_cast<size_t>(static_cast<const char*>(hit) - bytes.data());
      from = at + 1;
      const std::optional<size_t> begin = FieldBegin(bytes, at);
      if (begin && *begin < limit) KEKD_RETURN_IF_ERROR(VisitAt(bytes.substr(*begin), prefix));
    }
  }
  return absl::OkStatus();
}

absl::Status RemainsFinder::SearchFile(const RandomAccessFile& file, uint64_t begin, uint64_t end,
                                       GapList& gaps, absl::FunctionRef<void(uint64_t)> on_bytes) {
  size_t kept = 0;  // bytes at `begin` that are in the buffer
  while (begin < end) {
    const size_t size = static_cast<size_t>(std::min<uint64_t>(end - begin, 2 * kMaxValue));
    const absl::Span<char> window = buffer_.Resize(size, kept);
    const absl::StatusOr<size_t> got = file.ReadAt(begin + kept, window.subspan(kept));
    const bool last = size == end - begin;
    const size_t limit = last ? size : kMaxValue;
    if (got.ok() && *got == size - kept) {
      KEKD_RETURN_IF_ERROR(Search(absl::string_view(window.data(), size), limit));
      kept = size - limit;
      std::memmove(window.data(), window.data() + limit, kept);
    } else {
      gaps.Add({.what = absl::StrCat("bytes ", begin, " to ", begin + limit, " of ", file.path()),
                .why = got.ok() ? "the file ends in them" : std::string(got.status().message()),
                .cure = "remains may lie there: look at the disk, and read again"});
      kept = 0;
    }
    on_bytes(limit);
    begin += limit;
  }
  return absl::OkStatus();
}

}  // namespace kekd
