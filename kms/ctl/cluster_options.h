// The options that say which cluster is meant, the same for every verb that works on one.
#ifndef KEKD_KMS_CTL_CLUSTER_OPTIONS_H_
#define KEKD_KMS_CTL_CLUSTER_OPTIONS_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cluster/api_server/api_client.h"
#include "cluster/rotation/cluster_rotation.h"
#include "kms/ctl/command_tree.h"
#include "kms/ctl/commands.h"
#include "kms/ctl/verbs.h"

namespace kekd {

// These options after the others.
std::vector<OptionDescription> WithClusterOptions(std::vector<OptionDescription> first);

absl::StatusOr<ClusterPlace> ReadClusterPlace(const VerbArguments& given);

// Who asks is a matter of permission, whether it is unknown or may not.
absl::Status AsPermission(const absl::Status& status);

// A cluster as it was named: its API servers, its etcd, or both. Not thread-safe.
class NamedCluster final {
 public:
  // Connects to nothing yet. `context` outlives it. `checkpoint` is the file in which a migration
  // keeps how far it is; `keyring` the name of the one that is rotated.
  static absl::StatusOr<std::unique_ptr<NamedCluster>> Create(const CommandContext& context,
                                                              const ClusterPlace& place,
                                                              std::string keyring,
                                                              const std::string& checkpoint);

  ClusterRotation& rotation() { return *rotation_; }

 private:
  NamedCluster() = default;

  std::unique_ptr<HttpTransport> transport_;  // null without a kubeconfig
  std::unique_ptr<ApiClient> client_;
  std::unique_ptr<ClusterRotation> rotation_;
};

}  // namespace kekd

#endif  // KEKD_KMS_CTL_CLUSTER_OPTIONS_H_
