#include "keystore/passphrase_kdf.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>

#include "absl/strings/str_cat.h"
#include "base/openssl.h"
#include "base/secret_stack.h"
#include "base/status_macros.h"

namespace kekd {
namespace {

constexpr size_t kKeyBytes = 32;
constexpr uint64_t kMaxMemoryBytes = uint64_t{1} << 30;
constexpr uint32_t kMinLog2N = 14;  // OWASP's least with p=5 and more
constexpr uint32_t kMaxLog2N = 20;
constexpr uint32_t kMaxP = 8;
constexpr uint32_t kMinIterations = 100000;
constexpr uint32_t kMaxIterations = 10000000;

uint64_t ScryptMemory(const KdfParameters& parameters) {
  return (uint64_t{128} << parameters.log2_n) * parameters.r;
}

absl::Status CheckScrypt(const KdfParameters& parameters) {
  if (parameters.iterations != 0 || parameters.log2_n < kMinLog2N ||
      parameters.log2_n > kMaxLog2N || parameters.r == 0 || parameters.r > 32 ||
      parameters.p == 0 || parameters.p > kMaxP || ScryptMemory(parameters) > kMaxMemoryBytes) {
    return absl::InvalidArgumentError(absl::StrCat("scrypt's parameters N=2^", parameters.log2_n,
                                                   " r=", parameters.r, " p=", parameters.p,
                                                   " are out of bounds"));
  }
  return absl::OkStatus();
}

absl::Status CheckPbkdf2(const KdfParameters& parameters) {
  if (parameters.log2_n != 0 || parameters.r != 0 || parameters.p != 0 ||
      parameters.iterations < kMinIterations || parameters.iterations > kMaxIterations) {
    return absl::InvalidArgumentError(
        absl::StrCat("PBKDF2's ", parameters.iterations, " iterations are out of bounds"));
  }
  return absl::OkStatus();
}

KdfParameters UsualCost(KdfFunction function) {
  KdfParameters parameters;
  parameters.function = function;
  if (function == KdfFunction::kScrypt) {
    parameters.log2_n = 17;
    parameters.r = 8;
    parameters.p = 1;
  } else {
    parameters.iterations = 600000;
  }
  return parameters;
}

absl::StatusOr<SecretBytes> Derive(const SecretBytes& passphrase, const KdfParameters& parameters,
                                   size_t key_bytes) {
  const ByteView secret = passphrase.Reveal(SecretAccessToken());
  const ByteView salt = AsBytes(parameters.salt);
  SecretBytes key(key_bytes);
  uint8_t* const out = key.RevealMutable(SecretAccessToken()).data();
  if (parameters.function == KdfFunction::kScrypt) {
    // OpenSSL counts a little more than the 128 N r bytes of RFC 7914.
    if (EVP_PBE_scrypt(reinterpret_cast<const char*>(secret.data()), secret.size(), salt.data(),
                       salt.size(), uint64_t{1} << parameters.log2_n, parameters.r, parameters.p,
                       ScryptMemory(parameters) + (uint64_t{16} << 20), out, key_bytes) == 1) {
      return key;
    }
    ERR_clear_error();
    return absl::ResourceExhaustedError(absl::StrCat("scrypt failed; it needs ",
                                                     ScryptMemory(parameters) >> 20,
                                                     " MiB of memory: free some and try again"));
  }
  if (PKCS5_PBKDF2_HMAC(reinterpret_cast<const char*>(secret.data()),
                        static_cast<int>(secret.size()), salt.data(), static_cast<int>(salt.size()),
                        static_cast<int>(parameters.iterations), EVP_sha512(),
                        static_cast<int>(key_bytes), out) == 1) {
    return key;
  }
  return OpenSslError("PBKDF2");
}

}  // namespace

bool HasUsualCost(const KdfParameters& parameters) {
  KdfParameters usual = UsualCost(parameters.function);
  usual.salt = parameters.salt;
  return parameters == usual;
}

absl::string_view ToString(KdfFunction function) {
  switch (function) {
    case KdfFunction::kScrypt:
      return "scrypt";
    case KdfFunction::kPbkdf2HmacSha512:
      return "pbkdf2";
  }
  return "?";
}

absl::StatusOr<KdfFunction> KdfFunctionFromNumber(uint32_t number) {
  switch (number) {
    case 1:
      return KdfFunction::kScrypt;
    case 2:
      return KdfFunction::kPbkdf2HmacSha512;
    default:
      return absl::UnimplementedError(absl::StrCat("unknown key derivation function ", number,
                                                   ": it was written by a newer kekd"));
  }
}

absl::StatusOr<KdfParameters> NewKdfParameters(KdfFunction function, const RandomSource& random) {
  KdfParameters parameters = UsualCost(function);
  uint8_t salt[KdfParameters::kSaltBytes];
  KEKD_RETURN_IF_ERROR(random.Fill(salt));
  parameters.salt.assign(reinterpret_cast<const char*>(salt), sizeof(salt));
  return parameters;
}

absl::Status CheckKdfParameters(const KdfParameters& parameters) {
  if (parameters.salt.size() != KdfParameters::kSaltBytes) {
    return absl::InvalidArgumentError(absl::StrCat("the passphrase's salt has ",
                                                   parameters.salt.size(), " bytes instead of ",
                                                   KdfParameters::kSaltBytes));
  }
  switch (parameters.function) {
    case KdfFunction::kScrypt:
      return CheckScrypt(parameters);
    case KdfFunction::kPbkdf2HmacSha512:
      return CheckPbkdf2(parameters);
  }
  return absl::InvalidArgumentError("unknown key derivation function");
}

absl::StatusOr<SecretBytes> DerivePassphraseKey(const SecretBytes& passphrase,
                                                const KdfParameters& parameters) {
  KEKD_RETURN_IF_ERROR(CheckKdfParameters(parameters));
  return DeriveUnchecked(passphrase, parameters, kKeyBytes);
}

absl::StatusOr<SecretBytes> DeriveUnchecked(const SecretBytes& passphrase,
                                            const KdfParameters& parameters, size_t key_bytes) {
  absl::StatusOr<SecretBytes> key = absl::UnknownError("not derived");
  RunOnSecretStack([&] { key = Derive(passphrase, parameters, key_bytes); });
  return key;
}

absl::Status CheckNewPassphrase(const SecretBytes& passphrase) {
  if (passphrase.size() >= kMinPassphraseBytes) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "the passphrase has ", passphrase.size(), " bytes; it must have ", kMinPassphraseBytes,
      " at least (five random words are a good one): who has a copy of the file can try "
      "passphrases as long as he likes"));
}

}  // namespace kekd
