// Logging in to a token without ever locking it.
#ifndef KEKD_HSM_PKCS11_USER_LOGIN_H_
#define KEKD_HSM_PKCS11_USER_LOGIN_H_

#include <sys/types.h>

#include <cstdint>
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

// UserLogin sends the PIN of a file to a token (C_Login, CKU_USER), by these rules, which hold
// across restarts and for all processes that share the folder of the log:
//  - one process at a time (PinLog::Lock), and none without having written down that it does;
//  - the token's flags are read before each try: none on CKF_USER_PIN_FINAL_TRY or
//    CKF_USER_PIN_LOCKED;
//  - a PIN is refused if the token says so, or answers with a code that is not known to be about
//    something else, or begins to count low (CKF_USER_PIN_COUNT_LOW) by what was sent. A refused
//    one is never sent again;
//  - one whose answer is unknown (the worker died) is sent once more at most, and one whose answer
//    is unclear (CKR_GENERAL_ERROR and its like) kMostUnclear times at most; neither is sent again
//    to a token that counts low. Of a file that has worked as it is now such answers say nothing,
//    unless the token counts low: a token in the network that is away gives them for hours.
// A file that is written anew holds another PIN. A credential always holds the same one, until an
// operator removes the log, which the error names. Not thread-safe.
class UserLogin final {
 public:
  struct Options {
    std::string pin_file;             // empty: there is no login
    std::optional<uid_t> file_owner;  // see WorkerConfig
    std::string pin_log_directory;
    bool pin_is_credential = false;  // see WorkerConfig
  };
  static constexpr size_t kMaxPinBytes = 255;
  static constexpr uint32_t kMostUnanswered = 2;
  static constexpr uint32_t kMostUnclear = 3;

  // `fs` outlives it.
  UserLogin(FileSystem& fs, Options options) : fs_(fs), options_(std::move(options)) {}

  // Logs in, if that is necessary. FailedPrecondition: an operator has to do something, which the
  // message says. Unavailable: the token did not answer as it should, nothing is known of the PIN;
  // or another process has been logging in for half of the time until `deadline` (MonotonicNow).
  absl::Status LogIn(const Module& module, const TokenInfo& token, CK_SESSION_HANDLE session,
                     absl::Time deadline);

  // Why it does not log in to this token now, if so; sends nothing. For people.
  std::string Problem(const TokenInfo& token) const;

 private:
  absl::StatusOr<SecretBytes> ReadPin(FileInfo* info) const;
  PinLog Log(const TokenInfo& token) const;
  // By which the log knows it: nothing of a credential.
  PinVersion NameInLog(const PinVersion& version) const;
  // What the log says of this version; an entry of nothing if it says nothing.
  static absl::StatusOr<PinLog::Entry> Find(const PinLog& log, const PinVersion& version);
  // With the token's lock.
  absl::Status Send(const Module& module, CK_SLOT_ID slot, CK_SESSION_HANDLE session,
                    absl::Time deadline, const PinLog& log);
  // The answer `rv` was a no: writes that down.
  absl::Status Refuse(const PinLog& log, PinLog::Entry entry, CK_RV rv);
  // `version`: of the file as it is, also of a credential.
  absl::Status Refusal(CK_FLAGS flags, const PinLog& log, const PinLog::Entry& entry,
                       const PinVersion& version) const;
  // What an operator has to do for the PIN to be sent again.
  std::string Remedy(const PinLog& log) const;

  FileSystem& fs_;
  const Options options_;
  // What the token refused, should the log not be writable then.
  std::optional<PinVersion> failed_;
};

// "ok", "count low", "final try", "locked", "to be changed", "none": the first that is so.
std::string PinState(CK_FLAGS token_flags);

}  // namespace kekd

#endif  // KEKD_HSM_PKCS11_USER_LOGIN_H_
