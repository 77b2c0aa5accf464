// The public name of a key version, and what makes a ring one of its kind.
#ifndef KEKD_KEYSTORE_KEY_ID_H_
#define KEKD_KEYSTORE_KEY_ID_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/bytes.h"
#include "base/uuid.h"

namespace kekd {

// What every key id, canary and ciphertext of a ring is bound to. Fixed when the ring is made.
struct RingIdentity {
  std::string name;  // a DNS label (RFC 1123)
  Uuid cluster_id;   // shared by the rings of one cluster
  Uuid ring_uuid;

  friend bool operator==(const RingIdentity& a, const RingIdentity& b) {
    return a.name == b.name && a.cluster_id == b.cluster_id && a.ring_uuid == b.ring_uuid;
  }
};

// 1 to 63 lower-case letters, digits and '-', a letter or digit at both ends (RFC 1123, section
// 2.1). InvalidArgument otherwise.
absl::Status ValidateKeyringName(absl::string_view name);

// KeyId is KMS v2's key_id: "<keyring>.<version>.<32 hex>". It names the key and not a place: the
// digits come from what the key itself encrypted (its canary), so the same label with another key
// behind it is another KeyId. Public; may be logged. A value.
class KeyId final {
 public:
  KeyId() = default;

  // The first 16 bytes of SHA-256 over the length-prefixed fields "kekd/key_id/1", cluster id, ring
  // UUID, version, backend type, canary ciphertext (docs/formats.md).
  static absl::StatusOr<KeyId> Derive(const RingIdentity& ring, uint32_t version,
                                      absl::string_view backend_type, ByteView canary);
  // Takes a stored or received id as it is; whether it is known is for the keyring to say.
  explicit KeyId(absl::string_view text) : text_(text) {}

  const std::string& text() const { return text_; }
  friend bool operator==(const KeyId& a, const KeyId& b) { return a.text_ == b.text_; }

 private:
  std::string text_;
};

}  // namespace kekd

#endif  // KEKD_KEYSTORE_KEY_ID_H_
