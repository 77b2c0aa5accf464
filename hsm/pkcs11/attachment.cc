#include "hsm/pkcs11/attachment.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "hsm/pkcs11/cryptoki_status.h"
#include "hsm/pkcs11/key_objects.h"
#include "hsm/token/nonce_history.h"

namespace kekd {
namespace {

constexpr absl::string_view kCanaryText = "kekd-hsm-worker: this token is fine";
constexpr absl::string_view kCanaryData = "kekd/worker-canary/1";

SecretBytes CanaryText(KeyMechanism mechanism) {
  const ByteView text = AsBytes(kCanaryText);
  return SecretBytes::CopyOf(BindsAssociatedData(mechanism) ? text : text.first(kOneTimeKeyBytes));
}
ByteView CanaryData(KeyMechanism mechanism) {
  return BindsAssociatedData(mechanism) ? AsBytes(kCanaryData) : ByteView();
}

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

std::shared_ptr<const FoundKey> Attachment::Known(const KeyReference& key) {
  MutexLock lock(&keys_mu_);
  const auto known = keys_.find(NameOf(key));
  return known == keys_.end() ? nullptr : known->second;
}

absl::StatusOr<std::shared_ptr<const FoundKey>> Attachment::Find(const KeyReference& key,
                                                                 SessionPool::Lease& lease) {
  if (std::shared_ptr<const FoundKey> known = Known(key); known != nullptr) return known;
  if (key.key.empty()) return absl::InvalidArgumentError("a key needs a label or an id");
  MutexLock finding(&find_mu_);
  if (std::shared_ptr<const FoundKey> known = Known(key); known != nullptr) return known;
  auto found = std::make_shared<FoundKey>();
  KEKD_ASSIGN_OR_RETURN(found->token_key, FindKey(module_, lease.session(), key));
  found->nonces = known_keys_.Nonces(key.key);
  if (const std::optional<Canary> first = known_keys_.FirstCanary(key.key); first.has_value()) {
    found->canary = *first;
    KEKD_RETURN_IF_ERROR(CheckSame(key, *found, lease));
  } else {
    KEKD_ASSIGN_OR_RETURN(found->canary, SealCanary(found->token_key, lease));
    // One that a broken token has sealed would make a good one suspect for ever.
    KEKD_RETURN_IF_ERROR(OpenCanary(*found, lease));
    if (TokenMakesNonce(key.mechanism)) {
      KEKD_RETURN_IF_ERROR(found->nonces->Note(found->canary.sealed, key.mechanism));
    }
    known_keys_.KeepCanary(key.key, found->canary);
  }
  if (session_copy_) {
    // A private key's use is not worth a copy.
    if (!IsRsa(key.mechanism)) found->copy = Copy(found->token_key);
    // A copy that is not the same key, or that the sessions of others can't use, is none.
    if (found->copy.key != 0 && !OpenCanary(*found, lease).ok()) {
      DestroyCopy(std::exchange(found->copy, SealingKey()));
    }
  }
  known_keys_.Add(key.key);
  MutexLock lock(&keys_mu_);
  keys_[Name(NameOf(key))] = found;
  return std::shared_ptr<const FoundKey>(found);
}

SealingKey Attachment::Copy(const SealingKey& key) {
  CK_BBOOL no = CK_FALSE;
  CK_ATTRIBUTE session_object = {CKA_TOKEN, &no, sizeof(no)};
  // Most tokens refuse it unless the key was made modifiable and copyable; then there is none.
  const auto copy_of = [&](CK_OBJECT_HANDLE object) -> CK_OBJECT_HANDLE {
    CK_OBJECT_HANDLE copy = 0;
    const CK_RV rv = module_->C_CopyObject(login_session_, object, &session_object, 1, &copy);
    return rv == CKR_OK ? copy : 0;
  };
  SealingKey copy = key;
  copy.key = copy_of(key.key);
  copy.mac_key = key.mac_key != 0 && copy.key != 0 ? copy_of(key.mac_key) : 0;
  if ((key.mac_key != 0) == (copy.mac_key != 0)) return copy;
  DestroyCopy(copy);
  return {};
}

void Attachment::DestroyCopy(const SealingKey& copy) {
  for (const CK_OBJECT_HANDLE object : {copy.key, copy.mac_key}) {
    if (object != 0) module_->C_DestroyObject(login_session_, object);
  }
}

void Attachment::Forget(const KeySelector& key, const FoundKey* only) {
  MutexLock finding(&find_mu_);
  std::vector<std::shared_ptr<const FoundKey>> found;
  {
    MutexLock lock(&keys_mu_);
    for (auto known = keys_.begin(); known != keys_.end();) {
      const bool is = std::get<0>(known->first) == key.label && std::get<1>(known->first) == key.id;
      if (!is || (only != nullptr && known->second.get() != only)) {
        ++known;
        continue;
      }
      found.push_back(known->second);
      known = keys_.erase(known);
    }
  }
  for (const auto& one : found) DestroyCopy(one->copy);
}

absl::StatusOr<std::string> Attachment::SealWith(const FoundKey& found,
                                                 const SecretBytes& plaintext,
                                                 ByteView associated_data,
                                                 SessionPool::Lease& lease) const {
  KEKD_ASSIGN_OR_RETURN(std::string sealed, Seal(module_, lease.session(), found.key(), random_,
                                                 plaintext, associated_data));
  const KeyMechanism mechanism = found.key().mechanism;
  if (TokenMakesNonce(mechanism)) KEKD_RETURN_IF_ERROR(found.nonces->Note(sealed, mechanism));
  return sealed;
}

absl::StatusOr<Canary> Attachment::SealCanary(const SealingKey& key,
                                              SessionPool::Lease& lease) const {
  KEKD_ASSIGN_OR_RETURN(std::string sealed,
                        Seal(module_, lease.session(), key, random_, CanaryText(key.mechanism),
                             CanaryData(key.mechanism)));
  return Canary{std::move(sealed), key.mechanism};
}

// Whether it opens to what it was. Errors as Open's, which do not say whether it is the token or
// the key.
absl::StatusOr<bool> Attachment::TryCanary(const FoundKey& found, SessionPool::Lease& lease) const {
  SealingKey key = found.key();
  key.mechanism = found.canary.mechanism;
  KEKD_ASSIGN_OR_RETURN(
      const SecretBytes opened,
      Open(module_, lease.session(), key, AsBytes(found.canary.sealed), CanaryData(key.mechanism)));
  return SecretBytes::ConstantTimeEquals(opened, CanaryText(key.mechanism));
}

absl::Status Attachment::OpenCanary(const FoundKey& found, SessionPool::Lease& lease) const {
  KEKD_RETURN_IF_ERROR(lease.Renew());
  const absl::StatusOr<bool> same = TryCanary(found, lease);
  if (same.ok()) {
    return *same ? absl::OkStatus()
                 : absl::UnavailableError("the token opened a canary to something else");
  }
  const absl::Status& opened = same.status();
  if (absl::IsUnavailable(opened) || !CkRvOf(opened).has_value()) return opened;
  return CkRvError(CKR_GENERAL_ERROR, "C_Decrypt",
                   absl::StrCat("a canary does not open: ", opened.message()));
}

absl::Status Attachment::CheckSame(const KeyReference& key, const FoundKey& found,
                                   SessionPool::Lease& lease) const {
  if (OpenCanary(found, lease).ok()) return absl::OkStatus();
  // Another key or a broken token? If a fresh canary opens and the first still does not, the key.
  KEKD_RETURN_IF_ERROR(lease.Renew());
  FoundKey fresh = found;
  KEKD_ASSIGN_OR_RETURN(fresh.canary, SealCanary(found.token_key, lease));
  KEKD_RETURN_IF_ERROR(OpenCanary(fresh, lease));
  KEKD_RETURN_IF_ERROR(lease.Renew());
  const absl::StatusOr<bool> same = TryCanary(found, lease);
  if (same.ok() && *same) return absl::OkStatus();
  const std::optional<CkRv> rv = CkRvOf(same.status());
  if (!same.ok() && (!rv.has_value() || !IsAmbiguousOnDecrypt(*rv))) return same.status();
  return absl::FailedPreconditionError(absl::StrCat(
      "the token has another key of this name than before: ", DescribeSelector(key.key)));
}

}  // namespace kekd
