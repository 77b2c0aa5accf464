#include "kms/ctl/config_findings.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "kms/config/accounts.h"

namespace kekd {
namespace {

class Finder final {
 public:
  Finder(FileSystem& fs, const Config& config, absl::string_view kekd_user)
      : fs_(fs), config_(config) {
    owners_ = {0, geteuid()};
    // Before the first keyring is made, nothing else tells whom kekd runs as.
    const absl::StatusOr<uid_t> kekd = FindUser(kekd_user);
    if (kekd.ok()) owners_.push_back(*kekd);
    for (const KeyringConfig& keyring : config.keyrings) {
      const absl::StatusOr<FileInfo> folder = fs.GetInfo(keyring.directory);
      if (folder.ok()) owners_.push_back(folder->owner);
    }
  }

  std::vector<std::string> Find() && {
    LookAtFolder("the state folder", config_.state_directory, "'kekctl keyring init' makes it");
    LookAtSocket(config_.admin_socket);
    for (const KeyringConfig& keyring : config_.keyrings) {
      LookAtFolder(absl::StrCat("the folder of keyring ", keyring.name), keyring.directory,
                   "'kekctl keyring init' makes it");
      for (const UnlockConfig& unlock : keyring.unlock) LookAtUnlock(unlock);
      LookAtSocket(keyring.socket);
      for (const TokenUri& token : keyring.pkcs11.value_or(Pkcs11Config()).uris) LookAtToken(token);
    }
    return std::move(findings_);
  }

 private:
  // False, with a finding, if there is nothing to look at.
  bool GetInfo(absl::string_view what, const std::string& path, absl::string_view if_missing,
               FileInfo& info) {
    const absl::StatusOr<FileInfo> found = fs_.GetInfo(path);
    if (absl::IsNotFound(found.status())) {
      Add(absl::StrCat(what, " ", path, " does not exist; ", if_missing));
      return false;
    }
    if (!found.ok()) {
      Add(absl::StrCat(what, " can't be looked at: ", found.status().message()));
      return false;
    }
    info = *found;
    return true;
  }

  void LookAtFolder(absl::string_view what, const std::string& path, absl::string_view if_missing) {
    FileInfo info;
    if (!GetInfo(what, path, if_missing, info)) return;
    if (info.type != FileType::kDirectory)
      return Add(absl::StrCat(what, " ", path, " is no folder"));
    LookAtOwner(what, path, info);
    if ((info.mode & 022) != 0) {
      Add(
          absl::StrFormat("%s %s has mode %04o: others than its owner can write to it; run 'chmod "
                          "go-w %s'",
                          what, path, info.mode, path));
    }
  }

  void LookAtSocket(const SocketConfig& socket) {
    // An abstract one lies in no folder.
    if (socket.path[0] == '@') return;
    LookAtFolder("the socket's folder", DirectoryOf(socket.path),
                 "kekd needs it to start, as RuntimeDirectory= of a systemd unit makes it");
  }

  // Credentials are there for kekd's unit alone, and a terminal's passphrase nowhere.
  void LookAtUnlock(const UnlockConfig& unlock) {
    if (unlock.kind == UnlockConfig::Kind::kKeyFile) {
      LookAtSecret("the key file", unlock.value,
                   "'kekctl keyring init' makes it for a new keyring");
    } else if (unlock.kind == UnlockConfig::Kind::kPassphraseFile) {
      LookAtSecret("the passphrase's file", unlock.value, "write the passphrase into it");
    }
  }

  // Code that runs with the PIN, and the PIN.
  void LookAtToken(const TokenUri& token) {
    FileInfo info;
    const std::string& module = token.module_path;
    if (GetInfo("the PKCS#11 module", module, "install the package of the token's maker", info)) {
      LookAtOwner("the PKCS#11 module", module, info);
    }
    if (!token.pin_file.empty()) {
      LookAtSecret("the PIN's file", token.pin_file, "write the user PIN into it");
    }
  }

  void LookAtSecret(absl::string_view what, const std::string& path, absl::string_view if_missing) {
    FileInfo info;
    if (!GetInfo(what, path, if_missing, info)) return;
    if (info.type != FileType::kRegular) return Add(absl::StrCat(what, " ", path, " is no file"));
    LookAtOwner(what, path, info);
    if ((info.mode & 077) != 0) {
      Add(absl::StrFormat(
          "%s %s has mode %04o: others than its owner have rights on it; run 'chmod "
          "go= %s'",
          what, path, info.mode, path));
    }
  }

  void LookAtOwner(absl::string_view what, const std::string& path, const FileInfo& info) {
    if (std::find(owners_.begin(), owners_.end(), info.owner) != owners_.end()) return;
    Add(absl::StrCat(what, " ", path, " belongs to uid ", info.owner,
                     ", neither to root nor to kekd's user; give it to one of them (chown)"));
  }

  // Several keyrings may name the same folder for their sockets.
  void Add(std::string finding) {
    if (std::find(findings_.begin(), findings_.end(), finding) == findings_.end()) {
      findings_.push_back(std::move(finding));
    }
  }

  FileSystem& fs_;
  const Config& config_;
  std::vector<uid_t> owners_;  // that may own what kekd trusts
  std::vector<std::string> findings_;
};

}  // namespace

std::vector<std::string> ConfigFindings(FileSystem& fs, const Config& config,
                                        absl::string_view kekd_user) {
  return Finder(fs, config, kekd_user).Find();
}

}  // namespace kekd
