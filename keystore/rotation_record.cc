#include "keystore/rotation_record.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace kekd {
namespace {

constexpr RotationStep kSteps[] = {
    RotationStep::kSelfTest, RotationStep::kProve, RotationStep::kPromote, RotationStep::kObserve,
    RotationStep::kMigrate,  RotationStep::kScan,  RotationStep::kDone,    RotationStep::kAborted};

absl::Status CheckText(absl::string_view what, absl::string_view text) {
  const auto controls = [](char c) { return (c >= 0 && c < ' ') || c == 127; };
  if (text.size() <= RotationRecord::kMaxTextBytes &&
      std::none_of(text.begin(), text.end(), controls)) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat("the ", what,
                                                 " of a rotation is one line of at most ",
                                                 RotationRecord::kMaxTextBytes, " bytes"));
}

}  // namespace

bool IsNodeName(absl::string_view text) {
  const auto fits = [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '-' || c == '_';
  };
  return !text.empty() && text.size() <= RotationRecord::kMaxTextBytes &&
         std::all_of(text.begin(), text.end(), fits);
}

absl::string_view ToString(RotationStep step) {
  switch (step) {
    case RotationStep::kSelfTest:
      return "self-test";
    case RotationStep::kProve:
      return "prove";
    case RotationStep::kPromote:
      return "promote";
    case RotationStep::kObserve:
      return "observe";
    case RotationStep::kMigrate:
      return "migrate";
    case RotationStep::kScan:
      return "scan";
    case RotationStep::kDone:
      return "done";
    case RotationStep::kAborted:
      return "aborted";
  }
  return "?";
}

std::optional<RotationStep> RotationStepFromText(absl::string_view text) {
  for (const RotationStep step : kSteps) {
    if (text == ToString(step)) return step;
  }
  return std::nullopt;
}

std::vector<std::string> RotationRecord::Unproved() const {
  std::vector<std::string> unproved;
  for (const std::string& node : nodes) {
    const auto is = [&](const ProvedNode& one) { return one.node == node; };
    if (std::none_of(proved.begin(), proved.end(), is)) unproved.push_back(node);
  }
  return unproved;
}

absl::Status CheckRotationRecord(const RotationRecord& rotation) {
  if (std::find(std::begin(kSteps), std::end(kSteps), rotation.step) == std::end(kSteps)) {
    return absl::InvalidArgumentError("a rotation is at a step that there is not");
  }
  if (rotation.from >= rotation.to) {
    return absl::InvalidArgumentError(
        absl::StrCat("no rotation leads from key version ", rotation.from, " to ", rotation.to));
  }
  for (const auto& [what, text] :
       {std::pair<absl::string_view, absl::string_view>("author", rotation.who),
        {"reason", rotation.reason},
        {"end's reason", rotation.end_reason}}) {
    if (absl::Status fits = CheckText(what, text); !fits.ok()) return fits;
  }
  if (rotation.nodes.empty() || rotation.nodes.size() > RotationRecord::kMaxNodes) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a rotation has 1 to ", RotationRecord::kMaxNodes, " nodes that are to prove"));
  }
  for (auto node = rotation.nodes.begin(); node != rotation.nodes.end(); ++node) {
    if (!IsNodeName(*node) || std::find(rotation.nodes.begin(), node, *node) != node) {
      return absl::InvalidArgumentError(
          "a node of a rotation has no name of a host, or that of another one");
    }
  }
  for (auto one = rotation.proved.begin(); one != rotation.proved.end(); ++one) {
    const auto same = [&](const ProvedNode& other) { return other.node == one->node; };
    if (std::find(rotation.nodes.begin(), rotation.nodes.end(), one->node) ==
            rotation.nodes.end() ||
        std::find_if(rotation.proved.begin(), one, same) != one) {
      return absl::InvalidArgumentError("a node proved that was not to, or twice");
    }
  }
  const bool before_promotion = rotation.step <= RotationStep::kPromote;
  if (!before_promotion && rotation.step != RotationStep::kAborted &&
      !rotation.Unproved().empty()) {
    return absl::InvalidArgumentError("a rotation was promoted before all of its nodes had proved");
  }
  if ((rotation.step == RotationStep::kAborted) == rotation.end_reason.empty()) {
    return absl::InvalidArgumentError(
        "a rotation says why it ended if it was aborted, and else not");
  }
  return absl::OkStatus();
}

std::string DescribeRotation(const RotationRecord& rotation) {
  return absl::StrCat(
      "the rotation to key version ", rotation.to, ", which ", rotation.who, " began ",
      absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", rotation.begin_time, absl::UTCTimeZone()),
      rotation.IsRunning() ? absl::StrCat(" and whose next step is ", ToString(rotation.step))
                           : absl::StrCat(" and which is ", ToString(rotation.step)));
}

}  // namespace kekd
