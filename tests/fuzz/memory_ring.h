// A keyring in a file system in memory, with kekd's own store and writer.
#ifndef KEKD_TESTS_FUZZ_MEMORY_RING_H_
#define KEKD_TESTS_FUZZ_MEMORY_RING_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "keystore/file_keyring_store.h"
#include "keystore/keyring_writer.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/fake_random_source.h"
#include "tests/fakes/fault_injecting_file_system.h"
#include "tests/fakes/memory_file_system.h"

namespace kekd::testing {

// MemoryRing is ring "prod" of TestIdentity() in /ring and /state, with one version, software and
// primary, under the first of the two key files /keys/a and /keys/b. Not
// thread-safe.
class MemoryRing final {
 public:
  MemoryRing();

  // Opens it with both key files. What was open is closed before.
  absl::Status Open();
  void Close();

  FileKeyringStore::Options Options(const std::vector<std::string>& key_files);
  static const std::vector<std::string>& KeyFiles();
  // A wrapper under a key file of these, whatever fails elsewhere.
  std::unique_ptr<RingKeyWrapper> Wrapper(const std::string& key_file);

  KeyringWriter& writer() { return *writer_; }
  KeyringStore& store() { return *store_; }
  std::shared_ptr<const OpenKeyring> Served() const { return writer_->current()->Get(); }
  // The disk, and what stands between it and the store.
  MemoryFileSystem& disk() { return disk_; }
  FaultInjectingFileSystem& faults() { return faults_; }
  const RandomSource& random() const { return random_; }
  FakeClock& clock() { return clock_; }

 private:
  MemoryFileSystem disk_;
  FaultInjectingFileSystem faults_;
  FakeRandomSource random_;
  FakeClock clock_;
  std::shared_ptr<KeyringStore> store_;
  std::unique_ptr<KeyringWriter> writer_;
};

}  // namespace kekd::testing

#endif  // KEKD_TESTS_FUZZ_MEMORY_RING_H_
