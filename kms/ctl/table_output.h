// What the verbs found, for people.
#ifndef KEKD_KMS_CTL_TABLE_OUTPUT_H_
#define KEKD_KMS_CTL_TABLE_OUTPUT_H_

#include <string>

#include "absl/time/time.h"
#include "kekd/admin/v1/admin.pb.h"
#include "kms/config/config.h"
#include "kms/ctl/check_report.h"
#include "kms/ctl/json_output.h"
#include "kms/ctl/key_show_report.h"
#include "kms/ctl/terminal.h"
#include "kms/ctl/verify_report.h"

namespace kekd {

// KeyListTable and StatusTable fit 100 columns where names are no longer than usual.
std::string KeyringTable(const admin::v1::Keyring& keyring, absl::Time now,
                         Colors colors = Colors::kOff);
// `trial` as in WrapListJson.
std::string WrapListTable(const admin::v1::Keyring& keyring, const UnlockTrial* trial,
                          absl::Time now, Colors colors);
// Whether a device wraps the version's key, and kekd works with it.
bool IsWrapped(const admin::v1::KeyVersion& version);
// "software", "pkcs11", or "pkcs11 envelope" if the device only wraps it.
std::string WhereKept(const admin::v1::KeyVersion& version);
std::string KeyListTable(const admin::v1::Keyring& keyring, absl::Time now,
                         Colors colors = Colors::kOff);
std::string KeyShowTable(const KeyShowReport& report, absl::Time now, Colors colors = Colors::kOff);
std::string VerifyTable(const VerifyReport& report, Colors colors = Colors::kOff);
std::string StatusTable(const admin::v1::GetStatusResponse& status, absl::Time now,
                        Colors colors = Colors::kOff);
// "ok    name: detail", or "FAIL  name: why".
std::string ItemLine(const CheckReport::Item& item, Colors colors);
std::string CheckTable(const CheckReport& report, Colors colors = Colors::kOff);
std::string ConfigTable(const Config& config);

}  // namespace kekd

#endif  // KEKD_KMS_CTL_TABLE_OUTPUT_H_
