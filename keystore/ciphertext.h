// The ciphertext format: what Encrypt hands to kube-apiserver and Decrypt takes back.
#ifndef KEKD_KEYSTORE_CIPHERTEXT_H_
#define KEKD_KEYSTORE_CIPHERTEXT_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "keystore/aead.h"
#include "keystore/key_id.h"

namespace kekd {

// A ciphertext is format (1 byte), algorithm (1 byte), key version (u32 big-endian), then what the
// algorithm makes: nonce, ciphertext, tag; for kAes256GcmWrappedKey the wrapped key before them,
// its length (u16 big-endian) before it. docs/formats.md has the table and an example. A view: the
// bytes of `sealed` belong to the caller.
struct Ciphertext {
  static constexpr uint8_t kFormat = 1;
  static constexpr size_t kHeaderBytes = 6;
  static constexpr size_t kMaxPlaintextBytes = 512;
  static constexpr size_t kMaxBytes = 1024;           // what kube-apiserver takes
  static constexpr size_t kMaxWrappedKeyBytes = 512;  // RSA-4096's

  Algorithm algorithm = Algorithm::kXaes256Gcm;
  uint32_t version = 0;
  ByteView sealed;  // [length || wrapped key ||] nonce || ciphertext || tag

  // InvalidArgument if the bytes are not of this format (too short or long, version 0);
  // Unimplemented, by name, if they are of a newer format or algorithm.
  static absl::StatusOr<Ciphertext> Parse(ByteView bytes);
  // The header alone; `sealed` follows it.
  static std::string Header(Algorithm algorithm, uint32_t version);
};

// `sealed` of Algorithm::kAes256GcmWrappedKey. A view too.
struct WrappedKeyCiphertext {
  ByteView wrapped_key;  // 1 to Ciphertext::kMaxWrappedKeyBytes bytes
  ByteView sealed;       // nonce || ciphertext || tag, of a plaintext that is not empty

  // InvalidArgument if it is none.
  static absl::StatusOr<WrappedKeyCiphertext> Parse(ByteView bytes);
  // What comes before `sealed`.
  static std::string Header(absl::string_view wrapped_key);
};

// The associated data of a ciphertext: the length-prefixed fields "kekd/aad/1", format, algorithm,
// cluster id, ring UUID, key id.
std::string CiphertextAssociatedData(const RingIdentity& ring, Algorithm algorithm,
                                     const KeyId& key_id);

// The associated data of a canary: the length-prefixed fields "kekd/canary/1", cluster id, ring
// UUID, version, backend type. (Not the key id: that is made from the canary.)
std::string CanaryAssociatedData(const RingIdentity& ring, uint32_t version,
                                 absl::string_view backend_type);

}  // namespace kekd

#endif  // KEKD_KEYSTORE_CIPHERTEXT_H_
