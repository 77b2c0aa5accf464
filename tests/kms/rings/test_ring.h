// Keyrings for the tests of what serves them.
#ifndef KEKD_TESTS_KMS_RINGS_TEST_RING_H_
#define KEKD_TESTS_KMS_RINGS_TEST_RING_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/mutex.h"
#include "base/random_source.h"
#include "keystore/keyring_store.h"
#include "keystore/keyring_writer.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/fake_key_backend.h"

namespace kekd::testing {

// A keyring store in memory, with a failure to be told.
class MemoryKeyringStore final : public KeyringStore {
 public:
  explicit MemoryKeyringStore(Keyring keyring)
      : ring_key_(std::make_shared<CurrentRingKey>(
            *RingKey::Generate(keyring.identity().ring_uuid, RandomSource::System()))),
        stored_(std::make_shared<const Keyring>(keyring.WithGeneration(1))) {}

  absl::StatusOr<std::shared_ptr<const Keyring>> Load() override {
    MutexLock lock(&mu_);
    if (!load_failure_.ok()) return load_failure_;
    return stored_;
  }
  absl::StatusOr<std::shared_ptr<const Keyring>> Commit(const Keyring& next,
                                                        uint64_t expected_generation) override {
    MutexLock lock(&mu_);
    if (stored_->generation() != expected_generation) return absl::AbortedError("generation");
    stored_ = std::make_shared<const Keyring>(next.WithGeneration(expected_generation + 1));
    return stored_;
  }
  std::shared_ptr<const CurrentRingKey> ring_key() const override { return ring_key_; }
  // Its ring key has no wraps.
  absl::StatusOr<std::shared_ptr<const RingKey>> OpenRingKey(absl::Span<const Wrap>) override {
    return absl::NotFoundError("no wrap");
  }
  std::string Opener() override { return ""; }
  absl::Status SetWrappers(std::vector<std::unique_ptr<RingKeyWrapper>>) override {
    return absl::OkStatus();
  }
  absl::StatusOr<std::shared_ptr<const Keyring>> CommitWithRingKey(
      const Keyring& next, uint64_t expected_generation,
      std::shared_ptr<const RingKey> ring_key) override {
    absl::StatusOr<std::shared_ptr<const Keyring>> committed = Commit(next, expected_generation);
    if (committed.ok()) ring_key_->Set(std::move(ring_key));
    return committed;
  }
  absl::StatusOr<std::vector<BackupLogEntry>> Backups() override {
    MutexLock lock(&mu_);
    return backups_;
  }
  absl::Status RecordBackup(const BackupLogEntry& entry) override {
    MutexLock lock(&mu_);
    AddBackup(backups_, entry);
    return absl::OkStatus();
  }
  // What Load answers from now on; OK for the keyring.
  void FailLoad(absl::Status failure) {
    MutexLock lock(&mu_);
    load_failure_ = std::move(failure);
  }

 private:
  const std::shared_ptr<CurrentRingKey> ring_key_;
  Mutex mu_;
  std::shared_ptr<const Keyring> stored_ ABSL_GUARDED_BY(mu_);
  absl::Status load_failure_ ABSL_GUARDED_BY(mu_);
  std::vector<BackupLogEntry> backups_ ABSL_GUARDED_BY(mu_);
};

// A ring "prod" on a FakeKeyBackend ("fake") that can wrap keys too, its versions made and promoted
// through a writer.
class TestRing final {
 public:
  TestRing();

  FakeKeyBackend& backend() { return *backend_; }
  MemoryKeyringStore& store() { return *store_; }
  KeyringWriter& writer() { return *writer_; }
  std::shared_ptr<const CurrentKeyring> current() const { return writer_->current(); }
  FakeClock& clock() { return clock_; }

  // A new version in pre-activation; its number.
  uint32_t Create(std::optional<Custody> custody = std::nullopt);
  void Promote(uint32_t number);
  // Both.
  uint32_t CreateAndPromote();
  std::string KeyIdOf(uint32_t number) const;

 private:
  uint32_t Apply(const Transition& transition);

  FakeClock clock_;
  FakeKeyBackend* backend_;
  std::shared_ptr<MemoryKeyringStore> store_;
  std::unique_ptr<KeyringWriter> writer_;
};

}  // namespace kekd::testing

#endif  // KEKD_TESTS_KMS_RINGS_TEST_RING_H_
