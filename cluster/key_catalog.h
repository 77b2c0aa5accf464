// Whose key a key_id in etcd is.
#ifndef KEKD_CLUSTER_KEY_CATALOG_H_
#define KEKD_CLUSTER_KEY_CATALOG_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/string_view.h"
#include "keystore/key_state.h"
#include "keystore/keyring.h"

namespace kekd {

// A key version as a scan knows it. A value.
struct CatalogKey {
  std::string keyring;   // its name
  uint32_t version = 0;  // its number
  KeyState state = KeyState::kPreActivation;
  bool primary = false;
  bool compromised = false;
};

// KeyCatalog knows the key ids of any number of keyrings, and opens none of the keys.
// Thread-compatible.
class KeyCatalog final {
 public:
  // Of a keyring, or key id, that was added before, what is added later counts.
  void Add(const Keyring& keyring);
  void AddKey(absl::string_view key_id, CatalogKey key);

  bool empty() const { return keys_.empty(); }
  // Of all keyrings, sorted.
  std::vector<std::string> PrimaryKeyIds() const;
  // Of one keyring, sorted.
  std::vector<std::string> KeyIdsOf(absl::string_view keyring) const;
  // Null if no keyring has it.
  const CatalogKey* Find(absl::string_view key_id) const;
  // Whether the id has the form of one of these keyrings' ("<name>.<version>.<32 hex>"): unknown to
  // the copy at hand, and yet most likely theirs.
  bool LooksLikeOurs(absl::string_view key_id) const;

 private:
  absl::flat_hash_map<std::string, CatalogKey> keys_;  // by key id
  absl::flat_hash_set<std::string> names_;             // of keyrings
};

}  // namespace kekd

#endif  // KEKD_CLUSTER_KEY_CATALOG_H_
