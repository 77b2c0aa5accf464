#include "kms/ctl/report_signature.h"

#include <openssl/evp.h>

#include <memory>
#include <optional>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/bytes.h"
#include "base/openssl.h"
#include "base/pem.h"
#include "base/private_file.h"
#include "base/secret_bytes.h"
#include "base/status_macros.h"

namespace kekd {
namespace {

constexpr size_t kSignatureBytes = 64;
constexpr size_t kMaxKeyBytes = 32 << 10;

absl::Status NoEd25519Key(const std::string& path, absl::string_view why) {
  return absl::InvalidArgumentError(
      absl::StrCat("signing key ", path, " is no Ed25519 key: ", why,
                   "; 'openssl genpkey -algorithm ed25519' makes one"));
}

}  // namespace

absl::StatusOr<std::string> SignReport(FileSystem& fs, const std::string& key_path,
                                       absl::string_view report) {
  KEKD_ASSIGN_OR_RETURN(const SecretBytes pem,
                        ReadPrivateFile(fs, "signing key", key_path, kMaxKeyBytes, std::nullopt));
  const absl::StatusOr<OpenSslPtr<EVP_PKEY>> key = ParsePrivateKey(pem, "it");
  if (!key.ok()) return NoEd25519Key(key_path, key.status().message());
  if (EVP_PKEY_get_base_id(key->get()) != EVP_PKEY_ED25519) {
    return NoEd25519Key(key_path, "it is of another kind");
  }
  const OpenSslPtr<EVP_MD_CTX> context(EVP_MD_CTX_new());
  std::string signature(kSignatureBytes, '\0');
  size_t size = signature.size();
  // Ed25519 takes the whole message at once and no digest of it.
  if (context == nullptr ||
      EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key->get()) != 1 ||
      EVP_DigestSign(context.get(), AsWritableBytes(signature).data(), &size,
                     AsBytes(report).data(), report.size()) != 1 ||
      size != kSignatureBytes) {
    return OpenSslError("signing the report");
  }
  return signature;
}

}  // namespace kekd
