// What a source handed over, kept for comparison.
#ifndef KEKD_TESTS_CLUSTER_ETCD_FILE_COLLECTED_H_
#define KEKD_TESTS_CLUSTER_ETCD_FILE_COLLECTED_H_

#include <cstdint>
#include <ostream>
#include <string>
#include <vector>

#include "cluster/stored_object.h"

namespace kekd::testing {

struct Found {
  Place place = Place::kCurrent;
  std::string key;
  std::string value;
  int64_t mod_revision = 0;
  bool whole = true;

  friend bool operator==(const Found& a, const Found& b) = default;
};

std::ostream& operator<<(std::ostream& out, const Found& found);

struct Collected {
  std::vector<Found> objects;
  SourceFacts facts;
};

// Opens and reads; the status of either.
absl::StatusOr<Collected> Collect(const std::string& path, const ReadRange& range = {});

// The gaps in a line each, for a matcher.
std::string GapText(const SourceFacts& facts);

}  // namespace kekd::testing

#endif  // KEKD_TESTS_CLUSTER_ETCD_FILE_COLLECTED_H_
