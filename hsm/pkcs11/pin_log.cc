#include "hsm/pkcs11/pin_log.h"

#include <errno.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <initializer_list>
#include <optional>
#include <thread>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "base/durable_file.h"
#include "base/monotonic.h"
#include "base/posix_error.h"
#include "base/status_macros.h"

namespace kekd {
namespace {

constexpr size_t kMaxFileBytes = 4096;
constexpr absl::Duration kPause = absl::Milliseconds(20);

// A file name that tells a reader which token it is of: bytes other than letters, digits, '-' and
// '_' become %XX. Serial number and label are 16 and 32 bytes at most; a credential's name that is
// too long for the file system is an error of the first write, before anything is sent.
std::string NameOf(std::initializer_list<const std::string*> parts) {
  std::string name;
  for (const std::string* const part : parts) {
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
  return name;
}

// CRC-32 (IEEE 802.3): against a damaged disk, not against a person.
uint32_t Checksum(absl::string_view text) {
  return static_cast<uint32_t>(
      crc32_z(0, reinterpret_cast<const Bytef*>(text.data()), text.size()));
}

constexpr absl::string_view kOutcomes[] = {"", "tried", "failed", "worked"};

std::string Encode(const std::vector<PinLog::Entry>& entries) {
  std::string text = "kekd-pin-log 2\n";
  for (const PinLog::Entry& entry : entries) {
    absl::StrAppend(
        &text,
        absl::StrFormat(
            "inode %d modified_ns %d size %d outcome %s unanswered %d unclear %d worked %d %d %d\n",
            entry.pin.inode, entry.pin.modified_ns, entry.pin.size,
            kOutcomes[static_cast<size_t>(entry.outcome)], entry.unanswered, entry.unclear,
            entry.worked.inode, entry.worked.modified_ns, entry.worked.size));
  }
  absl::StrAppend(&text, absl::StrFormat("crc32 %08x\n", Checksum(text)));
  return text;
}

std::optional<std::vector<PinLog::Entry>> Decode(const std::string& text) {
  std::vector<PinLog::Entry> entries;
  const std::vector<std::string> lines = absl::StrSplit(text, '\n');
  // The first line, the checksum and what is after its line end are no entries.
  for (size_t i = 1; i + 2 < lines.size(); ++i) {
    PinLog::Entry entry;
    PinVersion& pin = entry.pin;
    PinVersion& worked = entry.worked;
    char outcome[8] = "";
    if (sscanf(lines[i].c_str(),
               "inode %" SCNu64 " modified_ns %" SCNd64 " size %" SCNu64
               " outcome %7s unanswered %" SCNu32 " unclear %" SCNu32 " worked %" SCNu64 " %" SCNd64
               " %" SCNu64,
               &pin.inode, &pin.modified_ns, &pin.size, outcome, &entry.unanswered, &entry.unclear,
               &worked.inode, &worked.modified_ns, &worked.size) != 9) {
      return std::nullopt;
    }
    const auto* const found =
        std::find(std::begin(kOutcomes) + 1, std::end(kOutcomes), absl::string_view(outcome));
    if (found == std::end(kOutcomes)) return std::nullopt;
    entry.outcome = static_cast<PinLog::Outcome>(found - std::begin(kOutcomes));
    entries.push_back(entry);
  }
  // Exactly what we would have written, its checksum too.
  if (entries.empty() || Encode(entries) != text) return std::nullopt;
  return entries;
}

}  // namespace

PinLog::PinLog(FileSystem& fs, std::string directory, const TokenSelector& token,
               const std::string& credential)
    : fs_(fs),
      directory_(std::move(directory)),
      path_(JoinPath(
          directory_,
          absl::StrCat(credential.empty() ? NameOf({&token.serial, &token.label})
                                          : NameOf({&token.serial, &token.label, &credential}),
                       ".pin"))),
      lock_path_(
          JoinPath(directory_, absl::StrCat(NameOf({&token.serial, &token.label}), ".lock"))) {}

absl::StatusOr<DurableFileOptions> PinLog::FileOptions() const {
  DurableFileOptions options{.mode = 0600};
  if (geteuid() != 0) return options;
  KEKD_ASSIGN_OR_RETURN(const FileInfo above, fs_.GetInfo(DirectoryOf(directory_)));
  options.owner = above.owner;
  options.group = above.group;
  return options;
}

absl::StatusOr<std::unique_ptr<FileLock>> PinLog::Lock(absl::Time deadline) const {
  const absl::Status made = fs_.CreateDirectory(directory_, 0700);
  if (!made.ok() && !absl::IsAlreadyExists(made)) return made;
  KEKD_ASSIGN_OR_RETURN(const DurableFileOptions options, FileOptions());
  if (options.owner.has_value()) {
    // Also if it is there: whoever made it may have been killed before this.
    KEKD_ASSIGN_OR_RETURN(const FileInfo info, fs_.GetInfo(directory_));
    if (info.owner == 0 && *options.owner != 0 &&
        lchown(directory_.c_str(), *options.owner, *options.group) != 0) {
      return PosixError(errno, absl::StrCat("chown ", directory_));
    }
  }
  if (made.ok()) KEKD_RETURN_IF_ERROR(fs_.SyncDirectory(DirectoryOf(directory_)));
  for (;;) {
    absl::StatusOr<std::unique_ptr<FileLock>> lock = fs_.Lock(lock_path_, options.mode);
    if (lock.ok() && options.owner.has_value()) {
      KEKD_RETURN_IF_ERROR((*lock)->SetOwnerAndMode(*options.owner, *options.group, options.mode));
    }
    if (!absl::IsUnavailable(lock.status())) return lock;
    if (MonotonicNow() + kPause > deadline) {
      return absl::UnavailableError(
          absl::StrCat("another process is logging in to the token: ", lock.status().message()));
    }
    std::this_thread::sleep_for(absl::ToChronoNanoseconds(kPause));
  }
}

absl::StatusOr<std::vector<PinLog::Entry>> PinLog::Read() const {
  const absl::StatusOr<std::string> text = fs_.ReadFile(path_, kMaxFileBytes);
  if (absl::IsNotFound(text.status())) return std::vector<Entry>();
  if (!text.ok() && !absl::IsOutOfRange(text.status())) return text.status();
  if (text.ok()) {
    std::optional<std::vector<Entry>> entries = Decode(*text);
    if (entries.has_value()) return *std::move(entries);
  }
  return absl::DataLossError(absl::StrCat(
      path_,
      ", which remembers what came of the last PINs, is damaged; make sure that what kekd reads "
      "is the right PIN and remove it"));
}

absl::Status PinLog::Write(const Entry& entry) const {
  KEKD_ASSIGN_OR_RETURN(std::vector<Entry> entries, Read());
  entries.erase(std::remove_if(entries.begin(), entries.end(),
                               [&](const Entry& other) { return other.pin == entry.pin; }),
                entries.end());
  if (entries.size() >= kMostEntries) {
    const auto worked = std::find_if(entries.rbegin(), entries.rend(), [](const Entry& other) {
      return other.outcome == Outcome::kWorked;
    });
    entries.erase(worked == entries.rend() ? entries.end() - 1 : worked.base() - 1);
  }
  entries.insert(entries.begin(), entry);
  KEKD_ASSIGN_OR_RETURN(const DurableFileOptions options, FileOptions());
  return ReplaceFileDurably(fs_, path_, AsBytes(Encode(entries)), options);
}

}  // namespace kekd
