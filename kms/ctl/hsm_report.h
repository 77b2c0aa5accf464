// What 'kekctl hsm' found.
#ifndef KEKD_KMS_CTL_HSM_REPORT_H_
#define KEKD_KMS_CTL_HSM_REPORT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "hsm/token/worker_message.h"
#include "kms/ctl/check_report.h"

namespace kekd {

// A key on the token and what it is to the keyring.
struct TokenKey {
  KeyDescription key;
  uint32_t version = 0;  // which version it is; 0: none
  uint32_t wrap = 0;     // which wrap of the ring key is under it; 0: none
  // How it seals and why not in a better way; empty if it is none, or an HMAC key.
  std::string mechanism;
  std::string mechanism_reason;

  bool IsOfKeyring() const { return version != 0 || wrap != 0; }
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
