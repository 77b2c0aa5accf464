// From a passphrase to a key.
#ifndef KEKD_KEYSTORE_PASSPHRASE_KDF_H_
#define KEKD_KEYSTORE_PASSPHRASE_KDF_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/random_source.h"
#include "base/secret_bytes.h"

namespace kekd {

// The numbers are stored and never reused.
enum class KdfFunction : uint32_t {
  kScrypt = 1,            // RFC 7914
  kPbkdf2HmacSha512 = 2,  // NIST SP 800-132; where only approved functions may be used
};

absl::string_view ToString(KdfFunction function);                    // "scrypt", "pbkdf2"
absl::StatusOr<KdfFunction> KdfFunctionFromNumber(uint32_t number);  // Unimplemented if unknown

// How a passphrase is made a key. Public; stored beside what the key wraps.
struct KdfParameters {
  static constexpr size_t kSaltBytes = 16;

  KdfFunction function = KdfFunction::kScrypt;
  uint32_t log2_n = 0;      // of scrypt: N = 2^log2_n
  uint32_t r = 0;           // of scrypt
  uint32_t p = 0;           // of scrypt
  uint32_t iterations = 0;  // of PBKDF2
  std::string salt;         // kSaltBytes random bytes

  friend bool operator==(const KdfParameters& a, const KdfParameters& b) {
    return a.function == b.function && a.log2_n == b.log2_n && a.r == b.r && a.p == b.p &&
           a.iterations == b.iterations && a.salt == b.salt;
  }
};

// What new wraps get, with a new salt: scrypt N=2^17 r=8 p=1 (128 MiB, about half a second), or
// 600000 iterations of PBKDF2.
absl::StatusOr<KdfParameters> NewKdfParameters(KdfFunction function, const RandomSource& random);

// Whether deriving a key costs what NewKdfParameters makes it cost.
bool HasUsualCost(const KdfParameters& parameters);

// InvalidArgument unless the parameters are whole and within what this machine can be asked to
// spend on a file that nobody has vouched for yet: at most 1 GiB and some ten seconds.
absl::Status CheckKdfParameters(const KdfParameters& parameters);

// A key of 32 bytes. InvalidArgument as CheckKdfParameters; ResourceExhausted if there is not
// enough memory.
absl::StatusOr<SecretBytes> DerivePassphraseKey(const SecretBytes& passphrase,
                                                const KdfParameters& parameters);
// The derivation alone, of any size and without CheckKdfParameters: what published vectors, whose
// costs are small, can be held against. ResourceExhausted as above.
absl::StatusOr<SecretBytes> DeriveUnchecked(const SecretBytes& passphrase,
                                            const KdfParameters& parameters, size_t key_bytes);

// What a passphrase may be when something is wrapped under it: at least kMinPassphraseBytes bytes.
// InvalidArgument otherwise. One that opens something may be any.
inline constexpr size_t kMinPassphraseBytes = 12;
absl::Status CheckNewPassphrase(const SecretBytes& passphrase);

}  // namespace kekd

#endif  // KEKD_KEYSTORE_PASSPHRASE_KDF_H_
