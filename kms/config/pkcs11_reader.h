// The part of the configuration that is of a PKCS#11 token.
#ifndef KEKD_KMS_CONFIG_PKCS11_READER_H_
#define KEKD_KMS_CONFIG_PKCS11_READER_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "kms/config/config.h"
#include "kms/config/yaml_reader.h"

namespace kekd {

// Errors as ParseConfig's.
absl::StatusOr<Pkcs11Config> ReadPkcs11(const YamlReader& reader);
// The name of a systemd credential (systemd.exec(5)): a file's name, of 255 bytes at most.
absl::StatusOr<std::string> ReadCredentialName(const YamlReader& reader);

}  // namespace kekd

#endif  // KEKD_KMS_CONFIG_PKCS11_READER_H_
