#include "kms/keyring/token_access.h"

#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "hsm/worker_process.h"
#include "keystore/secret_source.h"
#include "kms/keyring/folder_owner.h"

namespace kekd {

absl::StatusOr<std::vector<std::shared_ptr<TokenClient>>> MakeTokenClients(
    FileSystem& fs, const std::string& state_directory, const KeyringConfig& keyring) {
  if (!keyring.pkcs11.has_value()) {
    return absl::FailedPreconditionError(
        absl::StrCat("the configuration names no token for keyring \"", keyring.name,
                     "\": give it \"pkcs11\" with the \"uri\" of the token"));
  }
  const Pkcs11Config& token = *keyring.pkcs11;
  std::vector<std::shared_ptr<TokenClient>> clients;
  for (const TokenUri& uri : token.uris) {
    WorkerProcess::Options options;
    // The program is looked for at each start: if it is not installed, only the token's keys fail.
    // One more than there are calls of API servers at once, so that a canary never waits for them.
    const uint32_t sessions = token.sessions + 1;
    options.channels = sessions;
    options.call_timeout = token.call_timeout;
    options.config = {.module_path = uri.module_path,
                      .init_arguments = token.init_arguments,
                      .token = uri.token,
                      .pin_file = uri.pin_file,
                      .file_owner = FolderOwner(fs, keyring.directory),
                      .pin_log_directory = JoinPath(state_directory, "pins"),
                      .sessions = sessions,
                      .session_copy = token.session_copy};
    if (uri.pin_file.empty() && !token.pin_credential.empty()) {
      options.config.pin_file = CredentialPath(token.pin_credential);
      options.config.pin_is_credential = true;
    }
    clients.push_back(std::make_shared<TokenClient>(std::move(options)));
  }
  return clients;
}

}  // namespace kekd
