// The KMS v2 service without its transport.
#ifndef KEKD_KMS_SERVICE_ENVELOPE_SERVICE_H_
#define KEKD_KMS_SERVICE_ENVELOPE_SERVICE_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/secret_bytes.h"
#include "keystore/addressed_ciphertext.h"
#include "keystore/open_keyring.h"
#include "kms/service/keyring_health.h"

namespace kekd {

// EnvelopeService is KMS v2's Status, Encrypt and Decrypt for one keyring (KEP-3299). Thread-safe.
//
// The code of an error tells whose fault it is: InvalidArgument (the request is not one that kekd
// could ever answer), NotFound (the key_id is of no key of this ring), else kekd's. Its text may
// end in an API server's log and in an answer to its client: it carries no secret and no path.
class EnvelopeService final {
 public:
  static constexpr absl::string_view kVersion = "v2";
  // kube-apiserver's own limits (k8s.io/apiserver, envelope.go), inclusive.
  static constexpr size_t kMaxKeyIdBytes = 1024;
  static constexpr size_t kMaxCiphertextBytes = 1024;
  static constexpr size_t kMaxUidBytes = 1024;

  struct StatusAnswer {
    std::string healthz;  // "ok" or a text
    std::string key_id;
  };
  struct Encrypted {
    std::string ciphertext;
    std::string key_id;
  };
  struct DecryptRequest {
    absl::string_view ciphertext;
    absl::string_view key_id;
    absl::string_view uid;
    size_t annotations = 0;  // how many came with it; kekd writes none
  };
  // Calls since the service was made.
  struct Counters {
    std::atomic<uint64_t> status{0};
    std::atomic<uint64_t> encrypt{0};
    std::atomic<uint64_t> decrypt{0};
    std::atomic<uint64_t> failed{0};
  };

  // `key_failed` is told the version whose backend failed a call, on the thread of the call: it
  // must be quick.
  EnvelopeService(std::shared_ptr<const CurrentKeyring> keyring,
                  std::shared_ptr<const KeyringHealth> health,
                  std::function<void(uint32_t version)> key_failed = nullptr);

  // From memory, whatever the backend does. An error means "stop encrypting": the API server then
  // refuses writes once its lease runs out.
  absl::StatusOr<StatusAnswer> Status() const;
  // The same for kekd itself; not counted as a call.
  absl::StatusOr<StatusAnswer> CurrentStatus() const;

  // Encrypts 1 to Ciphertext::kMaxPlaintextBytes bytes under the primary, decrypts what it made and
  // compares, and only then answers. Key and key_id are of one generation of the keyring.
  absl::StatusOr<Encrypted> Encrypt(const SecretBytes& plaintext, absl::string_view uid,
                                    absl::Time deadline) const;

  // Opens a ciphertext with the key that its key_id names exactly and that its header names too;
  // never tries keys.
  absl::StatusOr<SecretBytes> Decrypt(const DecryptRequest& request, absl::Time deadline) const;

  // Encrypt and Decrypt in two halves, for calls that must not wait where they come in. The first
  // looks at the request and takes key and key_id of one generation of the keyring; the second asks
  // the key. Whoever has begun a call counts it once: its failure is FailCall.
  class BegunCall final {
   public:
    // Whether the second half may wait for a device.
    bool MayBlock() const { return entry_->key->MayBlock(); }

   private:
    friend class EnvelopeService;
    std::shared_ptr<const OpenKeyring> keyring_;
    const OpenKeyring::Entry* entry_ = nullptr;  // in keyring_; its key is open
    size_t sealed_at_ = 0;                       // Decrypt: where in the ciphertext
  };
  absl::StatusOr<BegunCall> BeginEncrypt(const SecretBytes& plaintext, absl::string_view uid) const;
  absl::StatusOr<BegunCall> BeginDecrypt(const DecryptRequest& request) const;
  absl::StatusOr<Encrypted> FinishEncrypt(const BegunCall& call, const SecretBytes& plaintext,
                                          absl::string_view uid, absl::Time deadline) const;
  // `ciphertext` is the request's.
  absl::StatusOr<SecretBytes> FinishDecrypt(const BegunCall& call, absl::string_view ciphertext,
                                            absl::string_view uid, absl::Time deadline) const;
  // Counts a call that was begun and failed.
  void FailCall() const { counters_.failed.fetch_add(1, std::memory_order_relaxed); }

  const Counters& counters() const { return counters_; }

 private:
  absl::StatusOr<BegunCall> CheckEncrypt(const SecretBytes& plaintext, absl::string_view uid) const;
  absl::StatusOr<BegunCall> CheckDecrypt(const DecryptRequest& request) const;
  // Hides a failure of the key's backend, and tells who wants to know.
  absl::Status KeyFailed(const OpenKeyring::Entry& entry, const absl::Status& status,
                         absl::string_view event, absl::string_view uid) const;

  const std::shared_ptr<const CurrentKeyring> keyring_;
  const std::shared_ptr<const KeyringHealth> health_;
  const std::function<void(uint32_t version)> key_failed_;
  mutable Counters counters_;
};

}  // namespace kekd

#endif  // KEKD_KMS_SERVICE_ENVELOPE_SERVICE_H_
