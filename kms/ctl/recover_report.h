// What a recovery brought.
#ifndef KEKD_KMS_CTL_RECOVER_REPORT_H_
#define KEKD_KMS_CTL_RECOVER_REPORT_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "cluster/stored_object.h"

namespace kekd {

struct RecoverReport {
  struct Recovered {
    std::string key;   // in etcd
    std::string path;  // below the folder
  };
  struct Failed {
    std::string key;
    absl::Status status;
  };

  std::string folder;
  std::vector<Recovered> recovered;
  std::vector<Failed> failed;
  std::vector<Gap> gaps;
};

}  // namespace kekd

#endif  // KEKD_KMS_CTL_RECOVER_REPORT_H_
