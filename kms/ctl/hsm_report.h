// What 'kekctl hsm' found.
#ifndef KEKD_KMS_CTL_HSM_REPORT_H_
#define KEKD_KMS_CTL_HSM_REPORT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "hsm/token/worker_message.h"
#include "kms/ctl/check_report.h"

namespace kekd {

// A key on the token and which version of the keyring it is.
struct TokenKey {
  KeyDescription key;
  uint32_t version = 0;  // 0: none of this keyring
  // How that version seals and why not in a better way; empty if it is none, or an HMAC key.
  std::string mechanism;
  std::string mechanism_reason;
};

struct TokenReport {
  std::string keyring;
  std::string uri;  // as configured
  TokenDescription token;
  std::vector<TokenKey> keys;
  std::vector<CheckReport::Item> items;   // of a doctor
  std::vector<Measurement> measurements;  // of a bench

  bool Passed() const {
    for (const CheckReport::Item& item : items) {
      if (!item.status.ok()) return false;
    }
    return true;
  }
};

}  // namespace kekd

#endif  // KEKD_KMS_CTL_HSM_REPORT_H_
