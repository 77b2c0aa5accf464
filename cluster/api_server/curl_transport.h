// HTTP requests to an API server by libcurl.
#ifndef KEKD_CLUSTER_API_SERVER_CURL_TRANSPORT_H_
#define KEKD_CLUSTER_API_SERVER_CURL_TRANSPORT_H_

#include <cstddef>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/file_system.h"
#include "cluster/api_server/http_transport.h"
#include "cluster/api_server/kubeconfig.h"

namespace kekd {

struct CurlTransportOptions {
  std::string user_agent = "kekctl";
  absl::Duration connect_timeout = absl::Seconds(10);
  // The largest answer that is taken. A page of metadata has some kilobytes an object, but the
  // annotations of one may come to 256 KiB.
  size_t max_answer_bytes = size_t{256} << 20;
  // The kubeconfig's insecure-skip-tls-verify is obeyed only if whoever runs it says so too.
  bool allow_insecure = false;
};

// Connections stay open and are used again; as many as there are calls at the same time. TLS 1.2
// and newer, no redirects, no answer from another host than the one that is named. A proxy is what
// the kubeconfig says, or else the environment (https_proxy, no_proxy).
//
// InvalidArgument for a server or proxy that is no URL, for http to another machine (all would go
// in clear), and for insecure-skip-tls-verify that is not allowed.
absl::StatusOr<std::unique_ptr<HttpTransport>> CreateCurlTransport(
    FileSystem& fs, ApiServerAccess access, const CurlTransportOptions& options);

}  // namespace kekd

#endif  // KEKD_CLUSTER_API_SERVER_CURL_TRANSPORT_H_
