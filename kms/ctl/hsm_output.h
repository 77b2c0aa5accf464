// The outputs of 'kekctl hsm'.
#ifndef KEKD_KMS_CTL_HSM_OUTPUT_H_
#define KEKD_KMS_CTL_HSM_OUTPUT_H_

#include <string>

#include "kms/ctl/hsm_report.h"
#include "kms/ctl/terminal.h"

namespace kekd {

std::string HsmListTable(const TokenReport& report, Colors colors);
std::string HsmListJson(const TokenReport& report);
std::string HsmDoctorTable(const TokenReport& report, Colors colors);
std::string HsmDoctorJson(const TokenReport& report);
std::string HsmBenchTable(const TokenReport& report);
std::string HsmBenchJson(const TokenReport& report);

}  // namespace kekd

#endif  // KEKD_KMS_CTL_HSM_OUTPUT_H_
