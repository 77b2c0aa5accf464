#include "hsm/pkcs11/attachment.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "hsm/pkcs11/cryptoki_status.h"
#include "hsm/pkcs11/gcm.h"
#include "hsm/pkcs11/key_objects.h"

namespace kekd {
namespace {

constexpr absl::string_view kCanaryText = "kekd-hsm-worker: this token is fine";
constexpr absl::string_view kCanaryData = "kekd/worker-canary/1";

// How many sessions of ours the token allows besides the one that keeps the login and one that
// may write.
uint32_t SessionLimit(const CK_TOKEN_INFO& info, uint32_t wanted) {
  const CK_ULONG limit = info.ulMaxSessionCount;
  if (limit == CK_EFFECTIVELY_INFINITE || limit == CK_UNAVAILABLE_INFORMATION) return wanted;
  return static_cast<uint32_t>(std::min<CK_ULONG>(wanted, limit > 2 ? limit - 2 : 1));
}

}  // namespace

Attachment::Attachment(const Module& module, TokenInfo token, CK_SESSION_HANDLE login_session,
                       uint32_t sessions, bool session_copy, const RandomSource& random,
                       KnownKeys& known_keys)
    : module_(module),
      token_(std::move(token)),
      login_session_(login_session),
      session_copy_(session_copy),
      random_(random),
      known_keys_(known_keys) {
  sessions_.Reset(&module_, token_.slot, SessionLimit(token_.info, sessions));
}

absl::StatusOr<std::shared_ptr<const FoundKey>> Attachment::Find(const KeyReference& key,
                                                                 SessionPool::Lease& lease) {
  const Name name = NameOf(key.key);
  {
    MutexLock lock(&keys_mu_);
    const auto known = keys_.find(name);
    if (known != keys_.end()) return known->second;
  }
  if (key.key.empty()) return absl::InvalidArgumentError("a key needs a label or an id");
  MutexLock finding(&find_mu_);
  {
    MutexLock lock(&keys_mu_);
    const auto known = keys_.find(name);
    if (known != keys_.end()) return known->second;
  }
  auto found = std::make_shared<FoundKey>();
  KEKD_ASSIGN_OR_RETURN(found->token_key, FindSecretKey(module_, lease.session(), key.key));
  found->nonces = known_keys_.Nonces(key.key);
  if (const std::optional<Canary> first = known_keys_.FirstCanary(key.key); first.has_value()) {
    found->canary = *first;
    KEKD_RETURN_IF_ERROR(CheckSame(key, *found, lease));
  } else {
    KEKD_ASSIGN_OR_RETURN(found->canary, SealCanary(found->token_key, key.mechanism, lease));
    // One that a broken token has sealed would make a good one suspect for ever.
    KEKD_RETURN_IF_ERROR(OpenCanary(*found, lease));
    if (key.mechanism != KeyMechanism::kGcmCallerIv) {
      KEKD_RETURN_IF_ERROR(found->nonces->Note(found->canary.sealed, key.mechanism));
    }
    known_keys_.KeepCanary(key.key, found->canary);
  }
  if (session_copy_) {
    found->copy = Copy(found->token_key);
    // A copy that is not the same key, or that the sessions of others can't use, is none.
    if (found->copy != 0 && !OpenCanary(*found, lease).ok()) {
      module_->C_DestroyObject(login_session_, found->copy);
      found->copy = 0;
    }
  }
  known_keys_.Add(key.key);
  MutexLock lock(&keys_mu_);
  keys_[name] = found;
  return std::shared_ptr<const FoundKey>(found);
}

CK_OBJECT_HANDLE Attachment::Copy(CK_OBJECT_HANDLE key) {
  CK_BBOOL no = CK_FALSE;
  CK_ATTRIBUTE session_object = {CKA_TOKEN, &no, sizeof(no)};
  CK_OBJECT_HANDLE copy = 0;
  // Most tokens refuse it unless the key was made modifiable and copyable; then there is none.
  return module_->C_CopyObject(login_session_, key, &session_object, 1, &copy) == CKR_OK ? copy : 0;
}

void Attachment::Forget(const KeySelector& key, const FoundKey* only) {
  MutexLock finding(&find_mu_);
  std::shared_ptr<const FoundKey> found;
  {
    MutexLock lock(&keys_mu_);
    const auto known = keys_.find(NameOf(key));
    if (known == keys_.end() || (only != nullptr && known->second.get() != only)) return;
    found = known->second;
    keys_.erase(known);
  }
  if (found->copy != 0) module_->C_DestroyObject(login_session_, found->copy);
}

absl::StatusOr<std::string> Attachment::Seal(const FoundKey& found, KeyMechanism mechanism,
                                             const SecretBytes& plaintext, ByteView associated_data,
                                             SessionPool::Lease& lease) const {
  KEKD_ASSIGN_OR_RETURN(std::string sealed,
                        GcmSeal(module_, lease.session(), found.handle(), mechanism, random_,
                                plaintext, associated_data));
  if (mechanism != KeyMechanism::kGcmCallerIv)
    KEKD_RETURN_IF_ERROR(found.nonces->Note(sealed, mechanism));
  return sealed;
}

absl::StatusOr<Canary> Attachment::SealCanary(CK_OBJECT_HANDLE key, KeyMechanism mechanism,
                                              SessionPool::Lease& lease) const {
  KEKD_ASSIGN_OR_RETURN(std::string sealed,
                        GcmSeal(module_, lease.session(), key, mechanism, random_,
                                SecretBytes::CopyOf(AsBytes(kCanaryText)), AsBytes(kCanaryData)));
  return Canary{std::move(sealed), mechanism};
}

// Errors as GcmOpen's, which do not say whether it is the token or the key.
absl::Status Attachment::TryCanary(const FoundKey& found, SessionPool::Lease& lease) const {
  KEKD_ASSIGN_OR_RETURN(const SecretBytes opened,
                        GcmOpen(module_, lease.session(), found.handle(), found.canary.mechanism,
                                AsBytes(found.canary.sealed), AsBytes(kCanaryData)));
  if (!SecretBytes::ConstantTimeEquals(opened, SecretBytes::CopyOf(AsBytes(kCanaryText)))) {
    return absl::UnavailableError("the token opened a canary to something else");
  }
  return absl::OkStatus();
}

absl::Status Attachment::OpenCanary(const FoundKey& found, SessionPool::Lease& lease) const {
  KEKD_RETURN_IF_ERROR(lease.Renew());
  absl::Status opened = TryCanary(found, lease);
  if (opened.ok() || absl::IsUnavailable(opened) || !CkRvOf(opened).has_value()) return opened;
  return CkRvError(CKR_GENERAL_ERROR, "C_Decrypt",
                   absl::StrCat("a canary does not open: ", opened.message()));
}

absl::Status Attachment::CheckSame(const KeyReference& key, const FoundKey& found,
                                   SessionPool::Lease& lease) const {
  if (OpenCanary(found, lease).ok()) return absl::OkStatus();
  // Another key or a broken token? If a fresh canary opens and the first still does not, the key.
  KEKD_RETURN_IF_ERROR(lease.Renew());
  FoundKey fresh = found;
  KEKD_ASSIGN_OR_RETURN(fresh.canary, SealCanary(found.token_key, key.mechanism, lease));
  KEKD_RETURN_IF_ERROR(OpenCanary(fresh, lease));
  KEKD_RETURN_IF_ERROR(lease.Renew());
  absl::Status opened = TryCanary(found, lease);
  const std::optional<CkRv> rv = CkRvOf(opened);
  if (opened.ok() || !rv.has_value() || !IsAmbiguousOnDecrypt(*rv)) return opened;
  return absl::FailedPreconditionError(absl::StrCat(
      "the token has another key of this name than before: ", DescribeSelector(key.key)));
}

}  // namespace kekd
