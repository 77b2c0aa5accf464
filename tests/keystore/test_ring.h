// Keyrings for tests: as values, and in a folder.
#ifndef KEKD_TESTS_KEYSTORE_TEST_RING_H_
#define KEKD_TESTS_KEYSTORE_TEST_RING_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/file_system.h"
#include "keystore/file_keyring_store.h"
#include "keystore/keyring.h"
#include "keystore/keyring_writer.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/fake_key_backend.h"
#include "tests/support/temp_directory.h"

namespace kekd::testing {

// Ring "prod" with fixed ids.
RingIdentity TestIdentity();
// A version that a value may hold; no key is behind it.
KeyVersion TestVersion(uint32_t number);
// An empty ring value with one wrap.
Keyring EmptyTestKeyring();
Uuid TestUuid(uint8_t last_byte);

// A wrapper under the key file of that path.
std::unique_ptr<RingKeyWrapper> KeyFileWrapper(const std::string& path,
                                               FileSystem& fs = FileSystem::System(),
                                               std::optional<uid_t> other_owner = std::nullopt);

// TestRing is a key file and a keyring's folders in a temporary folder:
//
//   ring.key   ring/keyring   state/<uuid>.high-water
class TestRing final {
 public:
  TestRing();

  // Makes the ring: version 1, software, active.
  absl::StatusOr<std::unique_ptr<FileKeyringStore>> Create(
      FileSystem& fs = FileSystem::System()) const;
  absl::StatusOr<std::unique_ptr<FileKeyringStore>> Open(
      FileKeyringStore::Access access = FileKeyringStore::Access::kExclusive,
      FileSystem& fs = FileSystem::System()) const;
  FileKeyringStore::Options Options(FileSystem& fs = FileSystem::System()) const;

  // A writer on `store` with the software backend and, if given, a fake one.
  absl::StatusOr<std::unique_ptr<KeyringWriter>> OpenWriter(
      std::unique_ptr<FileKeyringStore> store, std::unique_ptr<KeyBackend> fake = nullptr,
      absl::Duration open_timeout = absl::InfiniteDuration());

  std::string key_file() const { return folder_.File("ring.key"); }
  std::string directory() const { return folder_.File("ring"); }
  std::string state_directory() const { return folder_.File("state"); }
  std::string record() const { return folder_.File("ring/keyring"); }
  std::string generation(uint64_t number) const;
  std::string high_water() const;

  const FakeClock& clock() const { return clock_; }
  FakeClock& clock() { return clock_; }

 private:
  TempDirectory folder_;
  FakeClock clock_;
};

// The next value after `keyring`: one more pre-activation version without a key behind it.
Keyring WithOneMore(const Keyring& keyring);

}  // namespace kekd::testing

#endif  // KEKD_TESTS_KEYSTORE_TEST_RING_H_
