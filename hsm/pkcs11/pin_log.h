// What became of PINs, so that none that may be wrong is sent twice.
#ifndef KEKD_HSM_PKCS11_PIN_LOG_H_
#define KEKD_HSM_PKCS11_PIN_LOG_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/durable_file.h"
#include "base/file_system.h"
#include "hsm/token/token_uri.h"

namespace kekd {

// Which content of a PIN file is meant, without a word about the PIN: whoever writes the file anew
// changes one of these. Its rights, its owner and the machine's boot change none, so none of them
// makes a refused PIN a new one. All zero for a credential, which is another file with each start
// of its unit whatever it holds: its log is of its name.
struct PinVersion {
  uint64_t inode = 0;
  int64_t modified_ns = 0;
  uint64_t size = 0;

  friend bool operator==(const PinVersion& a, const PinVersion& b) {
    return a.inode == b.inode && a.modified_ns == b.modified_ns && a.size == b.size;
  }
};

// PinLog is a small file in a folder of kekd's state, one per token and one more per token and
// credential: which PINs were sent and what came of it. It is written, durably, before a PIN is
// sent, so that a worker that dies meanwhile leaves a trace; and again after the answer. Several
// processes share it: who reads in order to write, or sends a PIN, holds Lock() meanwhile. Not
// thread-safe.
class PinLog final {
 public:
  enum class Outcome : uint8_t {
    kTried = 1,   // the token has said neither yes nor no
    kFailed = 2,  // the token said no
    kWorked = 3,
  };
  struct Entry {
    PinVersion pin;
    Outcome outcome = Outcome::kTried;
    uint32_t unanswered = 0;  // how often it was sent and the answer is not known
    uint32_t unclear = 0;     // how often the answer did not tell whether the PIN was judged
    // The file as it was when its PIN was right last, for a credential too; all zero: never.
    PinVersion worked = {};
  };
  // Two keyrings on one token may have two PIN files; and an operator tries a few contents.
  static constexpr size_t kMostEntries = 16;

  // `fs` outlives it. `credential` is its name, or empty for PINs from files.
  PinLog(FileSystem& fs, std::string directory, const TokenSelector& token,
         const std::string& credential = "");

  // The lock of the token, whichever PIN is sent to it; makes the folder (0700) if there is none.
  // Unavailable if another process still has it at `deadline` (MonotonicNow).
  absl::StatusOr<std::unique_ptr<FileLock>> Lock(absl::Time deadline) const;
  // The last one written comes first; none if nothing was ever tried. DataLoss if the file is
  // damaged (then nothing is sent).
  absl::StatusOr<std::vector<Entry>> Read() const;
  // Takes the place of the entry of the same version. With kMostEntries others the oldest that
  // worked goes, or else the oldest.
  absl::Status Write(const Entry& entry) const;
  const std::string& path() const { return path_; }

 private:
  // What root makes belongs to the owner of the folder above, or the daemon could not use it.
  absl::StatusOr<DurableFileOptions> FileOptions() const;

  FileSystem& fs_;
  const std::string directory_;
  const std::string path_;
  const std::string lock_path_;
};

}  // namespace kekd

#endif  // KEKD_HSM_PKCS11_PIN_LOG_H_
