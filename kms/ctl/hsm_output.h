// The outputs of 'kekctl hsm'.
#ifndef KEKD_KMS_CTL_HSM_OUTPUT_H_
#define KEKD_KMS_CTL_HSM_OUTPUT_H_

#include <string>
#include <vector>

#include "kms/ctl/hsm_report.h"
#include "kms/ctl/terminal.h"

namespace kekd {

// Of one token, or of several, one after the other: in JSON the array "tokens".
std::string HsmListTable(const std::vector<TokenReport>& reports, Colors colors);
std::string HsmListJson(const std::vector<TokenReport>& reports);
std::string HsmDoctorTable(const std::vector<TokenReport>& reports, Colors colors);
std::string HsmDoctorJson(const std::vector<TokenReport>& reports);
std::string HsmBenchTable(const std::vector<TokenReport>& reports);
std::string HsmBenchJson(const std::vector<TokenReport>& reports);

}  // namespace kekd

#endif  // KEKD_KMS_CTL_HSM_OUTPUT_H_
