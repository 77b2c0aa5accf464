#include "kms/ctl/rotation_output.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "kms/ctl/json_parts.h"
#include "kms/ctl/table.h"

namespace kekd {
namespace {

constexpr RotationStep kSteps[] = {RotationStep::kSelfTest, RotationStep::kProve,
                                   RotationStep::kPromote,  RotationStep::kObserve,
                                   RotationStep::kMigrate,  RotationStep::kScan};

std::string TimeText(absl::Time time) {
  return time == absl::InfiniteFuture() ? "" : FormatMillis(absl::ToUnixMillis(time));
}

std::string VersionText(const RingView& ring, uint32_t number) {
  const RingView::Version* const version = ring.Find(number);
  if (version == nullptr) return "none";
  return absl::StrCat(number, " (", version->key_id, ", ", version->backend, ", ",
                      ToString(version->state), version->compromised ? ", compromised" : "", ")");
}

std::string ProvedText(const RotationRecord& rotation) {
  std::vector<std::string> nodes;
  for (const std::string& node : rotation.nodes) {
    const auto is = [&](const ProvedNode& one) { return one.node == node; };
    const auto proved = std::find_if(rotation.proved.begin(), rotation.proved.end(), is);
    nodes.push_back(proved == rotation.proved.end()
                        ? absl::StrCat(node, " has not proved yet")
                        : absl::StrCat(node, " ", TimeText(proved->time)));
  }
  return absl::StrJoin(nodes, ", ");
}

// "self-test, prove done; promote is next".
std::string StepText(const RotationRecord& rotation) {
  if (!rotation.IsRunning()) {
    return absl::StrCat(ToString(rotation.step),
                        rotation.end_reason.empty() ? "" : ": " + rotation.end_reason);
  }
  std::vector<absl::string_view> done = {"preflight", "generate"};
  for (const RotationStep step : kSteps) {
    if (step < rotation.step) done.push_back(ToString(step));
  }
  return absl::StrCat(ToString(rotation.step), " (done: ", absl::StrJoin(done, ", "), ")");
}

}  // namespace

std::string RotationTable(const RingView& ring, const std::string& next, absl::Time now,
                          Colors colors) {
  if (!ring.rotation.has_value()) {
    return absl::StrCat("keyring ", ring.name, " never had a rotation\n");
  }
  const RotationRecord& rotation = *ring.rotation;
  Table table({"rotation", absl::StrCat("of keyring ", ring.name)});
  table.Add({"step", StepText(rotation)});
  table.SetTone(1, rotation.step == RotationStep::kDone      ? Tone::kGood
                   : rotation.step == RotationStep::kAborted ? Tone::kBad
                                                             : Tone::kWarning);
  table.Add({"from", VersionText(ring, rotation.from)});
  table.Add({"to", VersionText(ring, rotation.to)});
  table.Add({"begun", absl::StrCat(TimeText(rotation.begin_time), " by ", rotation.who)});
  if (!rotation.reason.empty()) table.Add({"reason", rotation.reason});
  const absl::Duration since = std::max(absl::ZeroDuration(), now - rotation.step_time);
  table.Add(
      {"since", absl::StrCat(TimeText(rotation.step_time), " (",
                             absl::FormatDuration(absl::Trunc(since, absl::Seconds(1))), " ago)")});
  table.Add({"nodes", ProvedText(rotation)});
  std::string text = table.ToString(colors);
  // What it tells of API servers comes from them.
  if (!next.empty()) absl::StrAppend(&text, "\n");
  for (const absl::string_view line : absl::StrSplit(next, '\n', absl::SkipEmpty())) {
    absl::StrAppend(&text, Printable(line), "\n");
  }
  return text;
}

std::string RotationJson(const RingView& ring, const std::string& next) {
  Json json = {{"keyring", ring.name}, {"generation", ring.generation}, {"rotation", nullptr}};
  if (ring.rotation.has_value()) {
    const RotationRecord& rotation = *ring.rotation;
    Json nodes = Json::array();
    for (const std::string& node : rotation.nodes) {
      const auto is = [&](const ProvedNode& one) { return one.node == node; };
      const auto proved = std::find_if(rotation.proved.begin(), rotation.proved.end(), is);
      nodes.push_back(
          Json{{"node", node},
               {"proved",
                proved == rotation.proved.end() ? Json(nullptr) : Json(TimeText(proved->time))}});
    }
    const RingView::Version* const to = ring.Find(rotation.to);
    json["rotation"] = Json{{"step", ToString(rotation.step)},
                            {"running", rotation.IsRunning()},
                            {"from", rotation.from == 0 ? Json(nullptr) : Json(rotation.from)},
                            {"to", rotation.to},
                            {"toKeyId", to == nullptr ? Json(nullptr) : Json(to->key_id)},
                            {"by", rotation.who},
                            {"reason", TextOrNull(rotation.reason)},
                            {"begun", TimeText(rotation.begin_time)},
                            {"stepReached", TimeText(rotation.step_time)},
                            {"endReason", TextOrNull(rotation.end_reason)},
                            {"nodes", std::move(nodes)}};
  }
  json["next"] = TextOrNull(next);
  return Dump(json);
}

}  // namespace kekd
