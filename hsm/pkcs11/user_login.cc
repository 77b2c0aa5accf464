#include "hsm/pkcs11/user_login.h"

#include <unistd.h>

#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/monotonic.h"
#include "base/private_file.h"
#include "base/secret_bytes.h"
#include "base/status_macros.h"
#include "hsm/pkcs11/cryptoki_status.h"

namespace kekd {
namespace {

constexpr absl::Duration kPause = absl::Milliseconds(50);

// What an answer other than CKR_OK says about the PIN.
enum class Verdict : uint8_t { kNotJudged, kUnclear, kRefused };

Verdict VerdictOf(CK_RV rv) {
  switch (rv) {
    // SoftHSM 2.6 says the first one when another process logs in at the same moment; but a module
    // may say any of them of a wrong PIN.
    case CKR_GENERAL_ERROR:
    case CKR_FUNCTION_FAILED:
    case CKR_DEVICE_ERROR:
      return Verdict::kUnclear;
    // The call did not come so far as to the PIN.
    case CKR_HOST_MEMORY:
    case CKR_SLOT_ID_INVALID:
    case CKR_DEVICE_MEMORY:
    case CKR_DEVICE_REMOVED:
    case CKR_FUNCTION_CANCELED:
    case CKR_OPERATION_NOT_INITIALIZED:
    case CKR_SESSION_CLOSED:
    case CKR_SESSION_COUNT:
    case CKR_SESSION_HANDLE_INVALID:
    case CKR_SESSION_PARALLEL_NOT_SUPPORTED:
    case CKR_SESSION_READ_ONLY:
    case CKR_SESSION_EXISTS:
    case CKR_SESSION_READ_ONLY_EXISTS:
    case CKR_SESSION_READ_WRITE_SO_EXISTS:
    case CKR_TOKEN_NOT_PRESENT:
    case CKR_TOKEN_NOT_RECOGNIZED:
    case CKR_TOKEN_WRITE_PROTECTED:
    case CKR_USER_ALREADY_LOGGED_IN:
    case CKR_USER_ANOTHER_ALREADY_LOGGED_IN:
    case CKR_USER_TOO_MANY_TYPES:
    case CKR_CRYPTOKI_NOT_INITIALIZED:
    case CKR_CRYPTOKI_ALREADY_INITIALIZED:
      return Verdict::kNotJudged;
    // Whatever else, vendors' own codes too, may be what the token says of a wrong PIN.
    default:
      return Verdict::kRefused;
  }
}

PinVersion VersionOf(const FileInfo& info) {
  return {.inode = info.inode, .modified_ns = info.modified_ns, .size = info.size};
}

// What the token's flags forbid, whatever the PIN.
absl::Status CheckFlags(CK_FLAGS flags) {
  if (flags & CKF_PROTECTED_AUTHENTICATION_PATH) {
    return absl::FailedPreconditionError(
        "the token takes its PIN on a pad of its own (CKF_PROTECTED_AUTHENTICATION_PATH): kekd "
        "can't log in to it by itself after a restart, so it does not use such tokens");
  }
  if (!(flags & CKF_USER_PIN_INITIALIZED)) {
    return absl::FailedPreconditionError(
        "the token has no user PIN yet (CKF_USER_PIN_INITIALIZED is not set): set one with the "
        "vendor's tool");
  }
  if (flags & CKF_USER_PIN_LOCKED) {
    return absl::FailedPreconditionError(
        "the token's user PIN is locked (CKF_USER_PIN_LOCKED): unlock it with the security "
        "officer's PIN, then write the right user PIN into the PIN file");
  }
  if (flags & CKF_USER_PIN_FINAL_TRY) {
    return absl::FailedPreconditionError(
        "one more wrong PIN would lock the token (CKF_USER_PIN_FINAL_TRY), so kekd sends none: log "
        "in once by hand with the right PIN (pkcs11-tool --login), which takes the flag back");
  }
  return absl::OkStatus();
}

bool IsLoggedIn(const Module& module, CK_SESSION_HANDLE session) {
  CK_SESSION_INFO info = {};
  return module->C_GetSessionInfo(session, &info) == CKR_OK &&
         (info.state == CKS_RO_USER_FUNCTIONS || info.state == CKS_RW_USER_FUNCTIONS);
}

}  // namespace

std::string PinState(CK_FLAGS flags) {
  if (!(flags & CKF_USER_PIN_INITIALIZED)) return "none";
  if (flags & CKF_USER_PIN_LOCKED) return "locked";
  if (flags & CKF_USER_PIN_FINAL_TRY) return "final try";
  if (flags & CKF_USER_PIN_COUNT_LOW) return "count low";
  if (flags & CKF_USER_PIN_TO_BE_CHANGED) return "to be changed";
  return "ok";
}

PinLog UserLogin::Log(const TokenInfo& token) const {
  const std::string& file = options_.pin_file;
  return PinLog(fs_, options_.pin_log_directory, token.token,
                options_.pin_is_credential ? file.substr(file.rfind('/') + 1) : "");
}

PinVersion UserLogin::NameInLog(const PinVersion& version) const {
  return options_.pin_is_credential ? PinVersion() : version;
}

absl::StatusOr<PinLog::Entry> UserLogin::Find(const PinLog& log, const PinVersion& version) {
  KEKD_ASSIGN_OR_RETURN(const std::vector<PinLog::Entry> entries, log.Read());
  for (const PinLog::Entry& entry : entries) {
    if (entry.pin == version) return entry;
  }
  return PinLog::Entry{.pin = version};
}

std::string UserLogin::Remedy(const PinLog& log) const {
  if (!options_.pin_is_credential) {
    return absl::StrCat("write the right one into ", options_.pin_file);
  }
  return absl::StrCat("remove ", log.path(), " once the credential holds the right PIN");
}

absl::Status UserLogin::Refusal(CK_FLAGS flags, const PinLog& log, const PinLog::Entry& entry,
                                const PinVersion& version) const {
  KEKD_RETURN_IF_ERROR(CheckFlags(flags));
  if (entry.outcome == PinLog::Outcome::kFailed || failed_ == entry.pin) {
    return absl::FailedPreconditionError(
        absl::StrCat("the token has refused the PIN in ", options_.pin_file,
                     "; it is not sent again, so that the token is not locked: ", Remedy(log)));
  }
  const bool counts = (flags & CKF_USER_PIN_COUNT_LOW) != 0;
  if (entry.worked == version && !counts) return absl::OkStatus();
  const absl::string_view why =
      counts ? ", and the token counts a wrong PIN (CKF_USER_PIN_COUNT_LOW)" : "";
  if (entry.unanswered >= (counts ? 1 : kMostUnanswered)) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the PIN in ", options_.pin_file, " was sent before, the answer is not known (",
        entry.unanswered, " times)", why, ": it is not sent again: ", Remedy(log)));
  }
  if (entry.unclear >= (counts ? 1 : kMostUnclear)) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the token has answered ", entry.unclear, " times to the PIN in ", options_.pin_file,
        " without saying whether it is right", why, ": it is not sent again: ", Remedy(log)));
  }
  return absl::OkStatus();
}

std::string UserLogin::Problem(const TokenInfo& token) const {
  if (options_.pin_file.empty()) return "";
  const absl::StatusOr<FileInfo> info = fs_.GetInfo(options_.pin_file);
  if (!info.ok()) return std::string(info.status().message());
  const PinLog log = Log(token);
  const PinVersion version = VersionOf(*info);
  const absl::StatusOr<PinLog::Entry> entry = Find(log, NameInLog(version));
  if (!entry.ok()) return std::string(entry.status().message());
  return std::string(Refusal(token.info.flags, log, *entry, version).message());
}

absl::Status UserLogin::LogIn(const Module& module, const TokenInfo& token,
                              CK_SESSION_HANDLE session, absl::Time deadline) {
  if (options_.pin_file.empty() || IsLoggedIn(module, session)) return absl::OkStatus();
  const PinLog log = Log(token);
  // The other half is for the login itself.
  const absl::Time now = MonotonicNow();
  const absl::StatusOr<std::unique_ptr<FileLock>> lock = log.Lock(now + (deadline - now) / 2);
  if (absl::IsUnavailable(lock.status())) return lock.status();
  if (!lock.ok()) {
    return absl::FailedPreconditionError(absl::StrCat("no PIN is sent: ", lock.status().message()));
  }
  return Send(module, token.slot, session, deadline, log);
}

absl::StatusOr<SecretBytes> UserLogin::ReadPin(FileInfo* info) const {
  if (!options_.pin_is_credential) {
    return ReadPrivateFile(fs_, "PIN file", options_.pin_file, kMaxPinBytes + 2,
                           options_.file_owner, info);
  }
  // As for other credentials: systemd gives the service's user its right by an access list, which
  // shows in the group's bits.
  KEKD_ASSIGN_OR_RETURN(SecretBytes pin,
                        fs_.ReadSecretFile(options_.pin_file, kMaxPinBytes + 2, info));
  if (info->owner != 0 && info->owner != geteuid() && info->owner != options_.file_owner) {
    return absl::PermissionDeniedError(absl::StrCat(
        "the credential ", options_.pin_file, " belongs to uid ", info->owner, ", not to root"));
  }
  if ((info->mode & 027) != 0) {
    return absl::PermissionDeniedError(
        absl::StrCat("the credential ", options_.pin_file,
                     " is not as systemd makes it: others have rights on it"));
  }
  return pin;
}

absl::Status UserLogin::Refuse(const PinLog& log, PinLog::Entry entry, CK_RV rv) {
  entry.outcome = PinLog::Outcome::kFailed;
  const absl::Status written = log.Write(entry);
  if (!written.ok()) failed_ = entry.pin;
  return absl::FailedPreconditionError(
      absl::StrCat(CkRvError(rv, "C_Login").message(), ": the token has refused the PIN in ",
                   options_.pin_file, "; ", Remedy(log),
                   written.ok() ? std::string() : absl::StrCat(" (", written.message(), ")")));
}

absl::Status UserLogin::Send(const Module& module, CK_SLOT_ID slot, CK_SESSION_HANDLE session,
                             absl::Time deadline, const PinLog& log) {
  FileInfo info;
  absl::StatusOr<SecretBytes> pin = ReadPin(&info);
  if (!pin.ok()) {
    return absl::FailedPreconditionError(absl::StrCat("no PIN: ", pin.status().message()));
  }
  // Whoever writes it while we read must not cost a try: half a PIN is a wrong one.
  const absl::StatusOr<FileInfo> now = fs_.GetInfo(options_.pin_file);
  if (!now.ok() || !(VersionOf(*now) == VersionOf(info))) {
    return absl::UnavailableError(
        absl::StrCat("the PIN file ", options_.pin_file, " changed while it was read"));
  }
  absl::Span<uint8_t> bytes = pin->RevealMutable(SecretAccessToken());
  // An editor's line end is no part of the PIN.
  while (!bytes.empty() && (bytes.back() == '\n' || bytes.back() == '\r')) bytes.remove_suffix(1);
  if (bytes.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("the PIN file ", options_.pin_file, " is empty"));
  }

  const PinVersion version = VersionOf(info);
  const absl::StatusOr<PinLog::Entry> found = Find(log, NameInLog(version));
  if (!found.ok()) {
    return absl::FailedPreconditionError(
        absl::StrCat("no PIN is sent: ", found.status().message()));
  }
  PinLog::Entry entry = *found;
  for (uint32_t sent = 1;; ++sent) {
    KEKD_ASSIGN_OR_RETURN(const TokenInfo before, module.ReadTokenInfo(slot));
    KEKD_RETURN_IF_ERROR(Refusal(before.info.flags, log, entry, version));
    entry.outcome = PinLog::Outcome::kTried;
    ++entry.unanswered;
    if (const absl::Status written = log.Write(entry); !written.ok()) {
      return absl::FailedPreconditionError(absl::StrCat(
          "no PIN is sent, as it can't be written down that it was: ", written.message()));
    }
    const CK_RV rv = module->C_Login(session, CKU_USER, bytes.data(), bytes.size());
    if (rv == CKR_OK) {
      // Should this write fail, the next start sends the same PIN once more, which works.
      (void)log.Write({.pin = entry.pin, .outcome = PinLog::Outcome::kWorked, .worked = version});
      return absl::OkStatus();
    }
    --entry.unanswered;
    const Verdict verdict = VerdictOf(rv);
    if (verdict == Verdict::kRefused) return Refuse(log, entry, rv);
    // Whatever the code is: a token that begins to count has found something wrong.
    const absl::StatusOr<TokenInfo> after = module.ReadTokenInfo(slot);
    constexpr CK_FLAGS kCounts =
        CKF_USER_PIN_COUNT_LOW | CKF_USER_PIN_FINAL_TRY | CKF_USER_PIN_LOCKED;
    if (after.ok() && (after->info.flags & ~before.info.flags & kCounts) != 0) {
      return Refuse(log, entry, rv);
    }
    if (verdict == Verdict::kUnclear) ++entry.unclear;
    const absl::Status written = log.Write(entry);
    if (rv == CKR_USER_ALREADY_LOGGED_IN && IsLoggedIn(module, session)) return absl::OkStatus();
    if (verdict != Verdict::kUnclear || !written.ok() || !after.ok() ||
        MonotonicNow() + kPause > deadline) {
      return CkRvError(rv, "C_Login");
    }
    const absl::Status refusal = Refusal(after->info.flags, log, entry, version);
    if (!refusal.ok()) {
      return absl::FailedPreconditionError(
          absl::StrCat(CkRvError(rv, "C_Login").message(), ": ", refusal.message()));
    }
    if (sent == kMostUnclear) return CkRvError(rv, "C_Login");
    std::this_thread::sleep_for(absl::ToChronoNanoseconds(kPause));
  }
}

}  // namespace kekd
