// What a migration did, for people and for scripts.
#ifndef KEKD_KMS_CTL_MIGRATE_OUTPUT_H_
#define KEKD_KMS_CTL_MIGRATE_OUTPUT_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "cluster/api_server/discovery.h"
#include "cluster/migration/migration_checkpoint.h"
#include "kms/ctl/terminal.h"

namespace kekd {

struct MigrationOutcome {
  std::string server;
  bool by_controller = false;  // then nobody counts
  absl::Status status;         // why it ended before its end, or OK
  MigrationCheckpoint checkpoint;
  std::vector<DiscoveryProblem> problems;  // of what was to be migrated
  bool complete = false;                   // nothing was left out
};

std::string MigrationTable(const MigrationOutcome& outcome, Colors colors);
std::string MigrationJson(const MigrationOutcome& outcome);

}  // namespace kekd

#endif  // KEKD_KMS_CTL_MIGRATE_OUTPUT_H_
