// Authenticated encryption with a key in locked memory.
#ifndef KEKD_KEYSTORE_AEAD_H_
#define KEKD_KEYSTORE_AEAD_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/bytes.h"
#include "base/random_source.h"
#include "base/secret_bytes.h"

namespace kekd {

// The algorithm byte of a ciphertext. Numbers are never reused.
enum class Algorithm : uint8_t {
  kXaes256Gcm = 1,  // C2SP XAES-256-GCM: random 24-byte nonce, no bound on uses that matters
  kAes256Gcm = 2,   // NIST SP 800-38D: 12-byte nonce; for devices and approved mode
  // A one-time key as a device wraps it, then AES-256-GCM under that one: for devices that can do
  // no more. A backend's own; there is no Aead of it.
  kAes256GcmWrappedKey = 3,
};

absl::string_view ToString(Algorithm algorithm);                 // "XAES-256-GCM", …
absl::StatusOr<Algorithm> AlgorithmFromNumber(uint32_t number);  // Unimplemented if unknown
size_t NonceSize(Algorithm algorithm);                           // bytes; of kAes256GcmWrappedKey
                                                                 // those after the wrapped key
inline constexpr size_t kAeadTagBytes = 16;
inline constexpr size_t kAes256KeyBytes = 32;

// An authenticated cipher with associated data (RFC 5116) under one key. What Encrypt makes is
// nonce || ciphertext || tag, the nonce drawn at random. Thread-safe.
class Aead {
 public:
  virtual ~Aead() = default;
  virtual Algorithm algorithm() const = 0;
  // Internal if libcrypto or the random source fails; never anything else.
  virtual absl::StatusOr<std::string> Encrypt(const SecretBytes& plaintext,
                                              ByteView associated_data) const = 0;
  // InvalidArgument if `sealed` is not what Encrypt made under this key with this associated data
  // (which of these it is can't be told). No plaintext leaves before the tag has been verified.
  virtual absl::StatusOr<SecretBytes> Decrypt(ByteView sealed, ByteView associated_data) const = 0;
};

// `key` has kAes256KeyBytes bytes; InvalidArgument otherwise. `random` outlives the result.
absl::StatusOr<std::unique_ptr<const Aead>> CreateAead(Algorithm algorithm, SecretBytes key,
                                                       const RandomSource& random);

// Opens nonce || ciphertext || tag of AES-GCM with a 12-byte nonce under a key of 16, 24 or 32
// bytes: for what others encrypt, kube-apiserver with its DEKs. (An Aead of ours has a 32-byte key,
// and a key here is used once.) InvalidArgument as Aead::Decrypt; FailedPrecondition if the key has
// another size.
absl::StatusOr<SecretBytes> OpenAesGcm(const SecretBytes& key, ByteView sealed,
                                       ByteView associated_data);

}  // namespace kekd

#endif  // KEKD_KEYSTORE_AEAD_H_
