// Logging in to a token without ever locking it.
#ifndef KEKD_HSM_PKCS11_USER_LOGIN_H_
#define KEKD_HSM_PKCS11_USER_LOGIN_H_

#include <sys/types.h>

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/file_system.h"
#include "base/secret_bytes.h"
#include "hsm/pkcs11/cryptoki.h"
#include "hsm/pkcs11/module.h"
#include "hsm/pkcs11/pin_log.h"

namespace kekd {

// UserLogin sends the PIN of a file to a token (C_Login, CKU_USER), by these rules: the token's
// flags are read before each try; none on CKF_USER_PIN_FINAL_TRY or CKF_USER_PIN_LOCKED; a content
// of the PIN file that the token has refused is not sent again, by this or a later process; one
// that somebody was sending when he died is not sent while the token counts a failure. What keeps
// it from logging in is told once and ends by itself when the file changes. Not thread-safe.
class UserLogin final {
 public:
  struct Options {
    std::string pin_file;             // empty: there is no login
    std::optional<uid_t> file_owner;  // see WorkerConfig
    std::string pin_log_directory;
    bool pin_is_credential = false;  // see WorkerConfig
  };
  static constexpr size_t kMaxPinBytes = 255;

  // `fs` outlives it.
  UserLogin(FileSystem& fs, Options options) : fs_(fs), options_(std::move(options)) {}

  // Logs in, if that is necessary. FailedPrecondition: an operator has to do something, which the
  // message says. Unavailable: the token did not answer as it should, nothing is known of the PIN.
  absl::Status LogIn(const Module& module, const TokenInfo& token, CK_SESSION_HANDLE session,
                     absl::Time deadline);

  // Why it does not log in to this token now, if so; sends nothing. For people.
  std::string Problem(const TokenInfo& token) const;

 private:
  absl::StatusOr<SecretBytes> ReadPin(FileInfo* info) const;
  absl::Status Send(const Module& module, CK_SLOT_ID slot, CK_SESSION_HANDLE session,
                    absl::Time deadline, PinLog& log, const std::optional<PinLog::Entry>& entry);
  absl::Status Refusal(const TokenInfo& token, const PinVersion& version,
                       const std::optional<PinLog::Entry>& entry) const;

  FileSystem& fs_;
  const Options options_;
  // What the token refused, should the log not be writable then.
  std::optional<PinVersion> failed_;
};

// "ok", "count low", "final try", "locked", "to be changed", "none": the first that is so.
std::string PinState(CK_FLAGS token_flags);

}  // namespace kekd

#endif  // KEKD_HSM_PKCS11_USER_LOGIN_H_
