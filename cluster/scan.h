// Counts what lies in etcd by how it is encrypted.
#ifndef KEKD_CLUSTER_SCAN_H_
#define KEKD_CLUSTER_SCAN_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "cluster/key_catalog.h"
#include "cluster/object_key.h"
#include "cluster/object_opener.h"
#include "cluster/scan_report.h"
#include "cluster/storage_value.h"
#include "cluster/stored_object.h"

namespace kekd {

// Scanner is fed the objects of an EtcdSource one by one and sums them up. Its memory is bounded
// whatever the objects are; on the usual path it allocates nothing. Not thread-safe.
//
//   Scanner scanner(options);
//   facts = source.Read(range, [&](const StoredObject& o) { return scanner.Visit(o); }, progress);
//   ScanReport report = std::move(scanner).Finish(facts);
class Scanner final {
 public:
  static constexpr size_t kMaxGroups = 10'000;
  // Longer names and keys of etcd are cut and end in "..."; key ids, which have a limit of their
  // own, are whole. No object that an API server wrote has longer ones.
  static constexpr size_t kMaxNameBytes = 253;
  static constexpr size_t kMaxKeyBytes = 1024;

  struct Options {
    std::vector<std::string> prefixes = ReadRange().prefixes;  // of keys, as they were read
    const KeyCatalog* catalog = nullptr;                       // outlives the scanner; or null
    // Names of providers that are known not to be kekd: what they encrypted is not to be opened,
    // unless its key id has the form of ours. Any other provider is taken for ours if a key of the
    // catalogue was used under its name.
    std::vector<std::string> foreign_providers;
    ObjectOpener* opener = nullptr;  // opens every other whole object of KMS v2; or null
    absl::Duration open_timeout = absl::Seconds(10);  // for each DEK source
    const Clock* clock = &Clock::System();
  };

  explicit Scanner(Options options);

  // Always OK: a visitor.
  absl::Status Visit(const StoredObject& object);

  ScanReport Finish(SourceFacts facts) &&;

 private:
  // What a group's objects have in common.
  struct GroupName {
    absl::string_view resource;
    absl::string_view group;
    absl::string_view name;
    absl::string_view key_id;
    Place place = Place::kCurrent;
    StorageKind kind = StorageKind::kUnrecognised;
    bool never_encrypted = false;

    friend bool operator==(const GroupName& a, const GroupName& b) {
      return a.place == b.place && a.kind == b.kind && a.key_id == b.key_id && a.name == b.name &&
             a.resource == b.resource && a.group == b.group &&
             a.never_encrypted == b.never_encrypted;
    }
    template <typename H>
    friend H AbslHashValue(H h, const GroupName& n) {
      return H::combine(std::move(h), n.resource, n.group, n.name, n.key_id, n.place, n.kind,
                        n.never_encrypted);
    }
  };
  struct Group {
    GroupName name;  // views of these strings and of those in `counts`
    std::string resource;
    std::string api_group;
    ScanGroup counts;
  };

  ScanGroup& FindGroup(const StoredObject& object, const ObjectKey& key, const StorageValue& value);
  Group& AddGroup(const StoredObject& object, const ObjectKey& key, const StorageValue& value);
  Group& FoldedGroup(const StoredObject& object, const ObjectKey& key, StorageKind kind);
  void TryToOpen(const StoredObject& object, const StorageValue& value, ScanGroup& counts);
  bool IsForeign(absl::string_view provider, absl::string_view key_id) const;
  void TellFreshness();
  void TellGaps();

  const Options options_;
  std::deque<Group> groups_;  // stay where they are
  absl::flat_hash_map<GroupName, Group*> by_name_;
  Group* last_ = nullptr;
  uint64_t folded_ = 0;       // objects in groups of kOtherResources
  absl::Status unavailable_;  // the first reason
  ScanReport report_;
};

}  // namespace kekd

#endif  // KEKD_CLUSTER_SCAN_H_
