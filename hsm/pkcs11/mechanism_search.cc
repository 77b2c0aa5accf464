#include "hsm/pkcs11/mechanism_search.h"

#include <algorithm>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/monotonic.h"
#include "base/status_macros.h"
#include "hsm/pkcs11/cryptoki_status.h"

namespace kekd {
namespace {

constexpr int kTries = 2;
constexpr size_t kMaxProblemBytes = 100;
// Ten times what the standard has: a module that tells of more is broken.
constexpr CK_ULONG kMostMechanisms = 4096;

KeyMechanism Number(size_t number) { return static_cast<KeyMechanism>(number); }

// One name for what differs in the IV alone.
absl::string_view ShortName(KeyMechanism mechanism) {
  return BindsAssociatedData(mechanism) ? "AES-GCM" : ToString(mechanism);
}

std::string Shortly(const absl::Status& status) {
  const std::optional<CkRv> rv = CkRvOf(status);
  if (rv.has_value()) return CkRvName(*rv);
  // Of an output that does not fit: the numbers say nothing to people.
  if (absl::IsUnavailable(status)) return "its output did not fit";
  return std::string(status.message().substr(0, kMaxProblemBytes));
}

}  // namespace

Verdict VerdictOn(const absl::Status& failure) {
  const std::optional<CkRv> rv = CkRvOf(failure);
  if (!rv.has_value()) {
    if (absl::IsFailedPrecondition(failure) || absl::IsUnimplemented(failure)) {
      return Verdict::kCannot;
    }
    // An output of another size; what is not found that was just made may be so in a moment.
    return absl::IsUnavailable(failure) ? Verdict::kUnclear : Verdict::kTransient;
  }
  switch (*rv) {
    // Of the token as a whole, not of what was tried.
    case CKR_TOKEN_WRITE_PROTECTED:
    case CKR_SESSION_READ_ONLY:
    case CKR_FUNCTION_REJECTED:
      return Verdict::kTransient;
    // Of a key that was made for it: some tokens say so of a mechanism.
    case CKR_KEY_TYPE_INCONSISTENT:
    case CKR_KEY_FUNCTION_NOT_PERMITTED:
    case CKR_GENERAL_ERROR:
    case CKR_FUNCTION_FAILED:
    case CKR_BUFFER_TOO_SMALL:
      return Verdict::kUnclear;
    default:
      break;
  }
  switch (ActionFor(*rv)) {
    case RecoveryAction::kRejectRequest:
    case RecoveryAction::kUnsupported:
      return Verdict::kCannot;
    case RecoveryAction::kNewSession:
      // Vendors' own values.
      return *rv >= CKR_VENDOR_DEFINED ? Verdict::kUnclear : Verdict::kTransient;
    default:
      return Verdict::kTransient;
  }
}

absl::StatusOr<std::vector<CK_MECHANISM_TYPE>> ListMechanisms(const Module& module,
                                                              CK_SLOT_ID slot) {
  CK_ULONG count = 0;
  KEKD_RETURN_IF_ERROR(
      CheckRv(module->C_GetMechanismList(slot, nullptr, &count), "C_GetMechanismList"));
  if (count > kMostMechanisms) {
    return absl::UnavailableError(
        absl::StrCat("C_GetMechanismList tells of ", count, " mechanisms"));
  }
  std::vector<CK_MECHANISM_TYPE> listed(count);
  KEKD_RETURN_IF_ERROR(
      CheckRv(module->C_GetMechanismList(slot, listed.data(), &count), "C_GetMechanismList"));
  listed.resize(std::min<size_t>(count, listed.size()));
  return listed;
}

bool IsListed(absl::Span<const CK_MECHANISM_TYPE> listed, KeyMechanism mechanism) {
  const auto is = [&](CK_MECHANISM_TYPE type) {
    return std::find(listed.begin(), listed.end(), type) != listed.end();
  };
  switch (mechanism) {
    case KeyMechanism::kAesKwp:
      return is(kCkmAesKeyWrapKwp);
    case KeyMechanism::kAesKw:
      return is(CKM_AES_KEY_WRAP);
    case KeyMechanism::kAesKwPad:
      return is(CKM_AES_KEY_WRAP_PAD);
    case KeyMechanism::kAesCbcHmac:
      return is(CKM_AES_CBC) && is(CKM_SHA256_HMAC);
    case KeyMechanism::kRsaOaepSha256:
    case KeyMechanism::kRsaOaepSha1:
      return is(CKM_RSA_PKCS_OAEP);
    default:
      return is(CKM_AES_GCM);
  }
}

absl::Status MechanismSearch::CheckTime() const {
  if (MonotonicNow() < deadline_) return absl::OkStatus();
  return absl::DeadlineExceededError("the token is too slow to be tried in this time");
}

absl::StatusOr<SealingKey> MechanismSearch::Make(KeyKind kind, const Keys& keys) const {
  KEKD_RETURN_IF_ERROR(CheckTime());
  return keys.make(kind);
}

absl::Status MechanismSearch::TryMechanism(const SealingKey& key) {
  absl::Status tried;
  for (int i = 0; i < kTries; ++i) {
    KEKD_RETURN_IF_ERROR(CheckTime());
    tried = TryRoundTrip(module_, lease_, key, random_);
    if (tried.ok()) return tried;
    // What failed may have left an operation active.
    KEKD_RETURN_IF_ERROR(lease_.Renew());
    if (VerdictOn(tried) != Verdict::kUnclear) return tried;
  }
  return tried;
}

absl::StatusOr<bool> MechanismSearch::TryKind(KeyKind kind, bool listed, Keys keys,
                                              FoundMechanism& found) {
  std::vector<KeyMechanism> candidates;
  for (size_t number = 1; number <= kLastKeyMechanism; ++number) {
    const KeyMechanism mechanism = Number(number);
    if (KindOf(mechanism) == kind && IsListed(listed_, mechanism) == listed) {
      candidates.push_back(mechanism);
    }
  }
  if (candidates.empty()) return false;
  absl::StatusOr<SealingKey> key = Make(kind, keys);
  for (int i = 1; i < kTries && !key.ok() && VerdictOn(key.status()) == Verdict::kUnclear; ++i) {
    KEKD_RETURN_IF_ERROR(keys.take_away(kind));
    KEKD_RETURN_IF_ERROR(lease_.Renew());
    key = Make(kind, keys);
  }
  absl::Status failed = key.status();
  for (const KeyMechanism mechanism : candidates) {
    if (key.ok()) {
      key->mechanism = mechanism;
      failed = TryMechanism(*key);
    }
    OutcomeOf(mechanism) = {.tried = true, .status = failed};
    if (failed.ok()) {
      found.key = *std::move(key);
      return true;
    }
    if (VerdictOn(failed) == Verdict::kTransient) break;
  }
  const absl::Status gone = keys.take_away(kind);
  if (VerdictOn(failed) == Verdict::kTransient) {
    if (gone.ok()) return failed;
    return WithContext(failed,
                       absl::StrCat("a new key that is left on the token (", gone.message(), ")"));
  }
  KEKD_RETURN_IF_ERROR(gone);
  return false;
}

absl::StatusOr<bool> MechanismSearch::Pass(absl::Span<const KeyKind> kinds, Keys keys,
                                           FoundMechanism& found) {
  for (const bool listed : {true, false}) {
    for (const KeyKind kind : kinds) {
      KEKD_ASSIGN_OR_RETURN(const bool works, TryKind(kind, listed, keys, found));
      if (works) return true;
    }
  }
  return false;
}

bool MechanismSearch::IsUnclear(KeyMechanism before) const {
  return std::any_of(outcomes_, outcomes_ + static_cast<size_t>(before) - 1,
                     [](const Outcome& outcome) {
                       return outcome.tried && !outcome.status.ok() &&
                              VerdictOn(outcome.status) == Verdict::kUnclear;
                     });
}

absl::StatusOr<FoundMechanism> MechanismSearch::Find(absl::Span<const KeyKind> kinds, Keys keys) {
  FoundMechanism found;
  KEKD_ASSIGN_OR_RETURN(bool works, Pass(kinds, keys, found));
  if (works && IsUnclear(found.key.mechanism)) {
    // The token works: what it said "general error" to is to be heard once more.
    const KeyMechanism first = found.key.mechanism;
    KEKD_RETURN_IF_ERROR(keys.take_away(KindOf(first)));
    KEKD_ASSIGN_OR_RETURN(works, Pass(kinds, keys, found));
    if (!works || found.key.mechanism > first) {
      // It can do better than what it did this time.
      if (works) KEKD_RETURN_IF_ERROR(keys.take_away(KindOf(found.key.mechanism)));
      return absl::UnavailableError(
          absl::StrCat(ToString(first), " works on the token and then does not"));
    }
  }
  if (works) {
    found.reason = Reason(found.key.mechanism);
    return found;
  }
  for (const Outcome& outcome : outcomes_) {
    // In a bad minute nothing works: then that is what is wrong, and it passes.
    if (outcome.tried && VerdictOn(outcome.status) == Verdict::kUnclear) return outcome.status;
  }
  return absl::FailedPreconditionError(
      absl::StrCat("the token can do none of the ways in which kekd seals: ",
                   AllReasons(kinds, Number(kLastKeyMechanism + 1))));
}

std::string MechanismSearch::Reason(KeyMechanism chosen) const {
  if (BindsAssociatedData(chosen)) {
    const Outcome& first = outcomes_[0];
    return chosen != KeyMechanism::kGcmCallerIv && first.tried ? Shortly(first.status) : "";
  }
  return AllReasons(kAllKinds, chosen).substr(0, kMaxReasonBytes);
}

std::string MechanismSearch::AllReasons(absl::Span<const KeyKind> kinds,
                                        KeyMechanism before) const {
  std::vector<std::string> reasons;
  for (size_t number = 1; number < static_cast<size_t>(before); ++number) {
    const KeyMechanism mechanism = Number(number);
    const KeyKind kind = KindOf(mechanism);
    if (std::find(kinds.begin(), kinds.end(), kind) == kinds.end()) continue;
    // The first of those that differ in the IV alone speaks for them.
    if (BindsAssociatedData(mechanism) && mechanism != KeyMechanism::kGcmCallerIv) continue;
    const Outcome& outcome = outcomes_[number - 1];
    const std::string why = outcome.tried                  ? Shortly(outcome.status)
                            : IsListed(listed_, mechanism) ? "another kind of key"
                                                           : "not listed";
    reasons.push_back(absl::StrCat(ShortName(mechanism), ": ", why));
  }
  return absl::StrJoin(reasons, "; ");
}

absl::StatusOr<std::vector<MechanismTrial>> MechanismSearch::TryAll(Keys keys) {
  std::vector<MechanismTrial> trials;
  bool any = false;
  for (const KeyKind kind : kAllKinds) {
    const bool skipped = kind == KeyKind::kRsa && any;
    absl::StatusOr<SealingKey> key;
    if (!skipped) key = Make(kind, keys);
    for (size_t number = 1; number <= kLastKeyMechanism; ++number) {
      const KeyMechanism mechanism = Number(number);
      if (KindOf(mechanism) != kind) continue;
      MechanismTrial& trial = trials.emplace_back();
      trial.mechanism = mechanism;
      trial.listed = IsListed(listed_, mechanism);
      if (skipped) {
        trial.problem = "not tried: better ones work";
        continue;
      }
      absl::Status tried = key.status();
      if (key.ok()) {
        key->mechanism = mechanism;
        tried = TryMechanism(*key);
      }
      if (!tried.ok() && VerdictOn(tried) == Verdict::kTransient) return tried;
      any = any || tried.ok();
      if (!tried.ok()) trial.problem = std::string(tried.message());
    }
    KEKD_RETURN_IF_ERROR(keys.take_away(kind));
  }
  return trials;
}

}  // namespace kekd
