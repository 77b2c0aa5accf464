#include "cluster/etcd_client/endpoint_probe.h"

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "base/status_macros.h"
#include "cluster/etcd_client/probe_connection.h"

namespace kekd {
namespace {

// RFC 9113, 3.4: the client's preface and an empty SETTINGS frame.
constexpr absl::string_view kPreface("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", 33);
constexpr size_t kFrameHeader = 9;
constexpr char kSettings = 4;
// The beginning of a TLS record with an alert.
constexpr absl::string_view kTlsAlert("\x15\x03", 2);

absl::Status Judge(absl::string_view answer) {
  if (absl::StartsWith(answer, kTlsAlert) ||
      absl::StrContains(answer, "HTTP request to an HTTPS server")) {
    return absl::FailedPreconditionError(
        "it speaks TLS: write https:// and give --cacert (and --cert and --key if it asks for "
        "them)");
  }
  if (absl::StartsWith(answer, "HTTP/1")) {
    return absl::FailedPreconditionError(
        "it is an HTTP/1 server and no etcd: give etcd's client port, usually 2379 (2381 is for "
        "metrics)");
  }
  if (answer.size() < kFrameHeader || answer[3] != kSettings) {
    return absl::FailedPreconditionError(
        "it speaks no HTTP/2, so it is no etcd: give etcd's client port, usually 2379");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ProbeEndpoint(const EtcdEndpoint& endpoint, const EtcdTls* tls, absl::Time deadline) {
  KEKD_ASSIGN_OR_RETURN(ProbeConnection connection, ProbeConnection::Connect(endpoint, deadline));
  if (endpoint.tls && tls != nullptr) {
    KEKD_RETURN_IF_ERROR(connection.StartTls(endpoint, *tls));
  }
  // Not yet an error: what the other side said before it closed the connection can still be read.
  absl::Status written = connection.Write(kPreface);
  if (absl::IsUnauthenticated(written)) return written;
  // Enough for what a server of another kind says for itself.
  constexpr size_t kEnough = 256;
  std::string answer;
  while (answer.size() < kEnough) {
    KEKD_ASSIGN_OR_RETURN(const std::string more, connection.Read(kEnough - answer.size()));
    if (more.empty()) break;
    answer += more;
    if (answer.size() >= kFrameHeader && answer[3] == kSettings) break;
  }
  if (answer.empty()) {
    return absl::UnavailableError(
        endpoint.tls
            ? "it closed the connection"
            : "it closed the connection: if it speaks TLS, write https:// and give --cacert");
  }
  return Judge(answer);
}

}  // namespace kekd
