// Who can open the encrypted DEK source of an object.
#ifndef KEKD_CLUSTER_DEK_SOURCE_OPENER_H_
#define KEKD_CLUSTER_DEK_SOURCE_OPENER_H_

#include <cstddef>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/secret_bytes.h"
#include "keystore/open_keyring.h"

namespace kekd {

// DekSourceOpener stands where a KMS v2 plugin stands for kube-apiserver: its Decrypt. Thread-safe.
class DekSourceOpener {
 public:
  virtual ~DekSourceOpener() = default;
  // The codes tell apart what must never be mixed up: InvalidArgument only if it is proved that the
  // encrypted source, its key_id or its annotations were altered; NotFound if the key is none of
  // those at hand, or has been destroyed; anything else says nothing of the data.
  virtual absl::StatusOr<SecretBytes> Open(absl::string_view encrypted_source,
                                           absl::string_view key_id, size_t annotations,
                                           absl::Time deadline) const = 0;
};

// Opens with the keys of these keyrings, by the rules of kekd's own Decrypt (AddressCiphertext): an
// exact match of key_id and header, no key is ever tried. A key that refuses has to open its canary
// right after that, so that a token which is gone, or has another key now, is never told as damaged
// data: Unavailable then.
std::unique_ptr<const DekSourceOpener> CreateKeyringDekSourceOpener(
    std::vector<std::shared_ptr<const OpenKeyring>> keyrings);

}  // namespace kekd

#endif  // KEKD_CLUSTER_DEK_SOURCE_OPENER_H_
