#include "tests/simulation/invariants.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "tests/simulation/world.h"

namespace kekd::testing {

Invariants::Invariants(World& world)
    : world_(world),
      of_servers_(world.nodes().size()),
      of_nodes_(world.nodes().size()),
      served_(world.nodes().size()),
      durable_(world.nodes().size()) {}

void Invariants::Note(History& history, const std::string& key_id, const std::string& who) {
  if (!history.empty() && history.back() == key_id) return;
  if (std::find(history.begin(), history.end(), key_id) != history.end()) {
    world_.Fail(
        absl::StrCat("forward: ", who, " was answered ", key_id, " again after ", history.back()));
  }
  history.push_back(key_id);
}

void Invariants::OnServed(size_t server, const std::string& key_id) {
  Note(of_servers_[server], key_id, world_.servers()[server]->name());
}

void Invariants::OnRollbackAccepted() {
  for (History& history : of_servers_) history.clear();
  for (History& history : of_nodes_) history.clear();
  std::fill(durable_.begin(), durable_.end(), 0);
  opened_.clear();
  rolled_back_ = true;
}

void Invariants::OnReplaced(size_t node) {
  of_servers_[node].clear();
  of_nodes_[node].clear();
  durable_[node] = 0;
}

void Invariants::CheckObserved(const std::string& key_id, const std::string& when) {
  for (size_t i = 0; i < world_.nodes().size(); ++i) {
    const ApiServer& server = *world_.servers()[i];
    if (server.MayWrite(world_.now()) && server.key_id() != key_id) {
      world_.Fail(absl::StrCat("observed: ", when, " while ", server.name(), " can write under ",
                               server.key_id()));
    }
    const absl::StatusOr<std::shared_ptr<const Keyring>> stored = world_.nodes()[i]->Stored();
    if (!stored.ok()) continue;  // nobody comes up with it
    if ((*stored)->Primary()->key_id.text() != key_id) {
      world_.Fail(absl::StrCat("observed: ", when, " while ", world_.nodes()[i]->name(),
                               " has a keyring whose primary is ",
                               (*stored)->Primary()->key_id.text()));
    }
  }
}

void Invariants::OnMigrate(const std::string& key_id) {
  CheckObserved(key_id, "what is stored is written again");
}

void Invariants::OnChanged(const RingView& before, const RingView& after) {
  durable_[world_.change_index()] = after.generation;
  if (!after.rotation.has_value()) return;
  const RotationRecord& rotation = *after.rotation;
  if (before.rotation.has_value() && before.rotation->to == rotation.to &&
      before.rotation->step == rotation.step) {
    return;
  }
  const std::string& key_id = after.Find(rotation.to)->key_id;
  if (rotation.step == RotationStep::kObserve) {
    for (const auto& node : world_.nodes()) {
      const absl::StatusOr<std::shared_ptr<const Keyring>> stored = node->Stored();
      const KeyVersion* const version = stored.ok() ? (*stored)->Find(KeyId(key_id)) : nullptr;
      if (version == nullptr || !CanDecrypt(version->state)) {
        world_.Fail(absl::StrCat("proved: ", key_id, " was promoted and ", node->name(),
                                 " could not decrypt under it"));
      }
    }
  }
  if (rotation.step == RotationStep::kMigrate) {
    CheckObserved(key_id, "the rotation goes on to migrate");
  }
}

void Invariants::CheckNode(size_t index) {
  Node& node = *world_.nodes()[index];
  if (!node.serves()) return;
  const std::shared_ptr<const OpenKeyring> served = node.Served();
  if (served == served_[index]) return;
  served_[index] = served;
  for (auto one = opened_.begin(); one != opened_.end();) {
    one = one->first == index ? opened_.erase(one) : std::next(one);
  }
  const Keyring& ring = served->keyring();
  if (ring.generation() < durable_[index]) {
    world_.Fail(absl::StrCat("durable: ", node.name(), " came up with generation ",
                             ring.generation(), " and had generation ", durable_[index]));
  }
  durable_[index] = ring.generation();
  size_t active = 0;
  for (const KeyVersion& version : ring.versions()) {
    if (version.state == KeyState::kActive) ++active;
    const auto known = canaries_.emplace(version.key_id.text(), version.canary).first;
    if (known->second != version.canary) {
      world_.Fail(absl::StrCat("one key: ", version.key_id.text(), " is of another key now"));
    }
  }
  if (active != 1) {
    world_.Fail(absl::StrCat("one key: ", node.name(), " has ", active, " active versions"));
  }
  const absl::StatusOr<std::string> status = node.StatusKeyId();
  const absl::StatusOr<EnvelopeService::Encrypted> encrypted = node.Encrypt("a seed");
  if (!status.ok() || (!encrypted.ok() && !rolled_back_) ||
      (encrypted.ok() && encrypted->key_id != *status)) {
    world_.Fail(absl::StrCat("agreement: ", node.name(), " answers Status with ",
                             status.ok() ? *status : status.status().ToString(),
                             " and Encrypt with ",
                             encrypted.ok() ? encrypted->key_id : encrypted.status().ToString()));
  }
  if (status.ok()) Note(of_nodes_[index], *status, node.name());
}

void Invariants::Check() {
  for (size_t i = 0; i < world_.nodes().size(); ++i) CheckNode(i);
  const std::map<uint64_t, StoredDekSource> needed = world_.etcd().Needed();
  for (size_t i = 0; i < world_.nodes().size(); ++i) {
    Node& node = *world_.nodes()[i];
    if (!node.serves()) continue;
    for (const auto& [number, source] : needed) {
      if (!opened_.emplace(i, number).second) continue;
      const absl::StatusOr<std::string> plaintext =
          node.Decrypt(source->ciphertext, source->key_id);
      if (plaintext.ok() && *plaintext == source->plaintext) continue;
      const KeyVersion* const version = node.Served()->keyring().Find(KeyId(source->key_id));
      world_.Fail(
          absl::StrCat(version != nullptr && !CanDecrypt(version->state) ? "referenced" : "opens",
                       ": ", node.name(), " does not open what is stored under ", source->key_id,
                       ": ", plaintext.status().ToString()));
    }
  }
}

}  // namespace kekd::testing
