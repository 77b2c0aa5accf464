// What the verbs found, for scripts. Field names never change; times are RFC 3339 in UTC, and null
// for never.
#ifndef KEKD_KMS_CTL_JSON_OUTPUT_H_
#define KEKD_KMS_CTL_JSON_OUTPUT_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "kekd/admin/v1/admin.pb.h"
#include "keystore/key_version.h"
#include "kms/config/config.h"
#include "kms/ctl/backup_report.h"
#include "kms/ctl/check_report.h"
#include "kms/ctl/encryption_config.h"
#include "kms/ctl/key_show_report.h"
#include "kms/ctl/recover_report.h"
#include "kms/ctl/verify_report.h"

namespace kekd {

std::string InitJson(const admin::v1::Keyring& keyring, const std::string& directory,
                     const std::vector<std::string>& new_key_files,
                     const std::optional<BackupReport>& backup);
// Of a backup that was made or verified.
std::string BackupJson(const BackupReport& report);
std::string RestoreJson(const RestoreReport& report);
std::string KeyringJson(const admin::v1::Keyring& keyring);
// What the configuration's unlock list does with a keyring's wraps.
struct UnlockTrial {
  struct Failed {
    std::string opener;  // RingKeyWrapper::Describe
    WrapType type = WrapType::kKeyFile;
    absl::Status status;
  };
  std::map<uint32_t, std::string> opened;  // what opens which wrap
  std::vector<Failed> failed;              // those that open none, and why
};
// `trial` is null if none was made.
std::string WrapListJson(const admin::v1::Keyring& keyring, const UnlockTrial* trial);
std::string KeyListJson(const admin::v1::Keyring& keyring);
std::string KeyJson(const admin::v1::Keyring& keyring, const admin::v1::KeyVersion& version);
std::string KeyShowJson(const KeyShowReport& report);
std::string AcceptedJson(const std::string& keyring, uint64_t generation);
std::string VerifyJson(const VerifyReport& report);
std::string StatusJson(const admin::v1::GetStatusResponse& status);
std::string CheckJson(const CheckReport& report);
std::string RecoverJson(const RecoverReport& report);
std::string ConfigJson(const Config& config);
// With a phase the EncryptionConfiguration itself, else {"phases": [...]}.
std::string EncryptionConfigJson(const EncryptionConfigOptions& options);

}  // namespace kekd

#endif  // KEKD_KMS_CTL_JSON_OUTPUT_H_
