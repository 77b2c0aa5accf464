// Has an API server write every object anew that is not stored as it would store it today.
#ifndef KEKD_CLUSTER_MIGRATION_MIGRATOR_H_
#define KEKD_CLUSTER_MIGRATION_MIGRATOR_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "cluster/api_server/api_client.h"
#include "cluster/api_server/discovery.h"
#include "cluster/migration/migration_checkpoint.h"

namespace kekd {

struct MigrationOptions {
  double qps = 0;       // writes a second at most; 0: as many as the server takes
  int concurrency = 8;  // writes at the same time
  int page_size = 500;  // objects of one list request
  ApiRetries retries;   // its patience: how long the API server may be away
  // An object that fails with an error of the server (HTTP 500) is tried so often, then refused.
  int attempts = 3;
  // So many such failures without a success between end the run: the server, not an object, is ill.
  int failures_in_a_row = 20;
  absl::Duration progress_interval = absl::Milliseconds(500);
};

// Where a run is. The checkpoint may be kept at once: a run that is given it leaves out what is
// done, and does what was in flight once more, which harms nothing.
struct MigrationProgress {
  const MigrationCheckpoint& checkpoint;
  std::string resource;   // being visited
  uint64_t done = 0;      // objects of all resources
  uint64_t total = 0;     // an estimate that grows with what is listed; at least `done`
  double per_second = 0;  // of late
  std::optional<absl::Duration> remaining;  // once there is something to reckon it from
};

// Called on the thread of Run, at most once in every progress_interval and at the end of each
// resource. Not OK: the run ends with that status (a checkpoint that can't be kept, say).
using MigrationProgressFunction = std::function<absl::Status(const MigrationProgress& progress)>;

struct MigrationResult {
  // OK: every object of every resource was visited. Cancelled (stop was asked for),
  // DeadlineExceeded, Unavailable (the API server was away for longer than the patience, or fails
  // every write), PermissionDenied, Unauthenticated; what the progress function gave.
  absl::Status status;
  MigrationCheckpoint checkpoint;  // what was done, whatever the status is

  // Nothing was left out or refused: all that there was is stored as the API server stores it now.
  bool Complete() const;
};

// Migrator visits objects by their metadata alone (PartialObjectMetadataList), and asks for a write
// that changes nothing: a merge patch with only the object's resourceVersion. kube-apiserver
// answers that without a write to etcd unless its storage says that the object is stale (under
// another key, in plaintext, in an older version), and then writes it as it writes everything. So
// what objects contain never leaves the API server.
//
// What it can't tell is whether the API server knows the new key yet: who calls it has made sure of
// that before, on every API server.
//
// Pages are listed at one revision and go on at a newer one if that expires (HTTP 410). An object
// that was changed meanwhile (409) or is gone (404) was written by somebody else. What admission or
// validation refuses is told by name, and the rest goes on. Thread-safe.
class Migrator final {
 public:
  // `client` outlives it.
  Migrator(ApiClient& client, const MigrationOptions& options);

  // Blocks until all is done or something ends it. `from` is what an earlier run with the same
  // target has left, or a checkpoint with nothing but its target. Resources are visited in their
  // order; one that can't be listed is told as a failure of it.
  MigrationResult Run(absl::Span<const ApiResource> resources, MigrationCheckpoint from,
                      const MigrationProgressFunction& progress, const std::stop_token& stop,
                      absl::Time deadline);

 private:
  ApiClient& client_;
  const MigrationOptions options_;
};

// Whether whoever the client is may list and patch these resources, by the API server's own word
// (SelfSubjectAccessReview). PermissionDenied names all that is missing, as rules to be granted.
absl::Status CheckMayMigrate(ApiClient& client, absl::Span<const ApiResource> resources,
                             const ApiRetries& retries, const std::stop_token& stop,
                             absl::Time deadline);

}  // namespace kekd

#endif  // KEKD_CLUSTER_MIGRATION_MIGRATOR_H_
