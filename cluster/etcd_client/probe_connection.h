// A connection that can tell why it is not what it should be.
#ifndef KEKD_CLUSTER_ETCD_CLIENT_PROBE_CONNECTION_H_
#define KEKD_CLUSTER_ETCD_CLIENT_PROBE_CONNECTION_H_

#include <openssl/ssl.h>

#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/unique_fd.h"
#include "cluster/etcd_client/etcd_endpoint.h"
#include "cluster/etcd_client/etcd_tls.h"

namespace kekd {

// ProbeConnection is a socket to an endpoint, with TLS above it if the endpoint has that. Every
// error is a sentence about the other side, without the endpoint's name. The process ignores
// SIGPIPE (HardenProcess). Not thread-safe.
class ProbeConnection final {
 public:
  // Unavailable if nobody can be connected to.
  static absl::StatusOr<ProbeConnection> Connect(const EtcdEndpoint& endpoint, absl::Time deadline);

  // The handshake, with the same checks as gRPC's: the CA, the name, the time. Unauthenticated if
  // one of the two sides does not trust the other; FailedPrecondition if the other speaks no TLS or
  // no HTTP/2 over it. `endpoint` and `tls` outlive the connection.
  absl::Status StartTls(const EtcdEndpoint& endpoint, const EtcdTls& tls);

  absl::Status Write(absl::string_view bytes);
  // At least one byte and at most `max`; "" at the end of the connection.
  absl::StatusOr<std::string> Read(size_t max);

 private:
  struct SslDeleter {
    void operator()(SSL* ssl) const { SSL_free(ssl); }
    void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  };

  ProbeConnection(UniqueFd fd, absl::Time deadline) : fd_(std::move(fd)), deadline_(deadline) {}

  static int NoteDistrust(int trusted, X509_STORE_CTX* context);
  // Waits for what a call on ssl_ that returned `result` needs, OK to call again; else its error.
  absl::Status WaitForTls(int result);
  absl::Status TlsError();

  UniqueFd fd_;
  absl::Time deadline_;
  const EtcdEndpoint* endpoint_ = nullptr;  // of StartTls, for its messages
  const EtcdTls* tls_ = nullptr;
  std::string distrust_;  // why the other side is not trusted
  std::unique_ptr<SSL, SslDeleter> ssl_;
};

}  // namespace kekd

#endif  // KEKD_CLUSTER_ETCD_CLIENT_PROBE_CONNECTION_H_
