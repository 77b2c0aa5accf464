#include "tests/simulation/world.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"

namespace kekd::testing {
namespace {

constexpr size_t kMaxNodes = 7;
constexpr size_t kObjects = 10;
constexpr size_t kOldRecords = 12;

}  // namespace

World::World(uint64_t seed, bool traced) : dice_(seed), traced_(traced) {
  ConfigureLog(LogLevel::kError, LogFormat::kText);
  const std::shared_ptr<FakeKeyBackend::Device> device = FakeKeyBackend::NewDevice();
  backend_ = dice_.Flag() ? "software" : "fake";
  // Mostly few: what goes wrong between nodes goes wrong between two or three.
  const size_t nodes = dice_.OneIn(4) ? 1 + dice_.Below(kMaxNodes) : 1 + dice_.Below(3);
  for (size_t i = 0; i < nodes; ++i) {
    nodes_.push_back(std::make_unique<Node>(absl::StrCat("cp", i), device, dice_.Next()));
    servers_.push_back(std::make_unique<ApiServer>(
        i, nodes_.back().get(),
        [this, i](const std::string& key_id) { invariants_->OnServed(i, key_id); }));
  }
  invariants_ = std::make_unique<Invariants>(*this);
  if (!change_node().Init(backend_).ok()) std::abort();
  for (size_t i = 0; i < nodes; ++i) {
    const absl::Status joined = nodes_[i]->Take(*change_node().Record());
    if (!joined.ok()) Fail(absl::StrCat("a node could not join: ", joined.ToString()));
    servers_[i]->Start(now_);
  }
  for (uint32_t object = 0; object < kObjects; ++object) {
    if (!servers_[object % nodes]->Write(etcd_, object, now_).ok()) Fail("the first write failed");
  }
  NoteRecord();
}

std::vector<std::string> World::NodeNames() const {
  std::vector<std::string> names;
  for (const auto& node : nodes_) names.push_back(node->name());
  return names;
}

void World::Say(absl::string_view what) {
  if (!traced_) return;
  std::printf("%s %s\n", absl::FormatDuration(now_).c_str(), std::string(what).c_str());
}

void World::Fail(absl::string_view what) {
  if (failure_.has_value()) return;
  failure_ = absl::StrCat("after ", absl::FormatDuration(now_), ": ", what);
  Say(absl::StrCat("FAILED: ", what));
}

void World::PassTime(absl::Duration duration) {
  const absl::Duration until = now_ + duration;
  while (true) {
    ApiServer* next = nullptr;
    for (const auto& server : servers_) {
      if (server->next_poll() > until) continue;
      if (next == nullptr || server->next_poll() < next->next_poll()) next = server.get();
    }
    if (next == nullptr) break;
    now_ = std::max(now_, next->next_poll());
    next->Poll(now_);
  }
  now_ = until;
  for (const auto& node : nodes_) node->clock().Advance(duration);
  etcd_.ForgetOldSnapshots(now_);
}

void World::CutPower(size_t node) {
  ++tally_.power_cuts;
  nodes_[node]->CutPower(dice_);
  nodes_[node]->has_power = false;
  servers_[node]->Stop();
}

void World::Start(size_t node) {
  nodes_[node]->has_power = true;
  const absl::Status started = nodes_[node]->Start();
  if (!started.ok() && !nodes_[node]->ReapIfDead()) {
    Fail(absl::StrCat(nodes_[node]->name(), " does not start: ", started.ToString()));
  }
  servers_[node]->Start(now_);
}

void World::ReapDead() {
  for (size_t i = 0; i < nodes_.size(); ++i) {
    if (!nodes_[i]->ReapIfDead()) continue;
    ++tally_.kekd_died_in_a_call;
    Say(absl::StrCat(nodes_[i]->name(), ": kekd died in the middle of it"));
    if (dice_.Flag()) CutPower(i);
  }
}

void World::Work() {
  ApiServer& server = *dice_.Of(servers_);
  const auto object = static_cast<uint32_t>(dice_.Below(kObjects + 2));
  if (dice_.Flag()) {
    server.Write(etcd_, object, now_).IgnoreError();
  } else {
    server.Read(etcd_, object).IgnoreError();
  }
}

void World::Befall() {
  const size_t what = dice_.Below(40);
  if (what < 10) return PassTime(absl::Seconds(1 + dice_.Below(40)));
  if (what < 17) return Work();
  if (what == 17) return PassTime(absl::Seconds(60 + dice_.Below(240)));
  if (what == 18) return etcd_.TakeSnapshot(now_);
  if (what < 30) return Mend(dice_.Below(nodes_.size()));
  if (has_faults_) Break(dice_.Below(nodes_.size()));
}

void World::Mend(size_t index) {
  switch (dice_.Below(4)) {
    case 0:
    case 1:
      return Start(index);
    case 2:
      nodes_[index]->is_reachable = true;
      etcd_can_be_read = true;
      return;
    default:
      servers_[index]->reaches_kekd = true;
      servers_[index]->reaches_etcd = true;
      servers_[index]->can_be_asked = true;
  }
}

void World::Break(size_t index) {
  Node& node = *nodes_[index];
  ApiServer& server = *servers_[index];
  switch (dice_.Below(11)) {
    case 0:
      Say(absl::StrCat(node.name(), ": kekd is killed"));
      return node.Kill();
    case 1:
      Say(absl::StrCat(node.name(), ": power cut"));
      return CutPower(index);
    case 2:
      Say(absl::StrCat(server.name(), ": stopped"));
      return server.Stop();
    case 3:
      server.reaches_kekd = false;
      return;
    case 4:
      server.reaches_etcd = false;
      return;
    case 5:
      server.can_be_asked = false;
      return;
    case 6:
      node.is_reachable = false;
      return;
    case 7: {
      const absl::Duration jump =
          absl::Hours(24) * (dice_.Flag() ? 1 : -1) * (1 + dice_.Below(400));
      Say(absl::StrCat(node.name(), ": the clock jumps by ", absl::FormatDuration(jump)));
      return node.clock().Advance(jump);
    }
    case 8:
      if (etcd_.snapshots.empty() || !dice_.OneIn(3)) return;
      Say("a snapshot of etcd is restored");
      ++tally_.snapshots_restored;
      for (const auto& one : servers_) one->Stop();
      etcd_.objects = dice_.Of(etcd_.snapshots).objects;
      for (const auto& one : servers_) {
        if (dice_.Flag()) one->Start(now_);
      }
      return;
    case 9:
      return node.DieSoon(dice_);
    default:
      etcd_can_be_read = false;
  }
}

void World::EndFaults() {
  has_faults_ = false;
  etcd_can_be_read = true;
  for (size_t i = 0; i < nodes_.size(); ++i) {
    nodes_[i]->Kill();  // and a death that was to come
    nodes_[i]->is_reachable = true;
    servers_[i]->reaches_kekd = servers_[i]->reaches_etcd = servers_[i]->can_be_asked = true;
    Start(i);
  }
}

bool World::AllReachable() const {
  return std::all_of(nodes_.begin(), nodes_.end(),
                     [](const auto& node) { return node->has_power && node->is_reachable; });
}

bool World::TakeCopy(size_t node) {
  if (node == change_index_ || !change_node().has_power || !change_node().is_reachable ||
      !nodes_[node]->has_power || !nodes_[node]->is_reachable) {
    return false;
  }
  const absl::StatusOr<std::string> record = change_node().Record();
  const absl::Status taken = record.ok() ? nodes_[node]->Take(*record) : record.status();
  Say(absl::StrCat(nodes_[node]->name(), " takes a copy: ", taken.ToString()));
  if (taken.ok()) ++tally_.copies_taken;
  if (!taken.ok()) nodes_[node]->ReapIfDead();
  return taken.ok();
}

void World::NoteRecord() {
  absl::StatusOr<std::string> record = change_node().Record();
  if (!record.ok()) return;
  old_records_.push_back(*std::move(record));
  if (old_records_.size() > kOldRecords) old_records_.pop_front();
}

bool World::RollBack() {
  if (!AllReachable()) return false;
  const std::string record = old_records_[dice_.Below(old_records_.size())];
  Say("an older keyring is accepted on all nodes");
  ++tally_.rolled_back;
  for (const auto& server : servers_) server->Stop();
  for (const auto& node : nodes_) {
    const absl::Status accepted = node->RollBack(record);
    if (!accepted.ok()) {
      Fail(absl::StrCat("a rollback was not accepted: ", accepted.ToString()));
      return false;
    }
  }
  old_records_ = {record};
  // What was encrypted under keys that this keyring does not know, or that are gone, is lost: that
  // is what the operator accepted.
  const auto is_lost = [&](const auto& object) {
    return !change_node().Decrypt(object.second->ciphertext, object.second->key_id).ok();
  };
  const auto give_up = [&](Etcd::Objects& objects) {
    for (auto object = objects.begin(); object != objects.end();) {
      object = is_lost(*object) ? objects.erase(object) : std::next(object);
    }
  };
  give_up(etcd_.objects);
  for (Etcd::Snapshot& snapshot : etcd_.snapshots) give_up(snapshot.objects);
  invariants_->OnRollbackAccepted();
  return true;
}

bool World::ReplaceChangeNode() {
  if (nodes_.size() < 2) return false;
  size_t newest = change_index_;
  uint64_t generation = 0;
  for (size_t i = 0; i < nodes_.size(); ++i) {
    if (i == change_index_) continue;
    if (!nodes_[i]->has_power || !nodes_[i]->is_reachable) return false;
    const absl::StatusOr<std::shared_ptr<const Keyring>> stored = nodes_[i]->Stored();
    if (!stored.ok()) return false;
    if ((*stored)->generation() > generation) {
      newest = i;
      generation = (*stored)->generation();
    }
  }
  const size_t lost = change_index_;
  ++tally_.nodes_replaced;
  Say(absl::StrCat(nodes_[lost]->name(), " is lost; changes are made on ", nodes_[newest]->name(),
                   ", whose keyring is of generation ", generation));
  servers_[lost]->Stop();
  nodes_[lost]->LoseDisk();
  nodes_[lost]->has_power = true;
  nodes_[lost]->is_reachable = true;
  change_index_ = newest;
  invariants_->OnReplaced(lost);
  old_records_.clear();
  NoteRecord();
  if (!TakeCopy(lost)) Fail("a new node could not join");
  return true;
}

}  // namespace kekd::testing
