// A keyed hash for sets of keys that somebody else chose.
#ifndef KEKD_CLUSTER_ETCD_FILE_KEY_HASH_H_
#define KEKD_CLUSTER_ETCD_FILE_KEY_HASH_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"

namespace kekd {

struct KeyHash {
  uint64_t low = 0;
  uint64_t high = 0;

  friend bool operator==(const KeyHash& a, const KeyHash& b) = default;
  // It is uniform already.
  template <typename H>
  friend H AbslHashValue(H state, const KeyHash& hash) {
    return H::combine(std::move(state), hash.low);
  }
};

// KeyHasher is SipHash-2-4 with 128 bits of output (Aumasson and Bernstein, 2012, and the authors'
// reference code for 128 bits): a pseudo-random function, so that a file whose maker does not know
// the key can't hold two keys with one hash. Thread-compatible.
class KeyHasher final {
 public:
  using Key = std::array<uint8_t, 16>;

  explicit KeyHasher(const Key& key);
  KeyHash Hash(absl::string_view bytes) const;

 private:
  uint64_t k0_ = 0;
  uint64_t k1_ = 0;
};

}  // namespace kekd

#endif  // KEKD_CLUSTER_ETCD_FILE_KEY_HASH_H_
