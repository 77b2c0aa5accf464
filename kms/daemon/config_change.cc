#include "kms/daemon/config_change.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace kekd {

absl::StatusOr<Config> ReloadableConfig(const Config& running, Config next) {
  std::vector<std::string> fixed;
  const auto expect_same = [&fixed](const auto& before, const auto& after, std::string field) {
    if (before != after) fixed.push_back(std::move(field));
  };
  expect_same(running.state_directory, next.state_directory, "stateDirectory");
  expect_same(running.admin_socket.path, next.admin_socket.path, "admin.socket.path");
  expect_same(running.memory_locking, next.memory_locking, "memory.locking");
  std::vector<KeyringConfig> ordered;
  for (const KeyringConfig& keyring : running.keyrings) {
    const absl::StatusOr<const KeyringConfig*> found = next.FindKeyring(keyring.name);
    if (!found.ok()) {
      fixed.push_back(absl::StrCat("keyring \"", keyring.name, "\" is gone"));
      continue;
    }
    const std::string prefix = absl::StrCat("keyring \"", keyring.name, "\" ");
    expect_same(keyring.directory, (*found)->directory, prefix + "directory");
    expect_same(keyring.socket.path, (*found)->socket.path, prefix + "socket.path");
    expect_same(keyring.pkcs11, (*found)->pkcs11, prefix + "pkcs11");
    ordered.push_back(**found);
  }
  for (const KeyringConfig& keyring : next.keyrings) {
    if (running.FindKeyring(keyring.name).ok()) continue;
    fixed.push_back(absl::StrCat("keyring \"", keyring.name, "\" is new"));
  }
  if (!fixed.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("these can't change while kekd runs: ", absl::StrJoin(fixed, ", "),
                     "; restart kekd, or take them back"));
  }
  next.keyrings = std::move(ordered);
  return next;
}

}  // namespace kekd
