#include "keystore/rotation/rotation_policy.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/status_macros.h"

namespace kekd {
namespace {

constexpr absl::string_view kDays[] = {"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"};
constexpr absl::Duration kDay = absl::Hours(24);
constexpr absl::Duration kWeek = absl::Hours(7 * 24);

absl::Status WrongWindow(absl::string_view text) {
  return absl::InvalidArgumentError(
      absl::StrCat("\"", text, "\" is no window; give one such as \"Sat 22:00-04:00\", or ",
                   "\"22:00-04:00\" for every day; in UTC"));
}

// "22:30"; none if it is no time of the day.
std::optional<absl::Duration> TimeOfDay(absl::string_view text) {
  int hours = 0;
  int minutes = 0;
  if (text.size() != 5 || text[2] != ':' || !absl::ascii_isdigit(static_cast<uint8_t>(text[0])) ||
      !absl::ascii_isdigit(static_cast<uint8_t>(text[3])) ||
      !absl::SimpleAtoi(text.substr(0, 2), &hours) || !absl::SimpleAtoi(text.substr(3), &minutes) ||
      hours > 24 || minutes > 59 || (hours == 24 && minutes > 0)) {
    return std::nullopt;
  }
  return absl::Hours(hours) + absl::Minutes(minutes);
}

bool IsIn(const RotationWindow& window, absl::Time now) {
  // 1970-01-05 was a Monday.
  absl::Duration into_week;
  absl::IDivDuration(now - (absl::UnixEpoch() + 4 * kDay), kWeek, &into_week);
  if (into_week < absl::ZeroDuration()) into_week += kWeek;
  for (const absl::Duration at : {into_week, into_week + kWeek}) {
    if (at >= window.begin && at < window.begin + window.length) return true;
  }
  return false;
}

}  // namespace

absl::StatusOr<std::vector<RotationWindow>> ParseRotationWindow(absl::string_view text) {
  const std::vector<absl::string_view> words = absl::StrSplit(text, ' ', absl::SkipEmpty());
  if (words.empty() || words.size() > 2) return WrongWindow(text);
  const std::vector<absl::string_view> times = absl::StrSplit(words.back(), '-');
  if (times.size() != 2) return WrongWindow(text);
  const std::optional<absl::Duration> begin = TimeOfDay(times[0]);
  const std::optional<absl::Duration> end = TimeOfDay(times[1]);
  if (!begin.has_value() || !end.has_value() || *begin >= kDay) return WrongWindow(text);
  const absl::Duration length = *end > *begin ? *end - *begin : *end - *begin + kDay;
  std::vector<RotationWindow> windows;
  for (size_t day = 0; day < std::size(kDays); ++day) {
    if (words.size() == 2 && words[0] != kDays[day]) continue;
    windows.push_back({static_cast<int>(day) * kDay + *begin, length});
  }
  if (windows.empty()) return WrongWindow(text);
  return windows;
}

absl::string_view ToString(RotationPolicy::Mode mode) {
  switch (mode) {
    case RotationPolicy::Mode::kOff:
      return "off";
    case RotationPolicy::Mode::kNotify:
      return "notify";
    case RotationPolicy::Mode::kAuto:
      return "auto";
  }
  return "?";
}

std::optional<RotationPolicy::Mode> RotationModeFromText(absl::string_view text) {
  for (const RotationPolicy::Mode mode :
       {RotationPolicy::Mode::kOff, RotationPolicy::Mode::kNotify, RotationPolicy::Mode::kAuto}) {
    if (text == ToString(mode)) return mode;
  }
  return std::nullopt;
}

RotationDue IsRotationDue(const RotationPolicy& policy, const RingView& ring, uint64_t uses,
                          absl::Time now) {
  RotationDue result;
  result.in_window = policy.windows.empty() ||
                     std::any_of(policy.windows.begin(), policy.windows.end(),
                                 [&](const RotationWindow& window) { return IsIn(window, now); });
  if (ring.rotation.has_value() && ring.rotation->IsRunning()) {
    result.reason = absl::StrCat("a rotation runs: ", DescribeRotation(*ring.rotation));
    return result;
  }
  const RingView::Version* const primary = ring.Primary();
  if (primary == nullptr) {
    result.reason = "no key version is active";
    return result;
  }
  const absl::Duration age = now - primary->activation_time;
  const std::string version = absl::StrCat("key version ", primary->number);
  if (primary->compromised) {
    result.due = true;
    result.reason = absl::StrCat(version, ", the primary, is marked compromised");
  } else if (policy.mode == RotationPolicy::Mode::kOff) {
    result.reason = "rotation by policy is off";
  } else if (age >= policy.cryptoperiod) {
    result.due = true;
    result.reason = absl::StrCat(version, " has been the primary for ",
                                 absl::ToInt64Hours(age) / 24, " days; its cryptoperiod is ",
                                 absl::ToInt64Hours(policy.cryptoperiod) / 24, " days");
  } else if (policy.max_uses.has_value() && uses >= *policy.max_uses) {
    result.due = true;
    result.reason = absl::StrCat(version, " has been used ", uses, " times; the policy allows ",
                                 *policy.max_uses);
  } else {
    result.reason = absl::StrCat(version, " has been the primary for ",
                                 absl::ToInt64Hours(age) / 24, " days and is not due");
  }
  return result;
}

}  // namespace kekd
