// Signatures of reports.
#ifndef KEKD_KMS_CTL_REPORT_SIGNATURE_H_
#define KEKD_KMS_CTL_REPORT_SIGNATURE_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/file_system.h"

namespace kekd {

// The Ed25519 signature (RFC 8032, 64 bytes) of `report` with the private key in a PEM file
// (PKCS#8, RFC 8410; 'openssl genpkey -algorithm ed25519' makes one), to be checked with
// 'openssl pkeyutl -verify -rawin'. InvalidArgument if the file holds no such key or one under a
// passphrase; PermissionDenied if others may read it.
absl::StatusOr<std::string> SignReport(FileSystem& fs, const std::string& key_path,
                                       absl::string_view report);

}  // namespace kekd

#endif  // KEKD_KMS_CTL_REPORT_SIGNATURE_H_
