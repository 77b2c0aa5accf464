// What 'kekctl keyring verify' found.
#ifndef KEKD_KMS_CTL_VERIFY_REPORT_H_
#define KEKD_KMS_CTL_VERIFY_REPORT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "keystore/file_keyring_store.h"

namespace kekd {

struct VerifyReport {
  struct Key {
    uint32_t version = 0;
    std::string key_id;
    std::string state;
    absl::Status status;  // OK if the key opens and is the one that its version names
  };

  std::string keyring;
  std::vector<FileKeyringStore::CopyReport> copies;  // the current record first
  std::vector<Key> keys;  // of the current record, if that is good; destroyed ones are left out

  // The worst of what matters: the current record and its keys. An older copy that is damaged is
  // told but spoils nothing.
  absl::Status Verdict() const {
    if (!copies.empty() && !copies.front().status.ok()) return copies.front().status;
    for (const Key& key : keys) {
      if (!key.status.ok()) return key.status;
    }
    return absl::OkStatus();
  }
};

}  // namespace kekd

#endif  // KEKD_KMS_CTL_VERIFY_REPORT_H_
