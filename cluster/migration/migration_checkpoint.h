// How far a migration has come.
#ifndef KEKD_CLUSTER_MIGRATION_MIGRATION_CHECKPOINT_H_
#define KEKD_CLUSTER_MIGRATION_MIGRATION_CHECKPOINT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace kekd {

struct MigrationCounts {
  uint64_t written = 0;     // the API server wrote them anew
  uint64_t up_to_date = 0;  // it said that they need no writing
  uint64_t by_others = 0;   // written or deleted by somebody else meanwhile
  uint64_t refused = 0;     // by admission or validation, or they failed again and again

  uint64_t total() const { return written + up_to_date + by_others + refused; }
  friend bool operator==(const MigrationCounts&, const MigrationCounts&) = default;
};

// An object that could not be written.
struct MigrationRefusal {
  std::string resource;        // "secrets"
  std::string namespace_name;  // empty if it has none
  std::string name;
  std::string reason;  // the API server's words

  friend bool operator==(const MigrationRefusal&, const MigrationRefusal&) = default;
};

// A resource of which every object was visited.
struct MigratedResource {
  std::string resource;
  MigrationCounts counts;
  // Why it was left before its end, and what went on without it (it can't be listed); empty: it
  // wasn't.
  std::string failure;

  friend bool operator==(const MigratedResource&, const MigratedResource&) = default;
};

// MigrationCheckpoint is plain data: names and counts, nothing of what objects contain. Its owner
// keeps it, and a later run that is given it goes on from there. It belongs to one target only: the
// run of a later rotation begins anew.
struct MigrationCheckpoint {
  static constexpr size_t kMaxRefusals = 1000;

  // What the objects are to be encrypted under, in the caller's words (the primary's key_id). A run
  // for another one must not be given it, or what is stale again would be left out.
  std::string target;
  std::vector<MigratedResource> done;
  // The one that is being visited: its list goes on with `continue_token` (empty: from its
  // beginning), and all objects up to and with `through` (NAMESPACE/NAME, as etcd sorts them) are
  // done.
  std::string resource;  // empty: none yet
  std::string continue_token;
  std::string through;
  MigrationCounts counts;                  // of this one so far
  std::vector<MigrationRefusal> refusals;  // the first of all resources, up to kMaxRefusals

  // Of all resources.
  MigrationCounts TotalCounts() const;
  bool IsDone(absl::string_view resource_name) const;

  friend bool operator==(const MigrationCheckpoint&, const MigrationCheckpoint&) = default;
};

// As JSON, and back. InvalidArgument for what is no checkpoint, Unimplemented for one of a newer
// kekctl.
std::string FormatCheckpoint(const MigrationCheckpoint& checkpoint);
absl::StatusOr<MigrationCheckpoint> ParseCheckpoint(absl::string_view text);

}  // namespace kekd

#endif  // KEKD_CLUSTER_MIGRATION_MIGRATION_CHECKPOINT_H_
