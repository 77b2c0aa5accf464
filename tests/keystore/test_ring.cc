#include "tests/keystore/test_ring.h"

#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "keystore/canary.h"
#include "keystore/key_file.h"
#include "keystore/secret_source.h"
#include "keystore/software_key_backend.h"

namespace kekd::testing {

RingIdentity TestIdentity() {
  RingIdentity identity;
  identity.name = "prod";
  identity.cluster_id = *Uuid::Parse("00112233-4455-6677-8899-aabbccddeeff");
  identity.ring_uuid = *Uuid::Parse("0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0");
  return identity;
}

Uuid TestUuid(uint8_t last_byte) {
  std::array<uint8_t, Uuid::kBytes> bytes = {0x77};
  bytes.back() = last_byte;
  return *Uuid::FromBytes(ByteView(bytes.data(), bytes.size()));
}

KeyVersion TestVersion(uint32_t number) {
  KeyVersion version;
  version.number = number;
  version.backend = "software";
  version.canary = absl::StrCat("canary ", number);
  version.key_id = *KeyId::Derive(TestIdentity(), number, version.backend, AsBytes(version.canary));
  version.creation_time = absl::FromUnixSeconds(1'700'000'000 + number);
  Wrap wrap;
  wrap.type = WrapType::kRingKey;
  wrap.blob = absl::StrCat("wrapped ", number);
  version.material.wraps.push_back(std::move(wrap));
  return version;
}

Keyring EmptyTestKeyring() {
  Keyring::Parts parts;
  parts.identity = TestIdentity();
  parts.creation_time = absl::FromUnixSeconds(1'700'000'000);
  Wrap wrap;
  wrap.type = WrapType::kKeyFile;
  wrap.reference = "/etc/kekd/prod.key";
  wrap.blob = "wrapped ring key";
  wrap.number = parts.next_wrap_number++;
  wrap.creation_time = parts.creation_time;
  parts.ring_key_wraps.push_back(std::move(wrap));
  return *Keyring::Create(std::move(parts));
}

Keyring WithOneMore(const Keyring& keyring) {
  return *keyring.WithNewVersion(TestVersion(keyring.NextVersionNumber()));
}

std::unique_ptr<RingKeyWrapper> KeyFileWrapper(const std::string& path, FileSystem& fs,
                                               std::optional<uid_t> other_owner) {
  return CreateKeyFileWrapper(CreateFileSecretSource(fs, "key file", path, other_owner), path,
                              RandomSource::System());
}

TestRing::TestRing() {
  const absl::Status made = CreateKeyFile(FileSystem::System(), key_file(), std::nullopt,
                                          std::nullopt, RandomSource::System());
  if (!made.ok()) abort();
}

FileKeyringStore::Options TestRing::Options(FileSystem& fs) const {
  FileKeyringStore::Options options;
  options.fs = &fs;
  options.random = &RandomSource::System();
  options.directory = directory();
  options.state_directory = state_directory();
  options.wrappers.push_back(KeyFileWrapper(key_file(), fs));
  return options;
}

absl::StatusOr<std::unique_ptr<FileKeyringStore>> TestRing::Create(FileSystem& fs) const {
  const auto initial =
      [&](const Keyring& empty,
          const std::shared_ptr<const RingKey>& ring_key) -> absl::StatusOr<Keyring> {
    const std::unique_ptr<KeyBackend> backend =
        CreateSoftwareKeyBackend(ring_key, RandomSource::System());
    KEKD_ASSIGN_OR_RETURN(KeyVersion version,
                          MakeKeyVersion({empty.identity(), 1}, *backend, RandomSource::System(),
                                         clock_.Now(), absl::InfiniteFuture()));
    KEKD_ASSIGN_OR_RETURN(const Keyring one, empty.WithNewVersion(std::move(version)));
    return one.WithPromoted(1, clock_.Now());
  };
  return FileKeyringStore::Create(Options(fs), TestIdentity(), clock_.Now(), initial);
}

absl::StatusOr<std::unique_ptr<FileKeyringStore>> TestRing::Open(FileKeyringStore::Access access,
                                                                 FileSystem& fs) const {
  return FileKeyringStore::Open(Options(fs), access);
}

absl::StatusOr<std::unique_ptr<KeyringWriter>> TestRing::OpenWriter(
    std::unique_ptr<FileKeyringStore> store, std::unique_ptr<KeyBackend> fake,
    absl::Duration open_timeout) {
  auto backends = std::make_shared<BackendSet>();
  backends->Add(CreateSoftwareKeyBackend(store->ring_key(), RandomSource::System()));
  if (fake != nullptr) backends->Add(std::move(fake));
  KeyringWriter::Options options;
  options.store = std::move(store);
  options.backends = std::move(backends);
  options.random = &RandomSource::System();
  options.clock = &clock_;
  options.open_timeout = open_timeout;
  return KeyringWriter::Create(std::move(options), absl::InfiniteFuture());
}

std::string TestRing::generation(uint64_t number) const {
  return absl::StrCat(record(), ".", number);
}

std::string TestRing::high_water() const {
  return HighWaterPath(state_directory(), TestIdentity().ring_uuid);
}

}  // namespace kekd::testing
