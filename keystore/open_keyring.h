// A keyring with its keys open.
#ifndef KEKD_KEYSTORE_OPEN_KEYRING_H_
#define KEKD_KEYSTORE_OPEN_KEYRING_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/mutex.h"
#include "keystore/key_backend.h"
#include "keystore/keyring.h"

namespace kekd {

// OpenKeyring is one generation of a keyring and a handle to each of its keys that could be opened.
// A key that could not (a token is away) fails alone and says why; the others work. Immutable,
// hence thread-safe.
class OpenKeyring final {
 public:
  struct Entry {
    const KeyVersion* version = nullptr;    // in keyring()
    std::shared_ptr<const BackendKey> key;  // null if it could not be opened
    absl::Status status;                    // why
    std::string associated_data;            // of its ciphertexts (ciphertext.h)
  };

  // Opens every version that may still decrypt and checks its canary. Keys that `previous` (or
  // null) holds open for the same key id are taken over. Keys on devices are opened several at
  // once, so that one that hangs until `deadline` does not fail the others. Never fails as a whole.
  static constexpr size_t kOpenAtOnce = 8;
  static std::shared_ptr<const OpenKeyring> Open(std::shared_ptr<const Keyring> keyring,
                                                 const BackendSet& backends,
                                                 const OpenKeyring* previous, absl::Time deadline);

  const Keyring& keyring() const { return *keyring_; }
  const std::vector<Entry>& entries() const { return entries_; }  // by version number
  // Null if there is no such version.
  const Entry* Find(uint32_t number) const;
  const Entry* Find(const KeyId& key_id) const;
  // Null if no version is active.
  const Entry* Primary() const { return primary_; }
  // Whether a version of the keyring decrypts: its key opens its canary now, in every place that is
  // to hold it (BackendKey::ProveEverywhere). What is encrypted under a primary must not depend on
  // the one place that has its key.
  absl::Status CheckDecrypts(uint32_t number, absl::Time deadline) const;

 private:
  explicit OpenKeyring(std::shared_ptr<const Keyring> keyring) : keyring_(std::move(keyring)) {}

  std::shared_ptr<const Keyring> keyring_;
  std::vector<Entry> entries_;
  const Entry* primary_ = nullptr;
};

// The keyring that is served now: replaced as a whole, so that a reader sees one generation
// throughout. Thread-safe.
class CurrentKeyring final {
 public:
  explicit CurrentKeyring(std::shared_ptr<const OpenKeyring> keyring)
      : keyring_(std::move(keyring)) {}

  std::shared_ptr<const OpenKeyring> Get() const {
    MutexLock lock(&mu_);
    return keyring_;
  }
  void Set(std::shared_ptr<const OpenKeyring> keyring) {
    MutexLock lock(&mu_);
    keyring_.swap(keyring);
  }

 private:
  mutable Mutex mu_;
  std::shared_ptr<const OpenKeyring> keyring_ ABSL_GUARDED_BY(mu_);
};

}  // namespace kekd

#endif  // KEKD_KEYSTORE_OPEN_KEYRING_H_
