// Where an operator's secrets come from.
#ifndef KEKD_KEYSTORE_SECRET_SOURCE_H_
#define KEKD_KEYSTORE_SECRET_SOURCE_H_

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/file_system.h"
#include "base/secret_bytes.h"

namespace kekd {

// SecretSource is a place from which one secret can be read: a file, a systemd credential, a
// terminal. Never a command line or an environment variable, which other processes can see.
// Thread-safe.
class SecretSource {
 public:
  static constexpr size_t kMaxSecretBytes = 1024;

  virtual ~SecretSource() = default;
  // For people: "key file /etc/kekd/prod.key", "credential kekd-prod", "the terminal".
  virtual std::string Describe() const = 0;
  // The secret without the line end after it. NotFound if it is not there, PermissionDenied if
  // others could have read or exchanged it, OutOfRange if it is longer than kMaxSecretBytes,
  // DataLoss if it is empty.
  virtual absl::StatusOr<SecretBytes> Read() const = 0;
};

// A file that belongs to root, to this process's user or to `other_owner`, and on which nobody else
// has any right. `what` names it in errors: "key file", "passphrase file". Read anew each time.
// `fs` outlives the result.
std::unique_ptr<SecretSource> CreateFileSecretSource(FileSystem& fs, absl::string_view what,
                                                     absl::string_view path,
                                                     std::optional<uid_t> other_owner);

// A credential that systemd hands to a unit (LoadCredential=, LoadCredentialEncrypted=;
// systemd.exec (5)): the file `name` in $CREDENTIALS_DIRECTORY, else in that of kekd's own unit,
// /run/credentials/kekd.service, so that root's kekctl can read it while kekd runs. systemd grants
// the unit's user its right by an access list, which shows in the group's mode bits: of these
// nothing is asked, only that others have none.
// It belongs to root, to this process's user or to `other_owner`: the unit's user, for root's
// kekctl.
std::unique_ptr<SecretSource> CreateCredentialSecretSource(
    FileSystem& fs, absl::string_view name, std::optional<uid_t> other_owner = std::nullopt);

// Where systemd puts the credential of that name: see CreateCredentialSecretSource.
std::string CredentialPath(absl::string_view name);

// Asks on the controlling terminal (/dev/tty) without echo, once in the life of the process for
// each `what`, which completes "Passphrase for …": a verb that opens a keyring twice asks once.
// FailedPrecondition if there is no terminal.
enum class AskTwice : bool { kNo, kYes };
std::unique_ptr<SecretSource> CreateTerminalSecretSource(absl::string_view what, AskTwice twice);

}  // namespace kekd

#endif  // KEKD_KEYSTORE_SECRET_SOURCE_H_
