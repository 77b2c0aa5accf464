// From the configuration to an open keyring: the one way of kekd and kekctl.
#ifndef KEKD_KMS_KEYRING_KEYRING_ACCESS_H_
#define KEKD_KMS_KEYRING_KEYRING_ACCESS_H_

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/file_system.h"
#include "keystore/file_keyring_store.h"
#include "keystore/keyring_writer.h"
#include "keystore/passphrase_kdf.h"
#include "keystore/ring_key_wrapper.h"
#include "keystore/secret_source.h"
#include "kms/config/config.h"

namespace kekd {

// Where the secret of one of the configuration's ways is read from, which is not the token. `what`
// completes "Passphrase for …" where it is to be typed; a file may belong to `other_owner` too.
// `fs` outlives it.
std::unique_ptr<SecretSource> MakeSecretSource(FileSystem& fs, const UnlockConfig& unlock,
                                               absl::string_view what, AskTwice ask,
                                               std::optional<uid_t> other_owner);

// What a wrap that is made is to be; nothing of it matters to one that is opened.
struct NewWrap {
  std::string label;  // for people; empty: the file or credential of the unlock
  KdfFunction kdf = KdfFunction::kScrypt;
  AskTwice ask = AskTwice::kNo;
};
// What the token is given to open the ring key, its worker's start and login in it, where another
// way may be tried after it, and where there is none: it may be slow, then.
inline constexpr absl::Duration kTokenPatience = absl::Seconds(10);
inline constexpr absl::Duration kOnlyTokenPatience = absl::Seconds(30);
// What opens the ring key, or wraps it, by one of the configuration's ways. The token is asked in a
// worker of its own, which ends with the call. `fs` outlives it.
std::unique_ptr<RingKeyWrapper> MakeWrapper(FileSystem& fs, const std::string& state_directory,
                                            const KeyringConfig& keyring,
                                            const UnlockConfig& unlock, const NewWrap& new_wrap,
                                            absl::Duration token_patience = kTokenPatience);
// By all of them, in their order.
std::vector<std::unique_ptr<RingKeyWrapper>> MakeWrappers(
    FileSystem& fs, const std::string& state_directory, const KeyringConfig& keyring,
    const NewWrap& new_wrap = {}, absl::Duration token_patience = kTokenPatience);

// The store's options for a configured keyring. `fs` outlives them.
FileKeyringStore::Options StoreOptions(FileSystem& fs, const Config& config,
                                       const KeyringConfig& keyring);

// The backend of the keyring's tokens, which it touches with its first call. FailedPrecondition if
// the configuration names none. `fs` outlives it.
absl::StatusOr<std::unique_ptr<KeyBackend>> MakeTokenBackend(FileSystem& fs, const Config& config,
                                                             const KeyringConfig& keyring);

// The backends that the keyring's key versions may name: software, and the token if one is
// configured. Touches none of them. `fs` outlives it.
absl::StatusOr<std::shared_ptr<const BackendSet>> MakeBackends(
    FileSystem& fs, const Config& config, const KeyringConfig& keyring,
    std::shared_ptr<const CurrentRingKey> ring_key);

// FailedPrecondition unless the keyring on the disk has the name that the configuration gives it: a
// change must not go to another ring than the one that was meant.
absl::Status CheckName(const RingIdentity& identity, const KeyringConfig& config);
inline absl::Status CheckName(const Keyring& keyring, const KeyringConfig& config) {
  return CheckName(keyring.identity(), config);
}

// Opens the keyring for writing (Unavailable if another process has it) with all its keys, for
// those on devices until the deadline and no longer than KeyringWriter::Options::open_timeout.
absl::StatusOr<std::unique_ptr<KeyringWriter>> OpenForWriting(
    FileSystem& fs, const Config& config, const KeyringConfig& keyring, absl::Time deadline,
    absl::Duration open_timeout = absl::InfiniteDuration());

}  // namespace kekd

#endif  // KEKD_KMS_KEYRING_KEYRING_ACCESS_H_
