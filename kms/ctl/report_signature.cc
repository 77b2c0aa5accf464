#include "kms/ctl/report_signature.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <memory>
#include <optional>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/bytes.h"
#include "base/openssl.h"
#include "base/secret_bytes.h"
#include "base/status_macros.h"
#include "keystore/secret_source.h"

namespace kekd {
namespace {

constexpr size_t kSignatureBytes = 64;

// A key under a passphrase would be asked for on the terminal by libcrypto itself.
int NoPassphrase(char*, int, int, void*) { return -1; }

absl::Status NoEd25519Key(const std::string& path) {
  return absl::InvalidArgumentError(
      absl::StrCat(path, " holds no Ed25519 key; 'openssl genpkey -algorithm ed25519' makes one"));
}

absl::StatusOr<OpenSslPtr<EVP_PKEY>> ParseKey(const SecretBytes& pem, const std::string& path) {
  const ByteView bytes = pem.Reveal(SecretAccessToken());
  const OpenSslPtr<BIO> bio(BIO_new_mem_buf(bytes.data(), static_cast<int>(bytes.size())));
  if (bio == nullptr) return OpenSslError("BIO_new_mem_buf");
  OpenSslPtr<EVP_PKEY> key(PEM_read_bio_PrivateKey(bio.get(), nullptr, NoPassphrase, nullptr));
  if (key == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, " holds no private key that can be used: ", OpenSslError("PEM").message(),
        "; 'openssl genpkey -algorithm ed25519' makes one"));
  }
  if (EVP_PKEY_get_base_id(key.get()) != EVP_PKEY_ED25519) return NoEd25519Key(path);
  return key;
}

}  // namespace

absl::StatusOr<std::string> SignReport(FileSystem& fs, const std::string& key_path,
                                       absl::string_view report) {
  const absl::StatusOr<SecretBytes> pem =
      CreateFileSecretSource(fs, "signing key", key_path, std::nullopt)->Read();
  // An RSA key, most likely.
  if (absl::IsOutOfRange(pem.status())) return NoEd25519Key(key_path);
  if (!pem.ok()) return pem.status();
  KEKD_ASSIGN_OR_RETURN(const OpenSslPtr<EVP_PKEY> key, ParseKey(*pem, key_path));
  const OpenSslPtr<EVP_MD_CTX> context(EVP_MD_CTX_new());
  std::string signature(kSignatureBytes, '\0');
  size_t size = signature.size();
  // Ed25519 takes the whole message at once and no digest of it.
  if (context == nullptr ||
      EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key.get()) != 1 ||
      EVP_DigestSign(context.get(), AsWritableBytes(signature).data(), &size,
                     AsBytes(report).data(), report.size()) != 1 ||
      size != kSignatureBytes) {
    return OpenSslError("signing the report");
  }
  return signature;
}

}  // namespace kekd
