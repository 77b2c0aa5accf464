// What must hold whatever happens.
#ifndef KEKD_TESTS_SIMULATION_INVARIANTS_H_
#define KEKD_TESTS_SIMULATION_INVARIANTS_H_

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "keystore/open_keyring.h"
#include "keystore/rotation/ring_view.h"
#include "tests/simulation/etcd.h"

namespace kekd::testing {

class World;

// Invariants looks at the world after every event and tells it of the first rule that is broken:
//
//   opens        every DEK source of an object that is stored, or in a snapshot that may still be
//                restored, is opened by every kekd that serves
//   forward      no API server, and nobody at a node, is answered a key_id that it was answered
//                before another one
//   one key      a key_id is of one version and one key for ever; one version is the primary
//   agreement    Encrypt answers the key_id that Status does
//   proved       when a version is promoted, every node of the roster opens it
//   observed     when a rotation goes on to migrate, and when anything is migrated, no API server
//                can write under another key, nor come up with one
//   durable      what was acknowledged at a node is there after its crashes
//   referenced   no version that the needed DEK sources name is destroyed in a record
//
// What an operator gives up by accepting a rollback, or with a lost disk, he is told so.
class Invariants final {
 public:
  explicit Invariants(World& world);

  // kekd of that node answered an API server; `server` is its index.
  void OnServed(size_t server, const std::string& key_id);
  // A change was acknowledged on the node where changes are made.
  void OnChanged(const RingView& before, const RingView& after);
  void OnMigrate(const std::string& key_id);
  // Keys on devices may be gone.
  void OnKeysDestroyed() { opened_.clear(); }
  // The keyring that all have now is an older one, by an operator's word.
  void OnRollbackAccepted();
  // The node is a new machine.
  void OnReplaced(size_t node);
  void Check();

 private:
  // The key_ids that somebody was answered, oldest first.
  using History = std::vector<std::string>;
  void Note(History& history, const std::string& key_id, const std::string& who);
  void CheckNode(size_t node);
  void CheckObserved(const std::string& key_id, const std::string& when);

  World& world_;
  std::vector<History> of_servers_;
  std::vector<History> of_nodes_;
  std::map<std::string, std::string> canaries_;  // by key_id
  // Of each node: what it served at the last look, and the generation that it must not go below.
  std::vector<std::shared_ptr<const OpenKeyring>> served_;
  std::vector<uint64_t> durable_;
  std::set<std::pair<size_t, uint64_t>> opened_;  // node, DEK source
  bool rolled_back_ = false;
};

}  // namespace kekd::testing

#endif  // KEKD_TESTS_SIMULATION_INVARIANTS_H_
