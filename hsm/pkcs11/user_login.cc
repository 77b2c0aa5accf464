#include "hsm/pkcs11/user_login.h"

#include <unistd.h>

#include <algorithm>
#include <thread>

#include "absl/strings/str_cat.h"
#include "base/private_file.h"
#include "base/secret_bytes.h"
#include "base/status_macros.h"
#include "hsm/pkcs11/cryptoki_status.h"
#include "hsm/pkcs11/monotonic.h"

namespace kekd {
namespace {

// SoftHSM 2.6 answers CKR_GENERAL_ERROR when another process logs in at the same moment.
constexpr int kTries = 5;
constexpr absl::Duration kPause = absl::Milliseconds(20);

PinVersion VersionOf(const FileInfo& info) {
  return {.device = info.device,
          .inode = info.inode,
          .modified_ns = info.modified_ns,
          .changed_ns = info.changed_ns,
          .size = info.size};
}

// Whether the token has judged the PIN itself.
bool IsAboutThePin(CK_RV rv) {
  switch (rv) {
    case CKR_PIN_INCORRECT:
    case CKR_PIN_INVALID:
    case CKR_PIN_LEN_RANGE:
    case CKR_PIN_EXPIRED:
    case CKR_PIN_LOCKED:
      return true;
    default:
      return false;
  }
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

absl::Status UserLogin::Refusal(const TokenInfo& token, const PinVersion& version,
                                const std::optional<PinLog::Entry>& entry) const {
  KEKD_RETURN_IF_ERROR(CheckFlags(token.info.flags));
  const bool same = entry.has_value() && entry->pin == version;
  if ((same && entry->outcome == PinLog::Outcome::kFailed) || failed_ == version) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the token has refused the PIN in ", options_.pin_file,
        "; it is not sent again, so that the token is not locked: write the right one into it"));
  }
  if (same && entry->outcome == PinLog::Outcome::kTried &&
      (token.info.flags & CKF_USER_PIN_COUNT_LOW)) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the PIN in ", options_.pin_file,
        " was sent before, the answer is not known, and the token counts a wrong PIN "
        "(CKF_USER_PIN_COUNT_LOW): it is not sent again until the file is written anew"));
  }
  return absl::OkStatus();
}

std::string UserLogin::Problem(const TokenInfo& token) const {
  if (options_.pin_file.empty()) return "";
  const absl::StatusOr<FileInfo> info = fs_.GetInfo(options_.pin_file);
  if (!info.ok()) return std::string(info.status().message());
  const PinLog log(fs_, options_.pin_log_directory, token.token);
  const absl::StatusOr<std::optional<PinLog::Entry>> entry = log.Read();
  if (!entry.ok()) return std::string(entry.status().message());
  return std::string(Refusal(token, VersionOf(*info), *entry).message());
}

absl::Status UserLogin::LogIn(const Module& module, const TokenInfo& token,
                              CK_SESSION_HANDLE session, absl::Time deadline) {
  if (options_.pin_file.empty() || IsLoggedIn(module, session)) return absl::OkStatus();
  PinLog log(fs_, options_.pin_log_directory, token.token);
  const absl::StatusOr<std::optional<PinLog::Entry>> entry = log.Read();
  if (!entry.ok()) {
    return absl::FailedPreconditionError(
        absl::StrCat("no PIN is sent: ", entry.status().message()));
  }
  return Send(module, token.slot, session, deadline, log, *entry);
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

absl::Status UserLogin::Send(const Module& module, CK_SLOT_ID slot, CK_SESSION_HANDLE session,
                             absl::Time deadline, PinLog& log,
                             const std::optional<PinLog::Entry>& entry) {
  FileInfo info;
  absl::StatusOr<SecretBytes> pin = ReadPin(&info);
  if (!pin.ok()) {
    return absl::FailedPreconditionError(absl::StrCat("no PIN: ", pin.status().message()));
  }
  const PinVersion version = VersionOf(info);
  // Whoever writes it while we read must not cost a try: half a PIN is a wrong one.
  const absl::StatusOr<FileInfo> now = fs_.GetInfo(options_.pin_file);
  if (!now.ok() || !(VersionOf(*now) == version)) {
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

  const bool known_to_work =
      entry.has_value() && entry->pin == version && entry->outcome == PinLog::Outcome::kWorked;
  bool logged = false;  // that it is being tried
  for (int i = 0;; ++i) {
    KEKD_ASSIGN_OR_RETURN(const TokenInfo token, module.ReadTokenInfo(slot));
    std::optional<PinLog::Entry> latest = entry;
    if (i > 0) latest = PinLog::Entry{version, PinLog::Outcome::kTried};
    KEKD_RETURN_IF_ERROR(Refusal(token, version, latest));
    const bool count_low = (token.info.flags & CKF_USER_PIN_COUNT_LOW) != 0;
    if (!logged && (!known_to_work || count_low)) {
      const absl::Status written = log.Write({version, PinLog::Outcome::kTried});
      if (!written.ok()) {
        return absl::FailedPreconditionError(absl::StrCat(
            "no PIN is sent, as it can't be written down that it was: ", written.message()));
      }
      logged = true;
    }
    const CK_RV rv = module->C_Login(session, CKU_USER, bytes.data(), bytes.size());
    if (rv == CKR_OK) {
      // Should this write fail, the next start sends the same PIN once more, which works.
      if (logged) (void)log.Write({version, PinLog::Outcome::kWorked});
      return absl::OkStatus();
    }
    if (rv == CKR_USER_ALREADY_LOGGED_IN && IsLoggedIn(module, session)) return absl::OkStatus();
    if (IsAboutThePin(rv)) {
      failed_ = version;
      const absl::Status written = log.Write({version, PinLog::Outcome::kFailed});
      return absl::FailedPreconditionError(
          absl::StrCat(CkRvError(rv, "C_Login").message(), ": the token has refused the PIN in ",
                       options_.pin_file, "; write the right one into it",
                       written.ok() ? std::string() : absl::StrCat(" (", written.message(), ")")));
    }
    if (ActionFor(rv) == RecoveryAction::kNeverRetry || i + 1 == kTries ||
        MonotonicNow() + kPause > deadline) {
      return CkRvError(rv, "C_Login");
    }
    std::this_thread::sleep_for(absl::ToChronoNanoseconds(kPause));
  }
}

}  // namespace kekd
