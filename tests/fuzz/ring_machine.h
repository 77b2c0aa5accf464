// A keyring that goes through what operators, disks and power cuts do to it.
#ifndef KEKD_TESTS_FUZZ_RING_MACHINE_H_
#define KEKD_TESTS_FUZZ_RING_MACHINE_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/uuid.h"
#include "keystore/keyring.h"
#include "keystore/transition.h"
#include "tests/fuzz/choices.h"
#include "tests/fuzz/memory_ring.h"

namespace kekd::testing {

// RingMachine keeps a ring with kekd's own store and writer in a file system in memory and
// remembers what was answered. It ends the process when an answer turns out not to hold: what was
// acknowledged is there after every restart, what was encrypted can be decrypted, numbers, key_ids
// and generations are never used again, an older ring is never taken for the newest. Not
// thread-safe.
class RingMachine final {
 public:
  // A ring with one version, which is primary, under the first of two key files.
  explicit RingMachine(Choices& choices);

  // One thing that happens, as the choices have it.
  void Step();
  // When nothing fails any more everything is there, and the ring can be changed.
  void Finish();

 private:
  // Whether it was answered as done.
  bool Apply(const Transition& transition);
  void Repeat();
  void ComeTooLate();
  void AddWrapOf(const std::string& key_file);
  void ReplaceKey();
  void RecordBackup();
  void Encrypt();
  void ArmFault();
  void OpenUnderFault();
  void Restart(bool power_cut);
  void TryRollback();

  absl::Status Open();
  // That nothing of what was answered before has got lost, and nothing came back.
  void CheckServed();
  void CheckBackups();
  void CheckWhatOpens();

  struct Sealed {
    std::string ciphertext;
    std::string key_id;
  };

  Choices& choices_;
  MemoryRing ring_;

  bool disturbed_ = false;  // a fault has been put in the way since the last start
  uint8_t requests_ = 0;
  std::optional<Uuid> last_request_;  // the newest acknowledged one
  Transition last_transition_;
  std::optional<Keyring> served_;        // what was served last
  std::map<std::string, uint32_t> ids_;  // every key_id that was ever served
  std::vector<Sealed> sealed_;
  std::vector<Uuid> backups_;  // acknowledged, and not put at risk since
};

}  // namespace kekd::testing

#endif  // KEKD_TESTS_FUZZ_RING_MACHINE_H_
