// What a scan of etcd found.
#ifndef KEKD_CLUSTER_SCAN_REPORT_H_
#define KEKD_CLUSTER_SCAN_REPORT_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "cluster/key_catalog.h"
#include "cluster/object_opener.h"
#include "cluster/storage_value.h"
#include "cluster/stored_object.h"

namespace kekd {

// How the key_id of a KMS v2 value stands to the keyrings that the scan was given.
enum class Freshness {
  kNone,             // not KMS v2, no keyring was given, or the key_id can't be read
  kPrimary,          // under the primary
  kStale,            // under a deactivated version: a write re-encrypts it
  kNewer,            // under a version that this copy of the keyring has not promoted
  kDestroyed,        // under a version that was destroyed: unreadable
  kUnknownKey,       // by a provider that is ours, under a key that no keyring has
  kForeignProvider,  // by another provider, as it was named or as nothing speaks for ours
};

absl::string_view ToString(Freshness freshness);  // "primary", "stale", …

// The objects that have all of this in common.
struct ScanGroup {
  std::string resource;  // ResourceName, or kOtherResources
  Place place = Place::kCurrent;
  StorageKind kind = StorageKind::kUnrecognised;
  std::string name;    // StorageValue::name
  std::string key_id;  // of KMS v2; empty if it can't be read
  bool never_encrypted = false;

  Freshness freshness = Freshness::kNone;
  std::optional<CatalogKey> key;  // if a keyring has it

  uint64_t objects = 0;
  uint64_t bytes = 0;        // of their values
  uint64_t partial = 0;      // objects of which only a beginning was found
  uint64_t undecodable = 0;  // objects with a StorageValue::defect
  // By what opening them gave, indexed by OpenOutcome; zeros if nothing was to be opened.
  std::array<uint64_t, 5> outcomes = {};

  std::string example_key;  // of the first one, cut as names are

  uint64_t outcome(OpenOutcome which) const { return outcomes[static_cast<size_t>(which)]; }
};

struct ScanFinding {
  std::string key;  // in etcd, cut as names are
  Place place = Place::kCurrent;
  int64_t mod_revision = 0;
  Damage damage = Damage::kNone;
  std::string reason;
};

// The first so many and how many there are.
struct ScanFindings {
  static constexpr size_t kMaxKept = 1000;
  std::vector<ScanFinding> first;
  uint64_t total = 0;
};

// ScanReport is plain data. Names and keys come from etcd: escape them where they are printed.
struct ScanReport {
  // The resource of groups that came after Scanner::kMaxGroups, one for each place and kind.
  static constexpr absl::string_view kOtherResources = "(others)";

  std::vector<ScanGroup> groups;  // by resource, place, kind, name, key id
  // Values, current or pending, that no API server can decode, with any key. With an opener those
  // of KMS v2 are told as damaged instead.
  ScanFindings undecodable;
  ScanFindings damaged;   // values of KMS v2 that an opener proved to be unreadable
  ScanFindings past;      // both of these among what etcd remembers: nobody reads them
  bool keyrings = false;  // some were given: freshness is told
  // Some more should have been given and could not be had, which is a gap too: a key that is in
  // none of those at hand may be in one of these.
  bool keyrings_missing = false;
  bool opened = false;       // there was an opener
  uint64_t unavailable = 0;  // objects that could not be tried for want of their key
  SourceFacts facts;         // before its gaps come up to three of the scan itself

  // Nothing was left out: what was not found is not there.
  bool complete() const { return facts.gaps.empty(); }
};

}  // namespace kekd

#endif  // KEKD_CLUSTER_SCAN_REPORT_H_
