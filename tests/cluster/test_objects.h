// Objects that are really encrypted, for tests.
#ifndef KEKD_TESTS_CLUSTER_TEST_OBJECTS_H_
#define KEKD_TESTS_CLUSTER_TEST_OBJECTS_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/secret_bytes.h"
#include "cluster/dek_source_opener.h"
#include "keystore/key_backend.h"
#include "keystore/keyring.h"
#include "keystore/open_keyring.h"
#include "tests/fakes/fake_key_backend.h"

namespace kekd::testing {

// `size` bytes that count up from `first`.
SecretBytes CountingBytes(uint8_t first, size_t size);

// The encryptedData of an API server for this object: under a key of this seed, or under this key.
std::string SealUnderSeed(const SecretBytes& seed, absl::string_view etcd_key,
                          absl::string_view plaintext);
std::string SealUnderKey(const SecretBytes& key, absl::string_view etcd_key,
                         absl::string_view plaintext);

// Answers what it is told to, and counts.
class FakeDekSourceOpener final : public DekSourceOpener {
 public:
  using Answer = std::function<absl::StatusOr<SecretBytes>(absl::string_view encrypted_source,
                                                           absl::string_view key_id)>;
  explicit FakeDekSourceOpener(Answer answer) : answer_(std::move(answer)) {}

  absl::StatusOr<SecretBytes> Open(absl::string_view encrypted_source, absl::string_view key_id,
                                   size_t /*annotations*/, absl::Time /*deadline*/) const override {
    ++calls_;
    return answer_(encrypted_source, key_id);
  }
  int calls() const { return calls_; }

 private:
  const Answer answer_;
  mutable int calls_ = 0;
};

// A ring "prod" of a FakeKeyBackend with version 1 destroyed, 2 deactivated, 3 active and 4
// pre-activation; and what an API server would write under it.
class TestClusterRing final {
 public:
  TestClusterRing();

  const Keyring& keyring() const { return ring_; }
  FakeKeyBackend& backend() { return *backend_; }
  std::shared_ptr<const OpenKeyring> Open() const;
  std::string KeyIdOf(uint32_t version) const;
  // `source` under that version, as kekd's Encrypt answers it.
  std::string EncryptSource(const SecretBytes& source, uint32_t version) const;
  // A value with the whole of it.
  std::string Value(absl::string_view etcd_key, absl::string_view plaintext,
                    uint32_t version = 3) const;
  // The DEK source in it.
  static SecretBytes Seed() { return CountingBytes(0x70, 32); }

 private:
  FakeKeyBackend* backend_;
  BackendSet backends_;
  Keyring ring_;
  std::shared_ptr<const OpenKeyring> open_;  // before version 1 was destroyed
  std::vector<std::string> sources_;         // Seed() under each version
};

}  // namespace kekd::testing

#endif  // KEKD_TESTS_CLUSTER_TEST_OBJECTS_H_
