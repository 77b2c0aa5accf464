#include "hsm/pkcs11/rsa_oaep.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include <memory>

#include "absl/strings/str_cat.h"
#include "base/openssl.h"
#include "base/status_macros.h"
#include "hsm/pkcs11/attributes.h"
#include "hsm/pkcs11/cryptoki_status.h"

namespace kekd {
namespace {

constexpr int kMaxExponentBits = 256;

struct NumberDeleter {
  void operator()(BIGNUM* p) const { BN_free(p); }
  void operator()(OSSL_PARAM_BLD* p) const { OSSL_PARAM_BLD_free(p); }
  void operator()(OSSL_PARAM* p) const { OSSL_PARAM_free(p); }
  void operator()(EVP_PKEY_CTX* p) const { EVP_PKEY_CTX_free(p); }
};
template <typename T>
using Owned = std::unique_ptr<T, NumberDeleter>;

absl::StatusOr<OpenSslPtr<EVP_PKEY>> DecodePublicKey(absl::string_view der) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(der.data());
  const unsigned char* const end = bytes + der.size();
  OpenSslPtr<EVP_PKEY> key(d2i_PUBKEY(nullptr, &bytes, static_cast<long>(der.size())));
  if (key == nullptr || bytes != end || EVP_PKEY_is_a(key.get(), "RSA") != 1) {
    (void)OpenSslError("d2i_PUBKEY");  // empties its queue
    return absl::FailedPreconditionError("the reference's public key is no RSA key");
  }
  return key;
}

int BitsOf(const EVP_PKEY* key) { return EVP_PKEY_get_bits(key); }

}  // namespace

absl::StatusOr<std::string> EncodePublicKey(ByteView modulus, ByteView exponent) {
  const Owned<BIGNUM> n(BN_bin2bn(modulus.data(), static_cast<int>(modulus.size()), nullptr));
  const Owned<BIGNUM> e(BN_bin2bn(exponent.data(), static_cast<int>(exponent.size()), nullptr));
  if (n == nullptr || e == nullptr) return OpenSslError("BN_bin2bn");
  const auto bits = static_cast<size_t>(BN_num_bits(n.get()));
  if (bits < kMinRsaBits || bits > kMaxRsaBits) {
    return absl::FailedPreconditionError(absl::StrCat(
        "an RSA key of ", bits, " bits; ", kMinRsaBits, " to ", kMaxRsaBits, " are used"));
  }
  if (!BN_is_odd(e.get()) || BN_is_one(e.get()) || BN_num_bits(e.get()) > kMaxExponentBits) {
    return absl::FailedPreconditionError("an RSA key with a public exponent that none should have");
  }
  const Owned<OSSL_PARAM_BLD> builder(OSSL_PARAM_BLD_new());
  if (builder == nullptr ||
      OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, n.get()) != 1 ||
      OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, e.get()) != 1) {
    return OpenSslError("OSSL_PARAM_BLD_push_BN");
  }
  const Owned<OSSL_PARAM> parameters(OSSL_PARAM_BLD_to_param(builder.get()));
  const Owned<EVP_PKEY_CTX> context(EVP_PKEY_CTX_new_from_name(nullptr, "RSA", nullptr));
  EVP_PKEY* made = nullptr;
  if (parameters == nullptr || context == nullptr || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &made, EVP_PKEY_PUBLIC_KEY, parameters.get()) != 1) {
    return OpenSslError("EVP_PKEY_fromdata");
  }
  const OpenSslPtr<EVP_PKEY> key(made);
  const int size = i2d_PUBKEY(key.get(), nullptr);
  if (size <= 0) return OpenSslError("i2d_PUBKEY");
  std::string der(static_cast<size_t>(size), '\0');
  unsigned char* out = AsWritableBytes(der).data();
  if (i2d_PUBKEY(key.get(), &out) != size) return OpenSslError("i2d_PUBKEY");
  return der;
}

absl::StatusOr<std::string> OaepSeal(absl::string_view public_key, KeyMechanism mechanism,
                                     const SecretBytes& one_time_key) {
  KEKD_ASSIGN_OR_RETURN(const OpenSslPtr<EVP_PKEY> key, DecodePublicKey(public_key));
  const auto bits = static_cast<size_t>(BitsOf(key.get()));
  if (bits < kMinRsaBits || bits > kMaxRsaBits) {
    return absl::FailedPreconditionError(absl::StrCat("an RSA key of ", bits, " bits"));
  }
  const Owned<EVP_PKEY_CTX> context(EVP_PKEY_CTX_new_from_pkey(nullptr, key.get(), nullptr));
  const EVP_MD* const hash = mechanism == KeyMechanism::kRsaOaepSha256 ? EVP_sha256() : EVP_sha1();
  if (context == nullptr || EVP_PKEY_encrypt_init(context.get()) != 1 ||
      EVP_PKEY_CTX_set_rsa_padding(context.get(), RSA_PKCS1_OAEP_PADDING) != 1 ||
      EVP_PKEY_CTX_set_rsa_oaep_md(context.get(), hash) != 1 ||
      EVP_PKEY_CTX_set_rsa_mgf1_md(context.get(), hash) != 1) {
    return OpenSslError("EVP_PKEY_encrypt_init");
  }
  std::string sealed((bits + 7) / 8, '\0');
  size_t size = sealed.size();
  const ByteView input = one_time_key.Reveal(SecretAccessToken());
  if (EVP_PKEY_encrypt(context.get(), AsWritableBytes(sealed).data(), &size, input.data(),
                       input.size()) != 1 ||
      size != sealed.size()) {
    return OpenSslError("EVP_PKEY_encrypt");
  }
  return sealed;
}

absl::StatusOr<SecretBytes> OaepOpen(const Module& module, CK_SESSION_HANDLE session,
                                     CK_OBJECT_HANDLE key, KeyMechanism mechanism,
                                     ByteView sealed) {
  if (sealed.size() < kMinRsaBits / 8 || sealed.size() > kMaxRsaBits / 8) {
    return absl::InvalidArgumentError("the ciphertext has no size that one can have");
  }
  CK_RSA_PKCS_OAEP_PARAMS parameters = {};
  const bool sha256 = mechanism == KeyMechanism::kRsaOaepSha256;
  parameters.hashAlg = sha256 ? CKM_SHA256 : CKM_SHA_1;
  parameters.mgf = sha256 ? CKG_MGF1_SHA256 : CKG_MGF1_SHA1;
  parameters.source = CKZ_DATA_SPECIFIED;
  CK_MECHANISM with = {CKM_RSA_PKCS_OAEP, &parameters, sizeof(parameters)};
  KEKD_RETURN_IF_ERROR(CheckRv(module->C_DecryptInit(session, &with, key), "C_DecryptInit"));
  // As large as the modulus: some tokens ask for that much.
  SecretBytes plaintext(sealed.size());
  CK_ULONG size = plaintext.size();
  KEKD_RETURN_IF_ERROR(
      CheckRv(module->C_Decrypt(session, Unconst(sealed.data()), sealed.size(),
                                plaintext.RevealMutable(SecretAccessToken()).data(), &size),
              "C_Decrypt"));
  if (size != kOneTimeKeyBytes) {
    return CkRvError(CKR_ENCRYPTED_DATA_INVALID, "C_Decrypt",
                     absl::StrCat(size, " bytes came out"));
  }
  plaintext.Truncate(size);
  return plaintext;
}

}  // namespace kekd
