// PEM files (RFC 7468) for libcrypto.
#ifndef KEKD_BASE_PEM_H_
#define KEKD_BASE_PEM_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/openssl.h"
#include "base/secret_bytes.h"

namespace kekd {

// The text for libcrypto's PEM readers. It is not copied, and outlives the result.
OpenSslPtr<BIO> OpenPem(absl::string_view pem);

// The first private key. InvalidArgument, beginning with `what`, if there is none or if it is under
// a passphrase, for which libcrypto would ask on the terminal by itself.
absl::StatusOr<OpenSslPtr<EVP_PKEY>> ParsePrivateKey(const SecretBytes& pem,
                                                     absl::string_view what);

}  // namespace kekd

#endif  // KEKD_BASE_PEM_H_
