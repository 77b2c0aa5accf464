// What API servers have stored, and snapshots of it.
#ifndef KEKD_TESTS_SIMULATION_ETCD_H_
#define KEKD_TESTS_SIMULATION_ETCD_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace kekd::testing {

// An encrypted DEK source as it is stored with every object that is encrypted with it.
struct DekSource {
  uint64_t number = 0;  // of the simulation's own
  std::string key_id;
  std::string ciphertext;
  std::string plaintext;  // what kekd is to make of it
};
using StoredDekSource = std::shared_ptr<const DekSource>;

// Etcd is what is stored now and the snapshots that may still be restored. Plain data.
struct Etcd {
  // How long a snapshot may be restored. Times are of the simulation.
  static constexpr absl::Duration kRetention = absl::Minutes(40);
  using Objects = std::map<uint32_t, StoredDekSource>;  // by name
  struct Snapshot {
    absl::Duration time;
    Objects objects;
  };

  Objects objects;
  std::vector<Snapshot> snapshots;

  void TakeSnapshot(absl::Duration now) { snapshots.push_back({now, objects}); }
  void ForgetOldSnapshots(absl::Duration now) {
    while (!snapshots.empty() && snapshots.front().time + kRetention < now) {
      snapshots.erase(snapshots.begin());
    }
  }
  // Every DEK source that an object, stored or restorable, needs; by number.
  std::map<uint64_t, StoredDekSource> Needed() const {
    std::map<uint64_t, StoredDekSource> needed;
    const auto add = [&](const Objects& all) {
      for (const auto& [name, source] : all) needed.emplace(source->number, source);
    };
    add(objects);
    for (const Snapshot& snapshot : snapshots) add(snapshot.objects);
    return needed;
  }
};

}  // namespace kekd::testing

#endif  // KEKD_TESTS_SIMULATION_ETCD_H_
