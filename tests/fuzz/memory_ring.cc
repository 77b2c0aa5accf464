#include "tests/fuzz/memory_ring.h"

#include <optional>
#include <utility>

#include "base/log.h"
#include "base/status_macros.h"
#include "keystore/canary.h"
#include "keystore/key_file.h"
#include "keystore/software_key_backend.h"
#include "tests/fuzz/choices.h"
#include "tests/keystore/test_ring.h"

namespace kekd::testing {

const std::vector<std::string>& MemoryRing::KeyFiles() {
  static const auto* const files = new std::vector<std::string>{"/keys/a", "/keys/b"};
  return *files;
}

MemoryRing::MemoryRing() : disk_({"/ring", "/state", "/keys"}), faults_(disk_) {
  ConfigureLog(LogLevel::kError, LogFormat::kText);
  for (const std::string& key_file : KeyFiles()) {
    Require(CreateKeyFile(disk_, key_file, std::nullopt, std::nullopt, random_).ok());
  }
  const auto initial =
      [&](const Keyring& empty,
          const std::shared_ptr<const RingKey>& ring_key) -> absl::StatusOr<Keyring> {
    const std::unique_ptr<KeyBackend> backend = CreateSoftwareKeyBackend(ring_key, random_);
    KEKD_ASSIGN_OR_RETURN(KeyVersion version,
                          MakeKeyVersion({empty.identity(), 1}, *backend, random_, clock_.Now(),
                                         absl::InfiniteFuture()));
    KEKD_ASSIGN_OR_RETURN(const Keyring one, empty.WithNewVersion(std::move(version)));
    return one.WithPromoted(1, clock_.Now());
  };
  Require(FileKeyringStore::Create(Options({"/keys/a"}), TestIdentity(), clock_.Now(), initial)
              .status()
              .ok());
  Require(Open().ok());
}

FileKeyringStore::Options MemoryRing::Options(const std::vector<std::string>& key_files) {
  FileKeyringStore::Options options;
  options.fs = &faults_;
  options.random = &random_;
  options.directory = "/ring";
  options.state_directory = "/state";
  for (const std::string& key_file : key_files) options.wrappers.push_back(Wrapper(key_file));
  return options;
}

std::unique_ptr<RingKeyWrapper> MemoryRing::Wrapper(const std::string& key_file) {
  return KeyFileWrapper(key_file, disk_);
}

absl::Status MemoryRing::Open() {
  Close();
  KEKD_ASSIGN_OR_RETURN(
      std::shared_ptr<FileKeyringStore> store,
      FileKeyringStore::Open(Options(KeyFiles()), FileKeyringStore::Access::kExclusive));
  auto backends = std::make_shared<BackendSet>();
  backends->Add(CreateSoftwareKeyBackend(store->ring_key(), random_));
  KEKD_ASSIGN_OR_RETURN(
      writer_,
      KeyringWriter::Create(
          {.store = store, .backends = std::move(backends), .random = &random_, .clock = &clock_},
          absl::InfiniteFuture()));
  store_ = std::move(store);
  return absl::OkStatus();
}

void MemoryRing::Close() {
  writer_ = nullptr;
  store_ = nullptr;
}

}  // namespace kekd::testing
