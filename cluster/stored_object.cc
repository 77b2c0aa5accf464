#include "cluster/stored_object.h"

namespace kekd {

absl::string_view ToString(Place place) {
  switch (place) {
    case Place::kCurrent:
      return "current";
    case Place::kPending:
      return "pending";
    case Place::kOldRevision:
      return "old revision";
    case Place::kFreeSpace:
      return "free space";
    case Place::kWal:
      return "write-ahead log";
  }
  return "?";
}

bool IsPast(Place place) {
  switch (place) {
    case Place::kCurrent:
    case Place::kPending:
      return false;
    case Place::kOldRevision:
    case Place::kFreeSpace:
    case Place::kWal:
      break;
  }
  return true;
}

}  // namespace kekd
