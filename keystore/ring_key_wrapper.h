// What protects a ring key at rest.
#ifndef KEKD_KEYSTORE_RING_KEY_WRAPPER_H_
#define KEKD_KEYSTORE_RING_KEY_WRAPPER_H_

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/random_source.h"
#include "keystore/key_id.h"
#include "keystore/key_version.h"
#include "keystore/ring_key.h"

namespace kekd {

// RingKeyWrapper makes and opens wraps of one type with one secret of the operator's. The secret is
// read anew at each call and not kept. Thread-safe.
class RingKeyWrapper {
 public:
  virtual ~RingKeyWrapper() = default;
  virtual WrapType type() const = 0;
  // Where the secret is, for people ("key file /etc/kekd/prod.key").
  virtual std::string Describe() const = 0;
  virtual absl::StatusOr<Wrap> WrapRingKey(const RingKey& ring_key,
                                           const RingIdentity& ring) const = 0;
  // DataLoss if this secret does not open this wrap; the secret's own errors (NotFound,
  // PermissionDenied) as they are.
  virtual absl::StatusOr<std::shared_ptr<const RingKey>> UnwrapRingKey(
      const Wrap& wrap, const RingIdentity& ring, const RandomSource& random) const = 0;
};

// Opens the ring key with the first wrapper that fits one of the wraps. If none does, the error
// says for each wrapper why.
absl::StatusOr<std::shared_ptr<const RingKey>> OpenRingKey(
    absl::Span<const Wrap> wraps, absl::Span<const std::unique_ptr<RingKeyWrapper>> wrappers,
    const RingIdentity& ring, const RandomSource& random);

}  // namespace kekd

#endif  // KEKD_KEYSTORE_RING_KEY_WRAPPER_H_
