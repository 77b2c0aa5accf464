// Which API server, and who asks it: kubeconfig files.
#ifndef KEKD_CLUSTER_API_SERVER_KUBECONFIG_H_
#define KEKD_CLUSTER_API_SERVER_KUBECONFIG_H_

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/file_system.h"
#include "base/secret_bytes.h"

namespace kekd {

// A program that gives credentials (client.authentication.k8s.io).
struct ExecPlugin {
  enum class Interactive { kNever, kIfAvailable, kAlways };

  std::string api_version;  // ".../v1" or ".../v1beta1"
  std::string command;      // with a slash: a path; else looked up in PATH
  std::vector<std::string> arguments;
  std::vector<std::pair<std::string, std::string>> environment;
  std::string install_hint;
  bool provide_cluster_info = false;
  Interactive interactive = Interactive::kIfAvailable;
};

// A server with what is needed to talk to it. Files are read, except those that are to be read
// again and again.
struct ApiServerAccess {
  std::string context;          // its name in the kubeconfig; "in-cluster" inside of a pod
  std::string server;           // "https://10.0.0.1:6443", perhaps with a path
  std::string ca_pem;           // empty: the system's
  std::string ca_source;        // where from, for errors
  std::string tls_server_name;  // empty: the server's own
  bool insecure_skip_tls_verify = false;  // says the kubeconfig; who connects decides
  std::string proxy_url;                  // empty: as the environment says

  std::string client_certificate_pem;  // empty: none
  std::string client_certificate_source;
  SecretBytes client_key_pem;
  SecretBytes token;       // empty: none, or
  std::string token_file;  // a file that has it, or
  std::optional<ExecPlugin> exec;

  // On whose behalf (impersonation).
  std::string as_user;
  std::string as_uid;
  std::vector<std::string> as_groups;
  std::map<std::string, std::vector<std::string>> as_extra;
};

struct KubeconfigOptions {
  std::string path;     // --kubeconfig; empty: $KUBECONFIG, ~/.kube/config, or the pod's account
  std::string context;  // --context; empty: the current one
  // Of the process; "" if there is none.
  std::string kubeconfig_variable;  // $KUBECONFIG: paths with colons between
  std::string home;                 // $HOME
  std::string service_host;         // $KUBERNETES_SERVICE_HOST
  std::string service_port;         // $KUBERNETES_SERVICE_PORT
};

// The options with what the environment of this process has.
KubeconfigOptions KubeconfigOptionsFromEnvironment();

// Reads kubeconfig as kubectl does: of several files the first that has an entry or the current
// context wins, relative paths are relative to the file that they stand in; inside of a pod and
// without any it is the pod's service account. InvalidArgument for what is wrong in a file or not
// supported, naming file and entry; NotFound if a file that was named, a context, or any kubeconfig
// at all is not there; FailedPrecondition for a client certificate that has expired by `now`. No
// error has a secret in it.
absl::StatusOr<ApiServerAccess> LoadKubeconfig(FileSystem& fs, const KubeconfigOptions& options,
                                               absl::Time now);

}  // namespace kekd

#endif  // KEKD_CLUSTER_API_SERVER_KUBECONFIG_H_
