#include "base/pem.h"

#include <openssl/err.h>
#include <openssl/pem.h>

#include "absl/strings/str_cat.h"
#include "base/bytes.h"

namespace kekd {
namespace {

int RefusePassphrase(char*, int, int, void* asked) {
  *static_cast<bool*>(asked) = true;
  return -1;
}

}  // namespace

OpenSslPtr<BIO> OpenPem(absl::string_view pem) {
  return OpenSslPtr<BIO>(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
}

absl::StatusOr<OpenSslPtr<EVP_PKEY>> ParsePrivateKey(const SecretBytes& pem,
                                                     absl::string_view what) {
  const OpenSslPtr<BIO> bio = OpenPem(AsText(pem.Reveal(SecretAccessToken())));
  bool asked = false;
  OpenSslPtr<EVP_PKEY> key(PEM_read_bio_PrivateKey(bio.get(), nullptr, RefusePassphrase, &asked));
  ERR_clear_error();
  if (asked) {
    return absl::InvalidArgumentError(
        absl::StrCat(what, " is encrypted under a passphrase: give one that is not"));
  }
  if (key == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(what, " holds no PEM private key"));
  }
  return key;
}

}  // namespace kekd
