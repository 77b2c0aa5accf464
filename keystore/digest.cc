#include "keystore/digest.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include "base/openssl.h"

namespace kekd {
namespace {

constexpr size_t kDerivedKeyBytes = 32;

// Fetched once: an implicit fetch costs more than the digest of a short message.
EVP_MAC* Hmac() {
  static EVP_MAC* const mac = EVP_MAC_fetch(nullptr, "HMAC", nullptr);
  return mac;
}

EVP_KDF* Hkdf() {
  static EVP_KDF* const kdf = EVP_KDF_fetch(nullptr, "HKDF", nullptr);
  return kdf;
}

// OSSL_PARAM wants writable pointers but reads only, and takes null for a mistake.
OSSL_PARAM OctetParam(const char* name, ByteView bytes) {
  static constexpr uint8_t kNone = 0;
  if (bytes.empty()) bytes = ByteView(&kNone, 0);
  return OSSL_PARAM_construct_octet_string(name, const_cast<uint8_t*>(bytes.data()), bytes.size());
}

OSSL_PARAM Sha256Param(const char* name) {
  static char sha256[] = "SHA256";
  return OSSL_PARAM_construct_utf8_string(name, sha256, 0);
}

absl::StatusOr<SecretBytes> DeriveByHkdf(const OSSL_PARAM* params) {
  OpenSslPtr<EVP_KDF_CTX> context(EVP_KDF_CTX_new(Hkdf()));
  if (context == nullptr) return OpenSslError("EVP_KDF_CTX_new");
  SecretBytes derived(kDerivedKeyBytes);
  if (EVP_KDF_derive(context.get(), derived.RevealMutable(SecretAccessToken()).data(),
                     derived.size(), params) != 1) {
    return OpenSslError("EVP_KDF_derive (HKDF-SHA-256)");
  }
  return derived;
}

}  // namespace

absl::StatusOr<Sha256Digest> Sha256(ByteView bytes) {
  Sha256Digest digest;
  if (EVP_Digest(bytes.data(), bytes.size(), digest.data(), nullptr, EVP_sha256(), nullptr) != 1) {
    return OpenSslError("EVP_Digest");
  }
  return digest;
}

absl::StatusOr<Sha256Digest> HmacSha256(const SecretBytes& key, ByteView bytes) {
  OpenSslPtr<EVP_MAC_CTX> context(EVP_MAC_CTX_new(Hmac()));
  if (context == nullptr) return OpenSslError("EVP_MAC_CTX_new");
  const OSSL_PARAM params[] = {Sha256Param(OSSL_MAC_PARAM_DIGEST), OSSL_PARAM_construct_end()};
  const ByteView raw = key.Reveal(SecretAccessToken());
  Sha256Digest digest;
  size_t size = 0;
  if (EVP_MAC_init(context.get(), raw.data(), raw.size(), params) != 1 ||
      EVP_MAC_update(context.get(), bytes.data(), bytes.size()) != 1 ||
      EVP_MAC_final(context.get(), digest.data(), &size, digest.size()) != 1 ||
      size != digest.size()) {
    return OpenSslError("EVP_MAC (HMAC-SHA-256)");
  }
  return digest;
}

absl::StatusOr<SecretBytes> HkdfSha256(const SecretBytes& key, ByteView salt,
                                       absl::string_view info) {
  const OSSL_PARAM params[] = {Sha256Param(OSSL_KDF_PARAM_DIGEST),
                               OctetParam(OSSL_KDF_PARAM_KEY, key.Reveal(SecretAccessToken())),
                               OctetParam(OSSL_KDF_PARAM_SALT, salt),
                               OctetParam(OSSL_KDF_PARAM_INFO, AsBytes(info)),
                               OSSL_PARAM_construct_end()};
  return DeriveByHkdf(params);
}

absl::StatusOr<SecretBytes> HkdfExpandSha256(const SecretBytes& prk, ByteView info) {
  int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
  const OSSL_PARAM params[] = {OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
                               Sha256Param(OSSL_KDF_PARAM_DIGEST),
                               OctetParam(OSSL_KDF_PARAM_KEY, prk.Reveal(SecretAccessToken())),
                               OctetParam(OSSL_KDF_PARAM_INFO, info), OSSL_PARAM_construct_end()};
  return DeriveByHkdf(params);
}

}  // namespace kekd
