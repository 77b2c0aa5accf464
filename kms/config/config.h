// The configuration file as values.
#ifndef KEKD_KMS_CONFIG_CONFIG_H_
#define KEKD_KMS_CONFIG_CONFIG_H_

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/file_system.h"
#include "base/log.h"
#include "hsm/token/token_uri.h"

namespace kekd {

inline constexpr absl::string_view kConfigApiVersion = "kekd.dev/v1";
inline constexpr absl::string_view kConfigKind = "KekdConfiguration";
inline constexpr size_t kMaxSocketPathBytes = 107;  // sun_path without its final zero

// A unix socket and who may connect to it.
struct SocketConfig {
  std::string path;    // absolute, or "@name" in the abstract namespace
  mode_t mode = 0600;  // of the file: 0600 or 0660; nothing for an abstract socket
  // Peers by SO_PEERCRED. Both empty: root and kekd's own user.
  std::vector<uid_t> allowed_users;
  std::vector<gid_t> allowed_groups;  // the peer's primary group

  // "unix:///run/kekd/prod.sock" or "unix:///@name", as kube-apiserver's endpoint wants it.
  std::string Endpoint() const;
};

// One way to open the ring key.
struct UnlockConfig {
  enum class Kind {
    kKeyFile,               // value: absolute path
    kCredential,            // value: name of a systemd credential with a key file's content
    kPassphraseFile,        // value: absolute path
    kPassphraseCredential,  // value: name of a systemd credential
    kPassphrasePrompt,      // asked for at the terminal
    kPkcs11,                // the token of the keyring's pkcs11
  };
  Kind kind = Kind::kKeyFile;
  std::string value = {};

  friend bool operator==(const UnlockConfig& a, const UnlockConfig& b) {
    return a.kind == b.kind && a.value == b.value;
  }
};

// For people: "key file /etc/kekd/prod.key", "credential ring", "passphrase at the terminal",
// "the token".
std::string Describe(const UnlockConfig& unlock);

// A PKCS#11 token that keys of a keyring may lie on, or several that hold the same keys.
struct Pkcs11Config {
  static constexpr uint32_t kMaxSessions = 64;
  static constexpr size_t kMostTokens = 8;

  // At least one, in order of preference, each with a module and another token; `key.label` of the
  // first begins the labels of new keys.
  std::vector<TokenUri> uris;
  std::string pin_credential;  // name of a systemd credential, for URIs without a pin-source
  std::string init_arguments;  // of C_Initialize; NSS softokn needs them
  uint32_t sessions = 4;       // requests that the token works on at once
  bool session_copy = false;   // work with copies of the keys in the session
  absl::Duration call_timeout = absl::Seconds(2);  // then the module is taken to hang

  friend bool operator==(const Pkcs11Config& a, const Pkcs11Config& b) {
    return a.uris == b.uris && a.pin_credential == b.pin_credential &&
           a.init_arguments == b.init_arguments && a.sessions == b.sessions &&
           a.session_copy == b.session_copy && a.call_timeout == b.call_timeout;
  }
};

struct KeyringConfig {
  std::string name;
  std::string directory;             // absolute
  std::vector<UnlockConfig> unlock;  // of Kind::kPkcs11 only if there is `pkcs11`
  SocketConfig socket;
  std::optional<Pkcs11Config> pkcs11 = {};
};

enum class MemoryLocking {
  kRequired,   // kekd doesn't start if secrets could be swapped out
  kPreferred,  // it warns
};

// docs/configuration.md has every field with its default. Paths are absolute.
struct Config {
  std::string state_directory;
  SocketConfig admin_socket;
  std::vector<KeyringConfig> keyrings;  // at least one, of different names, folders and sockets
  LogLevel log_level = LogLevel::kInfo;
  LogFormat log_format = LogFormat::kText;
  MemoryLocking memory_locking = MemoryLocking::kRequired;

  // The keyring of that name (else NotFound); with an empty name the only one (InvalidArgument if
  // there are several). Errors name those there are.
  absl::StatusOr<const KeyringConfig*> FindKeyring(absl::string_view name) const;
};

// Parses YAML. InvalidArgument for anything that is not a configuration, with "origin:line:column"
// and what to write instead: unknown and duplicate keys, aliases, several documents, relative
// paths, a socket path over kMaxSocketPathBytes, unknown users and groups. User and group names are
// looked up in the system's databases.
absl::StatusOr<Config> ParseConfig(absl::string_view yaml, absl::string_view origin);

// The same from a file, which nobody but root and this process's user may be able to write
// (PermissionDenied): who writes the configuration chooses the keys. All the file's own errors are
// InvalidArgument, since the caller can only give another file.
absl::StatusOr<Config> LoadConfig(FileSystem& fs, absl::string_view path);

}  // namespace kekd

#endif  // KEKD_KMS_CONFIG_CONFIG_H_
