// What is known of a token while it works.
#ifndef KEKD_HSM_PKCS11_ATTACHMENT_H_
#define KEKD_HSM_PKCS11_ATTACHMENT_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/mutex.h"
#include "base/random_source.h"
#include "base/secret_bytes.h"
#include "hsm/pkcs11/cryptoki.h"
#include "hsm/pkcs11/known_keys.h"
#include "hsm/pkcs11/mechanism.h"
#include "hsm/pkcs11/module.h"
#include "hsm/pkcs11/session_pool.h"
#include "hsm/token/key_reference.h"

namespace kekd {

// A key that has been found. Handles are good for as long as the attachment lives.
struct FoundKey {
  SealingKey token_key;
  SealingKey copy;  // in the login session; its key is 0 if there is none
  Canary canary;
  std::shared_ptr<NonceHistory> nonces;  // of this process, not of this attachment

  const SealingKey& key() const { return copy.key != 0 ? copy : token_key; }
};

// Attachment is a token that was found and logged in to: its slot, the session that keeps the
// login, the other sessions, and the handles of the keys that were used. Everything in it dies
// together. Thread-safe; Detach ends it.
class Attachment final {
 public:
  // `module`, `random` and `known_keys` outlive it. Copies of keys are made if `session_copy`.
  Attachment(const Module& module, TokenInfo token, CK_SESSION_HANDLE login_session,
             uint32_t sessions, bool session_copy, const RandomSource& random,
             KnownKeys& known_keys);
  Attachment(const Attachment&) = delete;
  Attachment& operator=(const Attachment&) = delete;

  const Module& module() const { return module_; }
  const TokenInfo& token() const { return token_; }
  CK_SESSION_HANDLE login_session() const { return login_session_; }
  SessionPool& sessions() { return sessions_; }

  // Looks a key up on the token with its first use only. FailedPrecondition if it is another key
  // than the one that this process knows by that name: what that one has sealed it does not open.
  // Other errors as FindKey's and Seal's. May renew the lease.
  absl::StatusOr<std::shared_ptr<const FoundKey>> Find(const KeyReference& key,
                                                       SessionPool::Lease& lease);
  // Seals with the key, and with a nonce that is new: else Internal, where the token makes them.
  absl::StatusOr<std::string> SealWith(const FoundKey& found, const SecretBytes& plaintext,
                                       ByteView associated_data, SessionPool::Lease& lease) const;
  // Forgets the handles of a key, and destroys its copy; those of `only`, if given: what another
  // thread has found meanwhile stays.
  void Forget(const KeySelector& key, const FoundKey* only = nullptr);

  // Whether what is known of a key is true: its canary opens. Renews the lease. Never
  // InvalidArgument: no request has asked for it.
  absl::Status OpenCanary(const FoundKey& found, SessionPool::Lease& lease) const;

 private:
  // Label and id, and how it is used: one name may be of keys of several kinds. Every call looks
  // its key up, so that copies nothing.
  using Name = std::tuple<std::string, std::string, KeyMechanism, std::string>;
  using NameView =
      std::tuple<absl::string_view, absl::string_view, KeyMechanism, absl::string_view>;
  static NameView NameOf(const KeyReference& key) {
    return {key.key.label, key.key.id, key.mechanism, key.public_key};
  }
  // Null if it was not used yet.
  std::shared_ptr<const FoundKey> Known(const KeyReference& key);
  absl::StatusOr<Canary> SealCanary(const SealingKey& key, SessionPool::Lease& lease) const;
  absl::StatusOr<bool> TryCanary(const FoundKey& found, SessionPool::Lease& lease) const;
  absl::Status CheckSame(const KeyReference& key, const FoundKey& found,
                         SessionPool::Lease& lease) const;
  SealingKey Copy(const SealingKey& key) ABSL_EXCLUSIVE_LOCKS_REQUIRED(find_mu_);
  void DestroyCopy(const SealingKey& copy);

  const Module& module_;
  const TokenInfo token_;
  const CK_SESSION_HANDLE login_session_;
  const bool session_copy_;
  const RandomSource& random_;
  KnownKeys& known_keys_;
  SessionPool sessions_;
  // One thread looks on the token; those that have their key do not wait for it. Before keys_mu_.
  Mutex find_mu_;
  Mutex keys_mu_;
  std::map<Name, std::shared_ptr<const FoundKey>, std::less<>> keys_ ABSL_GUARDED_BY(keys_mu_);
};

}  // namespace kekd

#endif  // KEKD_HSM_PKCS11_ATTACHMENT_H_
