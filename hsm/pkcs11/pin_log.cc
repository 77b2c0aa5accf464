#include "hsm/pkcs11/pin_log.h"

#include <algorithm>
#include <cinttypes>
#include <cstdio>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/durable_file.h"
#include "base/status_macros.h"

namespace kekd {
namespace {

constexpr size_t kMaxFileBytes = 4096;

// A file name that tells a reader which token it is of: bytes other than letters, digits, '-' and
// '_' become %XX. Serial number and label are 16 and 32 bytes at most.
std::string FileName(const TokenSelector& token) {
  std::string name;
  for (const std::string* const part : {&token.serial, &token.label}) {
    if (!name.empty()) name += '.';
    if (part->empty()) name += '-';
    for (const char c : *part) {
      if (absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_') {
        name += c;
      } else {
        absl::StrAppend(&name, absl::StrFormat("%%%02X", static_cast<unsigned char>(c)));
      }
    }
  }
  return absl::StrCat(name, ".pin");
}

// CRC-32 (IEEE 802.3): against a damaged disk, not against a person.
uint32_t Checksum(absl::string_view text) {
  uint32_t crc = 0xffffffff;
  for (const char c : text) {
    crc ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (0xedb88320 & (0 - (crc & 1)));
  }
  return ~crc;
}

constexpr absl::string_view kOutcomes[] = {"", "tried", "failed", "worked"};

std::string Encode(const PinLog::Entry& entry) {
  const PinVersion& pin = entry.pin;
  std::string text = absl::StrFormat(
      "kekd-pin-log 1\noutcome %s\ndevice %d\ninode %d\nmodified_ns %d\nchanged_ns %d\nsize %d\n",
      kOutcomes[static_cast<size_t>(entry.outcome)], pin.device, pin.inode, pin.modified_ns,
      pin.changed_ns, pin.size);
  absl::StrAppend(&text, absl::StrFormat("crc32 %08x\n", Checksum(text)));
  return text;
}

std::optional<PinLog::Entry> Decode(const std::string& text) {
  PinLog::Entry entry;
  PinVersion& pin = entry.pin;
  char outcome[8] = "";
  if (sscanf(text.c_str(),
             "kekd-pin-log 1 outcome %7s device %" SCNu64 " inode %" SCNu64 " modified_ns %" SCNd64
             " changed_ns %" SCNd64 " size %" SCNu64,
             outcome, &pin.device, &pin.inode, &pin.modified_ns, &pin.changed_ns, &pin.size) != 6) {
    return std::nullopt;
  }
  const auto* const found =
      std::find(std::begin(kOutcomes) + 1, std::end(kOutcomes), absl::string_view(outcome));
  if (found == std::end(kOutcomes)) return std::nullopt;
  entry.outcome = static_cast<PinLog::Outcome>(found - std::begin(kOutcomes));
  // Exactly what we would have written, its checksum too.
  if (Encode(entry) != text) return std::nullopt;
  return entry;
}

}  // namespace

PinLog::PinLog(FileSystem& fs, std::string directory, const TokenSelector& token)
    : fs_(fs), directory_(std::move(directory)), path_(JoinPath(directory_, FileName(token))) {}

absl::StatusOr<std::optional<PinLog::Entry>> PinLog::Read() const {
  const absl::StatusOr<std::string> text = fs_.ReadFile(path_, kMaxFileBytes);
  if (absl::IsNotFound(text.status())) return std::optional<Entry>();
  if (!text.ok() && !absl::IsOutOfRange(text.status())) return text.status();
  if (text.ok()) {
    std::optional<Entry> entry = Decode(*text);
    if (entry.has_value()) return entry;
  }
  return absl::DataLossError(absl::StrCat(
      path_,
      ", which remembers what came of the last PIN, is damaged; make sure that the PIN file "
      "has the right PIN and remove it"));
}

absl::Status PinLog::Write(const Entry& entry) {
  const absl::Status made = fs_.CreateDirectory(directory_, 0700);
  if (!made.ok() && !absl::IsAlreadyExists(made)) return made;
  if (made.ok()) KEKD_RETURN_IF_ERROR(fs_.SyncDirectory(DirectoryOf(directory_)));
  return ReplaceFileDurably(fs_, path_, AsBytes(Encode(entry)), {});
}

}  // namespace kekd
