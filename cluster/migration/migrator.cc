#include "cluster/migration/migrator.h"

#include <algorithm>
#include <deque>
#include <map>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/monotonic.h"
#include "base/status_macros.h"
#include "cluster/migration/object_list.h"
#include "cluster/migration/page_writer.h"
#include "cluster/migration/rate_limiter.h"

namespace kekd {
namespace {

// Denials are believed at once before the first page; later the server may have come up anew.
constexpr int kLaterDenialAttempts = 7;
// A list may begin anew so often without an object that is done between.
constexpr int kRestartsOfList = 5;
// The rate is that of about this long.
constexpr absl::Duration kRateWindow = absl::Seconds(10);

// Reckons how fast it goes.
class Rate final {
 public:
  void Note(uint64_t done) {
    const absl::Time now = MonotonicNow();
    samples_.emplace_back(now, done);
    while (samples_.size() > 2 && now - samples_[1].first > kRateWindow) samples_.pop_front();
  }
  double PerSecond() const {
    if (samples_.size() < 2) return 0;
    const double seconds = absl::ToDoubleSeconds(samples_.back().first - samples_.front().first);
    if (seconds <= 0) return 0;
    return static_cast<double>(samples_.back().second - samples_.front().second) / seconds;
  }

 private:
  std::deque<std::pair<absl::Time, uint64_t>> samples_;
};

// Whether an error of one resource is one of all.
bool EndsRun(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kInternal:
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange:
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kResourceExhausted:
      return false;
    default:
      return true;
  }
}

// One run of a Migrator.
class MigrationRun final {
 public:
  MigrationRun(ApiClient& client, const MigrationOptions& options, MigrationCheckpoint from,
               const MigrationProgressFunction& progress, const std::stop_token& stop,
               absl::Time deadline)
      : client_(client),
        options_(options),
        progress_(progress),
        stop_(stop),
        deadline_(deadline),
        limiter_(options.qps),
        checkpoint_(std::move(from)) {}

  MigrationResult Run(absl::Span<const ApiResource> resources) && {
    // What failed as a whole is tried once more.
    std::erase_if(checkpoint_.done,
                  [](const MigratedResource& one) { return !one.failure.empty(); });
    absl::Status status = MigrateAll(resources);
    return {.status = std::move(status), .checkpoint = std::move(checkpoint_)};
  }

 private:
  absl::Status MigrateAll(absl::Span<const ApiResource> resources) {
    KEKD_RETURN_IF_ERROR(EstimateTotals(resources));
    for (const ApiResource& resource : resources) {
      if (checkpoint_.IsDone(resource.name())) continue;
      absl::Status migrated = Migrate(resource);
      if (!migrated.ok() && EndsRun(migrated)) return migrated;
      checkpoint_.done.push_back({.resource = resource.name(),
                                  .counts = checkpoint_.counts,
                                  .failure = std::string(migrated.message())});
      left_[resource.name()] = 0;
      Leave();
      KEKD_RETURN_IF_ERROR(Tell(resource, 0));
    }
    return absl::OkStatus();
  }

  // How many objects there are, as far as the server tells: for the estimate alone.
  absl::Status EstimateTotals(absl::Span<const ApiResource> resources) {
    for (const ApiResource& resource : resources) {
      if (checkpoint_.IsDone(resource.name())) continue;
      KEKD_ASSIGN_OR_RETURN(const ApiAnswer answer,
                            client_.CallWithRetries(ListRequest(resource, 1, ""), options_.retries,
                                                    stop_, deadline_));
      if (!answer.ok()) continue;  // told when it is its turn
      const absl::StatusOr<ObjectPage> page = ParseObjectPage(answer.body);
      if (page.ok()) left_[resource.name()] = page->objects.size() + page->remaining;
    }
    if (const auto current = left_.find(checkpoint_.resource); current != left_.end()) {
      current->second -= std::min(current->second, checkpoint_.counts.total());
    }
    return absl::OkStatus();
  }

  void Leave() {
    checkpoint_.resource.clear();
    checkpoint_.continue_token.clear();
    checkpoint_.through.clear();
    checkpoint_.counts = {};
  }

  absl::Status Migrate(const ApiResource& resource) {
    if (checkpoint_.resource != resource.name()) {
      Leave();
      checkpoint_.resource = resource.name();
    }
    // A list that begins anew, or at a page of which a part is done already, has objects before
    // this one.
    std::string skip_through = checkpoint_.through;
    std::string last_key;
    int restarts = 0;
    while (true) {
      KEKD_ASSIGN_OR_RETURN(const ApiAnswer answer, List(resource));
      const bool token_refused = answer.http_status == 400 && !checkpoint_.continue_token.empty();
      if (answer.http_status == 410 || token_refused) {
        if (++restarts > kRestartsOfList) return ToStatus(answer, Listing(resource));
        // Where it was, at a newer revision, or else from its beginning.
        checkpoint_.continue_token = token_refused ? "" : answer.continue_token;
        skip_through = checkpoint_.through;
        last_key.clear();
        continue;
      }
      KEKD_RETURN_IF_ERROR(ToStatus(answer, Listing(resource)));
      KEKD_ASSIGN_OR_RETURN(ObjectPage page, ParseObjectPage(answer.body));
      if (!CheckOrder(page, last_key)) {
        // Not a list as etcd sorts it: nothing may be left out for its name.
        skip_through.clear();
        checkpoint_.through.clear();
      }
      if (!skip_through.empty()) {
        std::erase_if(page.objects,
                      [&](const ListedObject& object) { return object.SortKey() <= skip_through; });
      }
      if (!page.objects.empty()) restarts = 0;
      KEKD_RETURN_IF_ERROR(WritePage(resource, page));
      if (page.continue_token.empty()) return absl::OkStatus();
      checkpoint_.continue_token = std::move(page.continue_token);
    }
  }

  absl::StatusOr<ApiAnswer> List(const ApiResource& resource) {
    ApiRetries retries = options_.retries;
    if (has_listed_) retries.denial_attempts = kLaterDenialAttempts;
    const HttpRequest request =
        ListRequest(resource, options_.page_size, checkpoint_.continue_token);
    KEKD_ASSIGN_OR_RETURN(ApiAnswer answer,
                          client_.CallWithRetries(request, retries, stop_, deadline_));
    has_listed_ = has_listed_ || answer.ok();
    return answer;
  }

  static std::string Listing(const ApiResource& resource) {
    return absl::StrCat("listing ", resource.name());
  }

  // Whether the objects come as etcd sorts them, after the last of the page before.
  static bool CheckOrder(const ObjectPage& page, std::string& last_key) {
    for (const ListedObject& object : page.objects) {
      std::string key = object.SortKey();
      if (key <= last_key) return false;
      last_key = std::move(key);
    }
    return true;
  }

  absl::Status WritePage(const ApiResource& resource, const ObjectPage& page) {
    const MigrationCheckpoint before = checkpoint_;
    const bool ordered = absl::c_is_sorted(
        page.objects,
        [](const ListedObject& a, const ListedObject& b) { return a.SortKey() < b.SortKey(); });
    MigrationOptions options = options_;
    options.retries.denial_attempts = kLaterDenialAttempts;
    PageWriter writer(client_, options, limiter_, resource, page.objects);
    return writer.Run(stop_, deadline_, [&](const PageWriter::State& state) {
      checkpoint_ = before;
      if (state.through > 0 && ordered) {
        checkpoint_.through = page.objects[state.through - 1].SortKey();
      }
      if (ordered || state.through == page.objects.size()) {
        Add(state.counts, checkpoint_.counts);
        AddRefusals(state.refusals);
      }
      left_[resource.name()] = page.objects.size() - state.through + page.remaining;
      return Tell(resource, state.done - state.through);
    });
  }

  static void Add(const MigrationCounts& more, MigrationCounts& counts) {
    counts.written += more.written;
    counts.up_to_date += more.up_to_date;
    counts.by_others += more.by_others;
    counts.refused += more.refused;
  }

  void AddRefusals(const std::vector<MigrationRefusal>& more) {
    for (const MigrationRefusal& refusal : more) {
      if (checkpoint_.refusals.size() == MigrationCheckpoint::kMaxRefusals) return;
      checkpoint_.refusals.push_back(refusal);
    }
  }

  // `ahead`: objects that are done and not in the checkpoint yet, as others before them are not.
  absl::Status Tell(const ApiResource& resource, uint64_t ahead) {
    if (!progress_) return absl::OkStatus();
    const uint64_t done = checkpoint_.TotalCounts().total() + ahead;
    uint64_t left = 0;
    for (const auto& [name, objects] : left_) left += objects;
    left -= std::min(left, ahead);
    rate_.Note(done);
    MigrationProgress now = {.checkpoint = checkpoint_,
                             .resource = resource.name(),
                             .done = done,
                             .total = done + left,
                             .per_second = rate_.PerSecond(),
                             .remaining = std::nullopt};
    if (now.per_second > 0) {
      now.remaining = absl::Seconds(static_cast<double>(left) / now.per_second);
    }
    return progress_(now);
  }

  ApiClient& client_;
  const MigrationOptions& options_;
  const MigrationProgressFunction& progress_;
  const std::stop_token& stop_;
  const absl::Time deadline_;
  RateLimiter limiter_;
  MigrationCheckpoint checkpoint_;
  std::map<std::string, uint64_t> left_;  // by resource, an estimate
  Rate rate_;
  bool has_listed_ = false;
};

}  // namespace

bool MigrationResult::Complete() const {
  return status.ok() && checkpoint.TotalCounts().refused == 0 &&
         absl::c_all_of(checkpoint.done,
                        [](const MigratedResource& one) { return one.failure.empty(); });
}

Migrator::Migrator(ApiClient& client, const MigrationOptions& options)
    : client_(client), options_(options) {}

MigrationResult Migrator::Run(absl::Span<const ApiResource> resources, MigrationCheckpoint from,
                              const MigrationProgressFunction& progress,
                              const std::stop_token& stop, absl::Time deadline) {
  return MigrationRun(client_, options_, std::move(from), progress, stop, deadline).Run(resources);
}

}  // namespace kekd
