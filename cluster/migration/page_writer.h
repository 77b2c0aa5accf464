// Has the objects of one page written.
#ifndef KEKD_CLUSTER_MIGRATION_PAGE_WRITER_H_
#define KEKD_CLUSTER_MIGRATION_PAGE_WRITER_H_

#include <cstddef>
#include <functional>
#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "base/mutex.h"
#include "cluster/api_server/api_client.h"
#include "cluster/api_server/discovery.h"
#include "cluster/migration/migration_checkpoint.h"
#include "cluster/migration/migrator.h"
#include "cluster/migration/object_list.h"
#include "cluster/migration/rate_limiter.h"

namespace kekd {

// PageWriter writes the objects of a page with several requests at a time and knows up to which
// object of the page everything is done. For one page; Run is called once.
class PageWriter final {
 public:
  // What is done of the page, from its beginning without a gap, and what came of it.
  struct State {
    size_t through = 0;  // objects before this one are done
    size_t done = 0;     // of all objects, in any order
    MigrationCounts counts;
    std::vector<MigrationRefusal> refusals;  // of those that are counted
  };

  // What outlives it: all of these.
  PageWriter(ApiClient& client, const MigrationOptions& options, RateLimiter& limiter,
             const ApiResource& resource, absl::Span<const ListedObject> objects)
      : client_(client),
        options_(options),
        limiter_(limiter),
        resource_(resource),
        objects_(objects),
        outcomes_(objects.size(), Outcome::kNone) {}

  // Calls `look` on this thread now and then, and once at the end. Not OK if the run can't go on;
  // what was done until then is in the last state. What is in flight at such an end is waited for.
  absl::Status Run(const std::stop_token& stop, absl::Time deadline,
                   const std::function<absl::Status(const State& state)>& look);

 private:
  enum class Outcome : char { kNone, kWritten, kUpToDate, kByOthers, kRefused, kFailed };

  // Until nothing is left or the page has failed.
  void Work(const std::stop_token& stop, absl::Time deadline);
  // `reason`: of a refusal or a failure.
  absl::StatusOr<Outcome> Write(const ListedObject& object, const std::stop_token& stop,
                                absl::Time deadline, std::string& reason);
  // For one answer; none: it is worth another attempt.
  std::optional<absl::StatusOr<Outcome>> Judge(const ListedObject& object,
                                               const ApiAnswer& answer) const;
  void Note(size_t index, const absl::StatusOr<Outcome>& outcome, std::string reason);
  State StateLocked() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  ApiClient& client_;
  const MigrationOptions& options_;
  RateLimiter& limiter_;
  const ApiResource& resource_;
  const absl::Span<const ListedObject> objects_;
  std::stop_source give_up_;  // what one worker can't get over ends the others

  Mutex mu_;
  CondVar changed_;
  size_t next_ ABSL_GUARDED_BY(mu_) = 0;
  int working_ ABSL_GUARDED_BY(mu_) = 0;
  int failures_in_a_row_ ABSL_GUARDED_BY(mu_) = 0;
  absl::Status failed_ ABSL_GUARDED_BY(mu_);
  std::vector<Outcome> outcomes_ ABSL_GUARDED_BY(mu_);
  std::map<size_t, std::string> reasons_ ABSL_GUARDED_BY(mu_);  // of refusals and failures
};

}  // namespace kekd

#endif  // KEKD_CLUSTER_MIGRATION_PAGE_WRITER_H_
