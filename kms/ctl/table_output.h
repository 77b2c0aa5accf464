// What the verbs found, for people.
#ifndef KEKD_KMS_CTL_TABLE_OUTPUT_H_
#define KEKD_KMS_CTL_TABLE_OUTPUT_H_

#include <string>

#include "absl/time/time.h"
#include "kekd/admin/v1/admin.pb.h"
#include "kms/config/config.h"
#include "kms/ctl/check_report.h"
#include "kms/ctl/verify_report.h"

namespace kekd {

std::string KeyringTable(const admin::v1::Keyring& keyring, absl::Time now);
std::string KeyListTable(const admin::v1::Keyring& keyring, absl::Time now);
std::string VerifyTable(const VerifyReport& report);
std::string StatusTable(const admin::v1::GetStatusResponse& status, absl::Time now);
std::string CheckTable(const CheckReport& report);
std::string ConfigTable(const Config& config);

}  // namespace kekd

#endif  // KEKD_KMS_CTL_TABLE_OUTPUT_H_
