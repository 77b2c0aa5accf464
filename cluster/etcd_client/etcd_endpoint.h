// Where an etcd listens.
#ifndef KEKD_CLUSTER_ETCD_CLIENT_ETCD_ENDPOINT_H_
#define KEKD_CLUSTER_ETCD_CLIENT_ETCD_ENDPOINT_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace kekd {

// What an endpoint without a scheme means: as for etcdctl, TLS if files for it are given.
enum class DefaultScheme { kHttp, kHttps };

// EtcdEndpoint is one endpoint as etcdctl's --endpoints names it: "https://HOST:PORT",
// "http://HOST:PORT", "HOST:PORT", or "unix:///PATH", where kine listens.
struct EtcdEndpoint {
  std::string text;  // as it was given: names it in every message
  bool tls = false;
  std::string host;         // without the brackets of an IPv6 address; empty for a unix socket
  std::string port;         // a number
  std::string socket_path;  // of a unix socket

  // InvalidArgument, saying what is wrong with it, for anything else.
  static absl::StatusOr<EtcdEndpoint> Parse(absl::string_view text, DefaultScheme scheme);

  // gRPC's name for it: "dns:///HOST:PORT" or "unix:PATH".
  std::string Target() const;
  // "HOST:PORT", or "localhost" for a unix socket: Go's servers refuse its path as an authority.
  std::string Authority() const;
};

}  // namespace kekd

#endif  // KEKD_CLUSTER_ETCD_CLIENT_ETCD_ENDPOINT_H_
