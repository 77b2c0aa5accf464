// What 'kekctl key show' found.
#ifndef KEKD_KMS_CTL_KEY_SHOW_REPORT_H_
#define KEKD_KMS_CTL_KEY_SHOW_REPORT_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "hsm/token/key_reference.h"
#include "kekd/admin/v1/admin.pb.h"
#include "keystore/key_backend.h"

namespace kekd {

// What the record says of a key version, and what its tokens say now.
struct KeyShowReport {
  std::string keyring;
  uint64_t generation = 0;
  admin::v1::KeyVersion version;
  std::optional<KeyReference> token_key;  // if it lies on a token, or a key there wraps it
  // Whether the version decrypts its canary now; none if that was not tried, and then why.
  std::optional<absl::Status> canary;
  std::string canary_not_tried;
  bool several_tokens = false;              // each of which was to decrypt it
  std::vector<KeyAttestation> attestation;  // of each token; none if no token is to be asked
  std::string not_asked;                    // why, of a version that lies on a token
};

}  // namespace kekd

#endif  // KEKD_KMS_CTL_KEY_SHOW_REPORT_H_
