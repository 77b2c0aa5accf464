#include "cluster/api_server/api_client.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/mutex.h"
#include "base/status_macros.h"
#include "cluster/api_server/json_fields.h"

namespace kekd {
namespace {

// What a proxy or a part of the API server that makes no Status object says, cut.
std::string PlainMessage(absl::string_view body) {
  return std::string(body.substr(0, ApiAnswer::kMaxMessageBytes));
}

ApiAnswer ReadAnswer(HttpResponse response) {
  ApiAnswer answer;
  answer.http_status = response.status;
  answer.retry_after = response.retry_after;
  if (answer.ok()) {
    answer.body = std::move(response.body);
    return answer;
  }
  const nlohmann::json status = ParseJson(response.body);
  if (TextField(status, {"kind"}) != "Status") {
    answer.message = PlainMessage(response.body);
    return answer;
  }
  answer.reason = TextField(status, {"reason"});
  answer.message = PlainMessage(TextField(status, {"message"}));
  answer.about = TextField(status, {"details", "name"});
  answer.continue_token = TextField(status, {"metadata", "continue"});
  if (!answer.retry_after.has_value()) {
    if (const uint64_t seconds = NumberField(status, {"details", "retryAfterSeconds"});
        seconds != 0) {
      answer.retry_after = absl::Seconds(std::min<uint64_t>(seconds, 3600));
    }
  }
  return answer;
}

absl::StatusCode CodeOf(const ApiAnswer& answer) {
  if (answer.IsTransient()) return absl::StatusCode::kUnavailable;
  switch (answer.http_status) {
    case 400:
    case 422:
      return absl::StatusCode::kInvalidArgument;
    case 401:
      return absl::StatusCode::kUnauthenticated;
    case 403:
      return absl::StatusCode::kPermissionDenied;
    case 404:
      return absl::StatusCode::kNotFound;
    case 409:
      return answer.reason == "AlreadyExists" ? absl::StatusCode::kAlreadyExists
                                              : absl::StatusCode::kAborted;
    case 410:
      return absl::StatusCode::kOutOfRange;
    default:
      return absl::StatusCode::kInternal;
  }
}

absl::string_view CureOf(const ApiAnswer& answer) {
  switch (answer.http_status) {
    case 401:
      return "; the API server does not know who asks: is the token or client certificate of the "
             "kubeconfig expired, or of another cluster?";
    case 403:
      return "; manifests/rbac has what has to be granted";
    default:
      return "";
  }
}

}  // namespace

bool ApiAnswer::IsTransient() const {
  switch (http_status) {
    case 429:
    case 502:
    case 503:
    case 504:
      return true;
    case 500:
      // etcd changes its leader or is slow, in its own words.
      return reason == "ServerTimeout" || reason == "Timeout" ||
             absl::StrContains(message, "etcdserver: leader changed") ||
             absl::StrContains(message, "etcdserver: request timed out");
    default:
      return false;
  }
}

bool ApiAnswer::IsDenial() const {
  if (http_status == 401) return true;
  // 'secrets "a" is forbidden: User "u" cannot patch resource "secrets" in API group ""'
  return http_status == 403 && absl::StrContains(message, " cannot ") &&
         (absl::StrContains(message, " resource \"") || absl::StrContains(message, " path \""));
}

absl::Status ToStatus(const ApiAnswer& answer, absl::string_view doing) {
  if (answer.ok()) return absl::OkStatus();
  const std::string said = answer.message.empty()
                               ? absl::StrCat("HTTP ", answer.http_status)
                               : absl::StrCat(answer.message, " (HTTP ", answer.http_status, ")");
  return absl::Status(CodeOf(answer), absl::StrCat(doing, ": ", said, CureOf(answer)));
}

absl::StatusOr<ApiAnswer> ApiClient::Call(const HttpRequest& request, absl::Time deadline) {
  KEKD_ASSIGN_OR_RETURN(HttpResponse response, transport_.Send(request, deadline));
  return ReadAnswer(std::move(response));
}

absl::StatusOr<ApiAnswer> ApiClient::CallWithRetries(const HttpRequest& request,
                                                     const ApiRetries& retries,
                                                     const std::stop_token& stop,
                                                     absl::Time deadline) {
  const absl::Time give_up = std::min(deadline, absl::Now() + retries.patience);
  absl::Duration pause = retries.first_pause;
  int denials = 0;
  while (true) {
    absl::StatusOr<ApiAnswer> answer =
        Call(request, std::min(deadline, absl::Now() + retries.call_timeout));
    if (answer.ok() && answer->IsDenial() && ++denials >= retries.denial_attempts) return answer;
    const bool again = answer.ok() ? answer->IsTransient() || answer->IsDenial()
                                   : absl::IsUnavailable(answer.status()) ||
                                         absl::IsDeadlineExceeded(answer.status());
    if (!again) return answer;
    const absl::Duration wait =
        answer.ok() && answer->retry_after.has_value() ? *answer->retry_after : pause;
    if (absl::Now() + wait >= give_up) return answer;
    if (!PauseUnlessStopped(wait, stop)) return absl::CancelledError("stopped");
    pause = std::min(2 * pause, retries.longest_pause);
  }
}

bool PauseUnlessStopped(absl::Duration pause, const std::stop_token& stop) {
  Mutex mu;
  CondVar changed;
  const std::stop_callback wake(stop, [&] {
    const MutexLock lock(&mu);
    changed.NotifyAll();
  });
  const absl::Time end = absl::Now() + pause;
  const MutexLock lock(&mu);
  while (!stop.stop_requested()) {
    const absl::Duration left = end - absl::Now();
    if (left <= absl::ZeroDuration()) return true;
    changed.WaitFor(&mu, left);
  }
  return false;
}

}  // namespace kekd
