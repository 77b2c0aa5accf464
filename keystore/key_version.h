// One KEK of a keyring, as the record describes it.
#ifndef KEKD_KEYSTORE_KEY_VERSION_H_
#define KEKD_KEYSTORE_KEY_VERSION_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "keystore/aead.h"
#include "keystore/key_id.h"
#include "keystore/key_state.h"
#include "keystore/passphrase_kdf.h"

namespace kekd {

enum class WrapType {
  kRingKey,     // of a software KEK, under a key derived from the ring key
  kKeyFile,     // of the ring key, under a key derived from a key file
  kPassphrase,  // of the ring key, under a key derived from a passphrase
  kCredential,  // of the ring key, under a key derived from a systemd credential
  kPkcs11,      // of a KEK or of the ring key, by a key on a PKCS#11 token
};

absl::string_view ToString(WrapType type);

// One protection at rest of the ring key or of an envelope KEK. Of several, any one opens it.
struct Wrap {
  WrapType type = WrapType::kRingKey;
  // What opens it, for people: a key file's path when the wrap was made. Of a ring key's wrap by a
  // device: the device's key, as KeyMaterial::key_reference is of a version's.
  std::string reference;
  std::string node;                       // a host name, or empty for any
  std::string blob;                       // docs/formats.md; mostly nonce || ciphertext || tag
  std::optional<KdfParameters> kdf = {};  // of a passphrase
  // Of a wrap of the ring key, from record format 2 on: its number in the ring, never reused, and
  // when it was made.
  uint32_t number = 0;
  absl::Time creation_time = absl::InfiniteFuture();

  friend bool operator==(const Wrap& a, const Wrap& b) {
    return a.type == b.type && a.reference == b.reference && a.node == b.node && a.blob == b.blob &&
           a.kdf == b.kdf && a.number == b.number && a.creation_time == b.creation_time;
  }
};

// Which key of which ring is meant.
struct KeySpec {
  // Of a device's key that wraps the ring key, and is none of a version.
  static constexpr uint32_t kForRingKey = 0;

  RingIdentity ring;
  uint32_t version = 0;
};

// What a backend needs to open a key again: its own reference, or the wrapped key itself. Public.
struct KeyMaterial {
  Custody custody = Custody::kEnvelope;
  Algorithm algorithm = Algorithm::kXaes256Gcm;
  // The backend's name of the key, or of its key that wraps an envelope KEK; empty for software.
  std::string key_reference;
  std::vector<Wrap> wraps;  // of an envelope KEK

  // Whether a key outside of the record belongs to it, without which it can't be opened.
  bool HasDeviceKey() const { return custody == Custody::kDevice || !key_reference.empty(); }

  friend bool operator==(const KeyMaterial& a, const KeyMaterial& b) {
    return a.custody == b.custody && a.algorithm == b.algorithm &&
           a.key_reference == b.key_reference && a.wraps == b.wraps;
  }
};

// What the record keeps of a time; rounding before keeps a ring in memory equal to what is read
// back.
inline absl::Time ToMillisecond(absl::Time time) {
  return absl::FromUnixMillis(absl::ToUnixMillis(time));
}

// A key version (NIST SP 800-57's "key"; PKCS#11's secret-key object): number, name, where it is,
// state and times. Times that have not come yet are absl::InfiniteFuture(). Kept to the
// millisecond.
struct KeyVersion {
  uint32_t number = 0;  // 1, 2, 3 …, never reused
  KeyId key_id;
  std::string backend;  // its type: "software", …
  KeyMaterial material;
  std::string canary;  // 32 random bytes under this key, in the ciphertext format
  KeyState state = KeyState::kPreActivation;
  absl::Time creation_time = absl::InfiniteFuture();
  absl::Time activation_time = absl::InfiniteFuture();
  absl::Time deactivation_time = absl::InfiniteFuture();
  absl::Time destruction_time = absl::InfiniteFuture();
  absl::Time compromise_time = absl::InfiniteFuture();

  bool IsCompromised() const { return compromise_time != absl::InfiniteFuture(); }

  friend bool operator==(const KeyVersion& a, const KeyVersion& b) {
    return a.number == b.number && a.key_id == b.key_id && a.backend == b.backend &&
           a.material == b.material && a.canary == b.canary && a.state == b.state &&
           a.creation_time == b.creation_time && a.activation_time == b.activation_time &&
           a.deactivation_time == b.deactivation_time && a.destruction_time == b.destruction_time &&
           a.compromise_time == b.compromise_time;
  }
};

}  // namespace kekd

#endif  // KEKD_KEYSTORE_KEY_VERSION_H_
