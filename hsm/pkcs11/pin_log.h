// PINs that failed, so that none is sent twice.
#ifndef KEKD_HSM_PKCS11_PIN_LOG_H_
#define KEKD_HSM_PKCS11_PIN_LOG_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/file_system.h"
#include "hsm/token/token_uri.h"

namespace kekd {

// Which content of a PIN file is meant, without a word about the PIN: whoever writes it anew
// changes one of these.
struct PinVersion {
  uint64_t device = 0;
  uint64_t inode = 0;
  int64_t modified_ns = 0;
  int64_t changed_ns = 0;  // st_ctim: can't be set back by touch(1)
  uint64_t size = 0;

  friend bool operator==(const PinVersion& a, const PinVersion& b) {
    return a.device == b.device && a.inode == b.inode && a.modified_ns == b.modified_ns &&
           a.changed_ns == b.changed_ns && a.size == b.size;
  }
};

// PinLog is one small file per token in a folder of kekd's state: which PIN was tried last and what
// came of it. It is written, durably, before a PIN is sent, so that a worker that dies meanwhile
// leaves a trace; and again after the answer. Not thread-safe.
class PinLog final {
 public:
  enum class Outcome : uint8_t {
    kTried = 1,   // sent, the answer is not known
    kFailed = 2,  // the token said no
    kWorked = 3,
  };
  struct Entry {
    PinVersion pin;
    Outcome outcome = Outcome::kTried;
  };

  // `fs` outlives it. The folder is made (0700) when something is first written.
  PinLog(FileSystem& fs, std::string directory, const TokenSelector& token);
  // None if nothing was ever tried. DataLoss if the file is damaged (then nothing is sent).
  absl::StatusOr<std::optional<Entry>> Read() const;
  absl::Status Write(const Entry& entry);
  const std::string& path() const { return path_; }

 private:
  FileSystem& fs_;
  const std::string directory_;
  const std::string path_;
};

}  // namespace kekd

#endif  // KEKD_HSM_PKCS11_PIN_LOG_H_
