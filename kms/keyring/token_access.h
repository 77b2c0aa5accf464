// From the configuration to a token.
#ifndef KEKD_KMS_KEYRING_TOKEN_ACCESS_H_
#define KEKD_KMS_KEYRING_TOKEN_ACCESS_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/file_system.h"
#include "hsm/token_client.h"
#include "kms/config/config.h"

namespace kekd {

// The clients of the keyring's tokens, in the configuration's order; no worker is started before
// its first call. FailedPrecondition if the configuration names no token.
absl::StatusOr<std::vector<std::shared_ptr<TokenClient>>> MakeTokenClients(
    FileSystem& fs, const std::string& state_directory, const KeyringConfig& keyring);

}  // namespace kekd

#endif  // KEKD_KMS_KEYRING_TOKEN_ACCESS_H_
