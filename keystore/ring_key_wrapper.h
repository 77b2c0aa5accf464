// What protects a ring key at rest.
#ifndef KEKD_KEYSTORE_RING_KEY_WRAPPER_H_
#define KEKD_KEYSTORE_RING_KEY_WRAPPER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "base/random_source.h"
#include "keystore/key_id.h"
#include "keystore/key_version.h"
#include "keystore/passphrase_kdf.h"
#include "keystore/ring_key.h"
#include "keystore/secret_source.h"

namespace kekd {

// RingKeyWrapper makes and opens wraps of one type with one secret of the operator's, or with a
// device's key. The secret is read anew at each call and not kept, but for what a person types
// (secret_source.h). Thread-safe.
class RingKeyWrapper {
 public:
  virtual ~RingKeyWrapper() = default;
  virtual WrapType type() const = 0;
  // Where the secret is, for people ("key file /etc/kekd/prod.key").
  virtual std::string Describe() const = 0;
  // Where a key is made for it outside of the record, it is the caller's to see that it is used or
  // discarded (NewWraps).
  virtual absl::StatusOr<Wrap> WrapRingKey(const RingKey& ring_key,
                                           const RingIdentity& ring) const = 0;
  // The same wrap of another ring key: what is outside of the record, reference, number and node
  // stay. `former` is one that UnwrapRingKey opens.
  virtual absl::StatusOr<Wrap> WrapRingKeyAgain(const Wrap& former, const RingKey& ring_key,
                                                const RingIdentity& ring) const;
  // DataLoss if this secret does not open this wrap; the secret's own errors (NotFound,
  // PermissionDenied), and a device's (Unavailable, DeadlineExceeded), as they are.
  virtual absl::StatusOr<std::shared_ptr<const RingKey>> UnwrapRingKey(
      const Wrap& wrap, const RingIdentity& ring, const RandomSource& random) const = 0;
  // Destroys what a wrap that is in no record any more has outside of it: a key on a device. OK if
  // there is nothing, or nothing any more.
  virtual absl::Status Discard(const Wrap& /*wrap*/, const RingIdentity& /*ring*/) const {
    return absl::OkStatus();
  }
};

// NewWraps makes wraps for a record that is not there yet, and discards them again unless it is
// kept. One that could not be discarded is named in the log. Not thread-safe.
class NewWraps final {
 public:
  explicit NewWraps(RingIdentity ring) : ring_(std::move(ring)) {}
  ~NewWraps();
  NewWraps(const NewWraps&) = delete;
  NewWraps& operator=(const NewWraps&) = delete;

  // `wrapper` outlives this, or is outlived by it only once it was kept.
  absl::StatusOr<Wrap> Make(const RingKeyWrapper& wrapper, const RingKey& ring_key);
  void Keep() { made_.clear(); }

 private:
  const RingIdentity ring_;
  std::vector<std::pair<const RingKeyWrapper*, Wrap>> made_;
};

// A wrapper under a key file's secret, which `source` reads (key_file.h). `reference` names it in
// the wrap, for people. `random` outlives the result, as with the two that follow.
std::unique_ptr<RingKeyWrapper> CreateKeyFileWrapper(std::unique_ptr<SecretSource> source,
                                                     absl::string_view reference,
                                                     const RandomSource& random);
// The same under a systemd credential whose content is that of a key file.
std::unique_ptr<RingKeyWrapper> CreateCredentialWrapper(std::unique_ptr<SecretSource> source,
                                                        absl::string_view reference,
                                                        const RandomSource& random);
// Under a passphrase, which is made a key by `function` in new wraps, and by what a wrap says when
// it is opened. A new wrap's passphrase is checked by CheckNewPassphrase.
std::unique_ptr<RingKeyWrapper> CreatePassphraseWrapper(std::unique_ptr<SecretSource> source,
                                                        absl::string_view reference,
                                                        KdfFunction function,
                                                        const RandomSource& random);

// A ring key that was opened, by which wrap, and what opened it (RingKeyWrapper::Describe).
struct OpenedRingKey {
  std::shared_ptr<const RingKey> ring_key;
  uint32_t wrap_number = 0;
  std::string opener;
};

// Opens the ring key with the first of the wraps that `wrapper` fits. NotFound if there is none of
// its type; else the error of the last one. A device that is away is asked once, not for each wrap.
absl::StatusOr<OpenedRingKey> OpenRingKeyWith(absl::Span<const Wrap> wraps,
                                              const RingKeyWrapper& wrapper,
                                              const RingIdentity& ring, const RandomSource& random);

// Opens the ring key with the first wrapper that fits one of the wraps. If none does, the error
// says for each wrapper why.
absl::StatusOr<OpenedRingKey> OpenRingKey(
    absl::Span<const Wrap> wraps, absl::Span<const std::unique_ptr<RingKeyWrapper>> wrappers,
    const RingIdentity& ring, const RandomSource& random);

}  // namespace kekd

#endif  // KEKD_KEYSTORE_RING_KEY_WRAPPER_H_
