#include "cluster/scan_report.h"

namespace kekd {

absl::string_view ToString(Freshness freshness) {
  switch (freshness) {
    case Freshness::kNone:
      return "-";
    case Freshness::kPrimary:
      return "primary";
    case Freshness::kStale:
      return "stale";
    case Freshness::kNewer:
      return "newer";
    case Freshness::kDestroyed:
      return "destroyed";
    case Freshness::kUnknownKey:
      return "unknown key";
    case Freshness::kForeignProvider:
      return "foreign provider";
  }
  return "?";
}

}  // namespace kekd
