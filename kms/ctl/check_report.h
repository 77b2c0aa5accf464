// What 'kekctl check' found.
#ifndef KEKD_KMS_CTL_CHECK_REPORT_H_
#define KEKD_KMS_CTL_CHECK_REPORT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace kekd {

struct CheckReport {
  struct Item {
    std::string name;
    absl::Status status;  // OK if it passed, else why it did not
    std::string detail;   // of one that passed, or empty
  };
  struct Latency {
    uint32_t count = 0;
    absl::Duration p50;
    absl::Duration p99;
    absl::Duration max;
  };

  std::string keyring;
  std::string endpoint;
  std::vector<Item> items;
  std::optional<Latency> encrypt;  // if it was measured
  std::optional<Latency> decrypt;

  bool Passed() const {
    for (const Item& item : items) {
      if (!item.status.ok()) return false;
    }
    return true;
  }
};

}  // namespace kekd

#endif  // KEKD_KMS_CTL_CHECK_REPORT_H_
