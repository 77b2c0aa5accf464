#include "cluster/migration/migration_checkpoint.h"

#include <utility>

#include "absl/algorithm/container.h"
#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cluster/api_server/json_fields.h"

namespace kekd {
namespace {

constexpr char kFormat[] = "kekd/migration-checkpoint/";
constexpr char kFormat1[] = "kekd/migration-checkpoint/1";

nlohmann::json CountsJson(const MigrationCounts& counts) {
  return {{"written", counts.written},
          {"upToDate", counts.up_to_date},
          {"byOthers", counts.by_others},
          {"refused", counts.refused}};
}

MigrationCounts ReadCounts(const nlohmann::json& json) {
  return {.written = NumberField(json, {"counts", "written"}),
          .up_to_date = NumberField(json, {"counts", "upToDate"}),
          .by_others = NumberField(json, {"counts", "byOthers"}),
          .refused = NumberField(json, {"counts", "refused"})};
}

}  // namespace

MigrationCounts MigrationCheckpoint::TotalCounts() const {
  MigrationCounts total = counts;
  for (const MigratedResource& one : done) {
    total.written += one.counts.written;
    total.up_to_date += one.counts.up_to_date;
    total.by_others += one.counts.by_others;
    total.refused += one.counts.refused;
  }
  return total;
}

bool MigrationCheckpoint::IsDone(absl::string_view resource_name) const {
  return absl::c_any_of(done, [&](const MigratedResource& one) {
    return one.resource == resource_name && one.failure.empty();
  });
}

std::string FormatCheckpoint(const MigrationCheckpoint& checkpoint) {
  nlohmann::json done = nlohmann::json::array();
  for (const MigratedResource& one : checkpoint.done) {
    done.push_back(
        {{"resource", one.resource}, {"counts", CountsJson(one.counts)}, {"failure", one.failure}});
  }
  nlohmann::json refusals = nlohmann::json::array();
  for (const MigrationRefusal& one : checkpoint.refusals) {
    refusals.push_back({{"resource", one.resource},
                        {"namespace", one.namespace_name},
                        {"name", one.name},
                        {"reason", one.reason}});
  }
  return absl::StrCat(FormatJson({{"format", kFormat1},
                                  {"target", checkpoint.target},
                                  {"done", std::move(done)},
                                  {"resource", checkpoint.resource},
                                  {"continue", checkpoint.continue_token},
                                  {"through", checkpoint.through},
                                  {"counts", CountsJson(checkpoint.counts)},
                                  {"refusals", std::move(refusals)}}),
                      "\n");
}

absl::StatusOr<MigrationCheckpoint> ParseCheckpoint(absl::string_view text) {
  const nlohmann::json json = ParseJson(text);
  const std::string format = TextField(json, {"format"});
  if (!absl::StartsWith(format, kFormat)) {
    return absl::InvalidArgumentError("it is no checkpoint of a migration");
  }
  if (format != kFormat1) {
    return absl::UnimplementedError(
        absl::StrCat("the checkpoint is of a newer kekctl (format ", format, ")"));
  }
  MigrationCheckpoint checkpoint;
  checkpoint.target = TextField(json, {"target"});
  checkpoint.resource = TextField(json, {"resource"});
  checkpoint.continue_token = TextField(json, {"continue"});
  checkpoint.through = TextField(json, {"through"});
  checkpoint.counts = ReadCounts(json);
  for (const nlohmann::json& one : ArrayField(json, {"done"})) {
    checkpoint.done.push_back({.resource = TextField(one, {"resource"}),
                               .counts = ReadCounts(one),
                               .failure = TextField(one, {"failure"})});
  }
  for (const nlohmann::json& one : ArrayField(json, {"refusals"})) {
    checkpoint.refusals.push_back({.resource = TextField(one, {"resource"}),
                                   .namespace_name = TextField(one, {"namespace"}),
                                   .name = TextField(one, {"name"}),
                                   .reason = TextField(one, {"reason"})});
  }
  return checkpoint;
}

}  // namespace kekd
