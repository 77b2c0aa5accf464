// A control plane node of the simulation: a disk with a copy of the keyring, and a kekd.
#ifndef KEKD_TESTS_SIMULATION_NODE_H_
#define KEKD_TESTS_SIMULATION_NODE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "keystore/backup_log.h"
#include "keystore/file_keyring_store.h"
#include "keystore/keyring_writer.h"
#include "keystore/rotation/ring_view.h"
#include "kms/service/envelope_service.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/fake_key_backend.h"
#include "tests/fakes/fake_random_source.h"
#include "tests/fakes/fault_injecting_file_system.h"
#include "tests/fakes/memory_file_system.h"
#include "tests/simulation/dice.h"

namespace kekd::testing {

// Node has kekd's own store, writer and service on a disk in memory. The nodes of a cluster share
// the key file's secret and one device (FakeKeyBackend), as they would a network HSM. Not
// thread-safe.
class Node final {
 public:
  Node(std::string name, std::shared_ptr<FakeKeyBackend::Device> device, uint64_t random_seed);

  const std::string& name() const { return name_; }

  // `kekctl keyring init`: version 1, the primary, on that backend. For the first node.
  absl::Status Init(const std::string& backend);
  // kekd starts; OK if it runs already. What it has served before it serves again.
  absl::Status Start();
  // kekd is killed.
  void Kill();
  // The machine loses its power, and kekd with it.
  void CutPower(Dice& dice);
  // The disk is replaced by an empty one.
  void LoseDisk();
  bool serves() const { return service_ != nullptr; }

  // Before one of the next calls of its disk kekd dies.
  void DieSoon(Dice& dice);
  // Whether it has; then it is as after Kill.
  bool ReapIfDead();

  // The file of the record, as scp takes it.
  absl::StatusOr<std::string> Record();
  // What docs/procedures/several-nodes.sh does on this node: "take" where there is a copy, "join"
  // where there is none. If the new copy is not served the former one is put back.
  absl::Status Take(const std::string& record);
  // An older record is put in the place of the newest, and accepted by an operator's word.
  absl::Status RollBack(const std::string& record);
  // The keyring as it lies on the disk.
  absl::StatusOr<std::shared_ptr<const Keyring>> Stored();

  // By kekd or, when that is down, by kekctl on the files.
  absl::StatusOr<RingView> View();
  absl::StatusOr<RingView> Apply(const Transition& transition, uint64_t generation);
  absl::StatusOr<std::string> Prove(uint32_t version);
  // A verified backup of the keyring as it is now becomes known here.
  absl::Status RecordBackup();
  // Commits a keyring past all rules but those of the store: for what must be found.
  absl::Status Force(const std::function<absl::StatusOr<Keyring>(const Keyring&)>& change);
  // As this node would sign it, whatever it is true of: for what must be found.
  absl::StatusOr<std::string> ForgeProof(uint32_t version, const std::string& of_node);

  // What is served; for nodes that serve.
  std::shared_ptr<const OpenKeyring> Served() const { return writer_->current()->Get(); }
  absl::StatusOr<std::string> StatusKeyId() const;
  absl::StatusOr<EnvelopeService::Encrypted> Encrypt(absl::string_view plaintext) const;
  absl::StatusOr<std::string> Decrypt(absl::string_view ciphertext, absl::string_view key_id) const;

  FakeClock& clock() { return clock_; }

  bool has_power = true;
  bool is_reachable = true;  // by an operator, for scp and ssh

 private:
  FileKeyringStore::Options StoreOptions();
  absl::StatusOr<std::unique_ptr<KeyringWriter>> OpenWriter();
  // Calls `use` with kekd's writer, or with one that is open meanwhile.
  template <typename T>
  absl::StatusOr<T> With(absl::FunctionRef<absl::StatusOr<T>(KeyringWriter&)> use);
  static RingView ViewOfWriter(KeyringWriter& writer);
  absl::Status PutRecord(const std::string& record);

  const std::string name_;
  const std::shared_ptr<FakeKeyBackend::Device> device_;
  FakeRandomSource random_;
  FakeClock clock_;
  std::unique_ptr<MemoryFileSystem> disk_;
  std::unique_ptr<FaultInjectingFileSystem> faults_;
  bool dying_ = false;
  uint64_t requests_ = 0;
  std::unique_ptr<KeyringWriter> writer_;  // kekd's
  std::unique_ptr<EnvelopeService> service_;
};

}  // namespace kekd::testing

#endif  // KEKD_TESTS_SIMULATION_NODE_H_
