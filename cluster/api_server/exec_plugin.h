// Programs that give credentials (Kubernetes' client.authentication.k8s.io).
#ifndef KEKD_CLUSTER_API_SERVER_EXEC_PLUGIN_H_
#define KEKD_CLUSTER_API_SERVER_EXEC_PLUGIN_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/secret_bytes.h"
#include "cluster/api_server/kubeconfig.h"

namespace kekd {

// What proves who asks.
struct Credential {
  SecretBytes token;  // empty: none
  std::string certificate_pem;
  SecretBytes key_pem;
  absl::Time expires = absl::InfiniteFuture();
};

// Runs the plugin of `access`, which has one, and reads what it prints: with this process's
// environment, what its entry adds, and KUBERNETES_EXEC_INFO; its standard error goes to ours, and
// it has the terminal as standard input if there is one and it may. FailedPrecondition if the
// program is not there (with its installHint), fails, or prints no credential; DeadlineExceeded if
// it runs until then: it is killed.
absl::StatusOr<Credential> RunExecPlugin(const ApiServerAccess& access, absl::Time deadline);

}  // namespace kekd

#endif  // KEKD_CLUSTER_API_SERVER_EXEC_PLUGIN_H_
