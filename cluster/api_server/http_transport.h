// HTTP requests to one API server, as a seam.
#ifndef KEKD_CLUSTER_API_SERVER_HTTP_TRANSPORT_H_
#define KEKD_CLUSTER_API_SERVER_HTTP_TRANSPORT_H_

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace kekd {

enum class HttpMethod { kGet, kPost, kPut, kPatch, kDelete };

absl::string_view ToString(HttpMethod method);  // "GET", …

struct HttpRequest {
  HttpMethod method = HttpMethod::kGet;
  std::string path;  // from the server's root on, with the query: "/api/v1/secrets?limit=500"
  std::string accept = "application/json";
  std::string content_type = "";  // of the body
  std::string body = "";
};

struct HttpResponse {
  int status = 0;
  std::string content_type;
  std::optional<absl::Duration> retry_after;  // Retry-After in seconds (RFC 9110, section 10.2.3)
  std::string body;
};

// HttpTransport sends requests to one server, with whatever proves who asks. Thread-safe: each call
// has a connection for itself while it lasts.
class HttpTransport {
 public:
  virtual ~HttpTransport() = default;

  // Any answer is OK, whatever its status. Unavailable if the server can't be reached or the
  // connection breaks; DeadlineExceeded by then (a wall-clock time); FailedPrecondition if the
  // server's certificate is not to be trusted or the credentials can't be had; ResourceExhausted
  // for an answer that is larger than what is taken. No error has anything of a body or a secret.
  virtual absl::StatusOr<HttpResponse> Send(const HttpRequest& request, absl::Time deadline) = 0;

  // Where requests go, for people: "https://10.0.0.1:6443".
  virtual const std::string& server() const = 0;
};

}  // namespace kekd

#endif  // KEKD_CLUSTER_API_SERVER_HTTP_TRANSPORT_H_
