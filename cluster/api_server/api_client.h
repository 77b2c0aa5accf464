// The Kubernetes API over HTTP: answers and the errors it describes.
#ifndef KEKD_CLUSTER_API_SERVER_API_CLIENT_H_
#define KEKD_CLUSTER_API_SERVER_API_CLIENT_H_

#include <optional>
#include <stop_token>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "cluster/api_server/http_transport.h"

namespace kekd {

// What the API server answered. If it is a failure, `reason`, `message` and `continue_token` are of
// its Status object (meta/v1); the message is the server's own words, and data: escape it where it
// is printed.
struct ApiAnswer {
  int http_status = 0;
  std::string body;            // of a success
  std::string reason;          // "NotFound", "Conflict", "Expired", …; empty if it gave none
  std::string message;         // at most kMaxMessageBytes
  std::string about;           // the name of the object it is about, if it is about one
  std::string continue_token;  // with Expired: where a list may go on, at a newer revision
  std::optional<absl::Duration> retry_after;

  static constexpr size_t kMaxMessageBytes = 1024;

  bool ok() const { return http_status >= 200 && http_status < 300; }
  // The server is busy, starting, stopping or behind a proxy that does not reach it: the same
  // request may succeed later. A 500 is none of these unless it says so itself.
  bool IsTransient() const;
  // Who asks is not known, or may not do it by the word of an authorizer (not of admission). A
  // server that has just come up may say so until it has read its roles.
  bool IsDenial() const;
};

// OK for a success. Else "doing: the server's message" and what to do about it, by its HTTP status:
// 401 Unauthenticated, 403 PermissionDenied, 404 NotFound, 409 Aborted (AlreadyExists if that is
// the reason), 410 OutOfRange, 400 and 422 InvalidArgument, 429 and what is transient Unavailable,
// else Internal.
absl::Status ToStatus(const ApiAnswer& answer, absl::string_view doing);

struct ApiRetries {
  // How long the server may be away or busy before a call gives up.
  absl::Duration patience = absl::Minutes(5);
  absl::Duration first_pause = absl::Milliseconds(200);
  absl::Duration longest_pause = absl::Seconds(15);
  absl::Duration call_timeout = absl::Seconds(60);  // for each attempt
  // How often a denial is tried before it is believed: 1 at first, more once requests of the kind
  // have been granted.
  int denial_attempts = 1;
};

// ApiClient asks one API server. Thread-safe.
class ApiClient final {
 public:
  // `transport` outlives it.
  explicit ApiClient(HttpTransport& transport) : transport_(transport) {}

  const std::string& server() const { return transport_.server(); }

  // One attempt. Errors are those of HttpTransport::Send; whatever the server answers is OK.
  absl::StatusOr<ApiAnswer> Call(const HttpRequest& request, absl::Time deadline);

  // The same again and again, with pauses (or the server's Retry-After) between, while the server
  // is away or the answer is transient (or a denial, as often as said). The request must be one
  // that may be made twice. Gives the last answer or error when its patience or the deadline is at
  // an end; Cancelled if stop is asked for in a pause.
  absl::StatusOr<ApiAnswer> CallWithRetries(const HttpRequest& request, const ApiRetries& retries,
                                            const std::stop_token& stop, absl::Time deadline);

 private:
  HttpTransport& transport_;
};

// Waits for so long, or until stop is asked for: false then.
bool PauseUnlessStopped(absl::Duration pause, const std::stop_token& stop);

}  // namespace kekd

#endif  // KEKD_CLUSTER_API_SERVER_API_CLIENT_H_
