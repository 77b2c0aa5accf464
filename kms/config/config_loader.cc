#include <unistd.h>

#include <algorithm>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/file_system.h"
#include "base/status_macros.h"
#include "base/yaml/yaml_document.h"
#include "keystore/key_id.h"
#include "kms/config/accounts.h"
#include "kms/config/config.h"
#include "kms/config/pkcs11_reader.h"
#include "kms/config/yaml_reader.h"

namespace kekd {
namespace {

constexpr size_t kMaxConfigBytes = size_t{1} << 20;
constexpr size_t kMaxPathBytes = 4095;  // PATH_MAX without its final zero
constexpr size_t kMaxUnlocks = 16;

// Where a value that must be unique stands, for the error about its second use.
struct Use {
  std::string value;
  std::string path;
};

absl::Status ExpectUnused(const YamlReader& reader, absl::string_view value,
                          std::vector<Use>& uses) {
  for (const Use& use : uses) {
    if (use.value == value) {
      return reader.Error(absl::StrCat("\"", value, "\" is that of ", use.path, " already"));
    }
  }
  uses.push_back({std::string(value), reader.path()});
  return absl::OkStatus();
}

// An absolute path in the one spelling that comparisons need: without "//", "/./" and a final "/".
absl::StatusOr<std::string> ReadPath(const YamlReader& reader) {
  KEKD_ASSIGN_OR_RETURN(const absl::string_view text, reader.Text());
  if (text[0] != '/') {
    return reader.Error(absl::StrCat("\"", text,
                                     "\" must be an absolute path: kekd and kekctl may "
                                     "run in different folders"));
  }
  if (text.size() > kMaxPathBytes) {
    return reader.Error(
        absl::StrCat("the path has ", text.size(), " bytes; the most is ", kMaxPathBytes));
  }
  std::string path;
  for (const absl::string_view part : absl::StrSplit(text, '/')) {
    if (part.empty() || part == ".") continue;
    if (part == "..") {
      return reader.Error(
          absl::StrCat("\"", text, "\" has a \"..\" in it; write the path without"));
    }
    absl::StrAppend(&path, "/", part);
  }
  if (path.empty()) return reader.Error("\"/\" can't be used for this");
  return path;
}

bool IsWithin(absl::string_view path, absl::string_view directory) {
  return absl::ConsumePrefix(&path, directory) && (path.empty() || path[0] == '/');
}

absl::StatusOr<std::string> ReadSocketPath(const YamlReader& reader) {
  KEKD_ASSIGN_OR_RETURN(const absl::string_view text, reader.Text());
  if (text == "@") return reader.Error("an abstract socket needs a name after its \"@\"");
  std::string path(text);
  if (text[0] != '@') {
    KEKD_ASSIGN_OR_RETURN(path, ReadPath(reader));
  }
  if (path.size() > kMaxSocketPathBytes) {
    return reader.Error(absl::StrCat("the path has ", path.size(), " bytes; a unix socket's has ",
                                     kMaxSocketPathBytes, " at most: choose a shorter one"));
  }
  return path;
}

absl::StatusOr<mode_t> ReadMode(const YamlReader& reader) {
  KEKD_ASSIGN_OR_RETURN(const absl::string_view text, reader.Text());
  if (text == "0600") return mode_t{0600};
  if (text == "0660") return mode_t{0660};
  return reader.Error(absl::StrCat("must be \"0600\" or \"0660\", and is \"", text, "\""));
}

// Users or groups, by `find`.
template <typename Id>
absl::StatusOr<std::vector<Id>> ReadAccounts(const YamlReader& list,
                                             absl::StatusOr<Id> (*find)(absl::string_view)) {
  KEKD_ASSIGN_OR_RETURN(const std::vector<YamlReader> elements, list.Elements());
  std::vector<Id> ids;
  for (const YamlReader& element : elements) {
    KEKD_ASSIGN_OR_RETURN(const absl::string_view name, element.Text());
    const absl::StatusOr<Id> id = find(name);
    if (!id.ok()) return element.Error(id.status().message());
    ids.push_back(*id);
  }
  return ids;
}

// One of a closed set of words.
template <typename Value>
absl::StatusOr<Value> ReadWord(const YamlReader& reader,
                               std::initializer_list<std::pair<absl::string_view, Value>> words) {
  KEKD_ASSIGN_OR_RETURN(const absl::string_view text, reader.Text());
  std::string known;
  for (const auto& [word, value] : words) {
    if (text == word) return value;
    absl::StrAppend(&known, known.empty() ? "" : ", ", word);
  }
  return reader.Error(absl::StrCat("must be one of ", known, ", and is \"", text, "\""));
}

// Reads one configuration and keeps what must be unique in it.
class ConfigReader final {
 public:
  absl::StatusOr<Config> Read(const YamlReader& root) {
    KEKD_RETURN_IF_ERROR(root.ExpectFields(
        {"apiVersion", "kind", "stateDirectory", "admin", "keyrings", "keyring", "log", "memory"}));
    KEKD_RETURN_IF_ERROR(ExpectText(root, "apiVersion", kConfigApiVersion));
    KEKD_RETURN_IF_ERROR(ExpectText(root, "kind", kConfigKind));
    Config config;
    KEKD_ASSIGN_OR_RETURN(const YamlReader state, root.RequiredField("stateDirectory"));
    KEKD_ASSIGN_OR_RETURN(config.state_directory, ReadPath(state));
    state_directory_ = config.state_directory;

    KEKD_ASSIGN_OR_RETURN(const YamlReader admin, root.RequiredField("admin"));
    KEKD_RETURN_IF_ERROR(admin.ExpectFields({"socket"}));
    KEKD_ASSIGN_OR_RETURN(const YamlReader admin_socket, admin.RequiredField("socket"));
    KEKD_ASSIGN_OR_RETURN(config.admin_socket, ReadSocket(admin_socket));

    KEKD_ASSIGN_OR_RETURN(config.keyrings, ReadKeyrings(root));
    KEKD_RETURN_IF_ERROR(ReadLog(root, config));
    KEKD_RETURN_IF_ERROR(ReadMemory(root, config));
    return config;
  }

 private:
  static absl::Status ExpectText(const YamlReader& root, absl::string_view field,
                                 absl::string_view expected) {
    KEKD_ASSIGN_OR_RETURN(const YamlReader reader, root.RequiredField(field));
    KEKD_ASSIGN_OR_RETURN(const absl::string_view text, reader.Text());
    if (text == expected) return absl::OkStatus();
    return reader.Error(absl::StrCat("must be \"", expected, "\", and is \"", text, "\""));
  }

  absl::StatusOr<SocketConfig> ReadSocket(const YamlReader& reader) {
    KEKD_RETURN_IF_ERROR(reader.ExpectFields({"path", "mode", "allowedUsers", "allowedGroups"}));
    SocketConfig socket;
    KEKD_ASSIGN_OR_RETURN(const YamlReader path, reader.RequiredField("path"));
    KEKD_ASSIGN_OR_RETURN(socket.path, ReadSocketPath(path));
    KEKD_RETURN_IF_ERROR(ExpectUnused(path, socket.path, socket_paths_));
    if (const YamlNode* node = reader.FindField("mode")) {
      const YamlReader mode = reader.Field("mode", *node);
      if (socket.path[0] == '@') {
        return mode.Error(
            "an abstract socket is no file and has no mode; allowedUsers and "
            "allowedGroups say who may connect");
      }
      KEKD_ASSIGN_OR_RETURN(socket.mode, ReadMode(mode));
    }
    if (const YamlNode* node = reader.FindField("allowedUsers")) {
      KEKD_ASSIGN_OR_RETURN(socket.allowed_users,
                            ReadAccounts(reader.Field("allowedUsers", *node), FindUser));
    }
    if (const YamlNode* node = reader.FindField("allowedGroups")) {
      KEKD_ASSIGN_OR_RETURN(socket.allowed_groups,
                            ReadAccounts(reader.Field("allowedGroups", *node), FindGroup));
    }
    return socket;
  }

  absl::StatusOr<std::vector<KeyringConfig>> ReadKeyrings(const YamlReader& root) {
    const YamlNode* one = root.FindField("keyring");
    const YamlNode* several = root.FindField("keyrings");
    if (one != nullptr && several != nullptr) {
      return root.Field("keyring", *one)
          .Error("give either \"keyring\" (one mapping) or \"keyrings\" (a list), not both");
    }
    std::vector<KeyringConfig> keyrings;
    if (one != nullptr) {
      KEKD_ASSIGN_OR_RETURN(keyrings.emplace_back(), ReadKeyring(root.Field("keyring", *one)));
      return keyrings;
    }
    KEKD_ASSIGN_OR_RETURN(const YamlReader list, root.RequiredField("keyrings"));
    KEKD_ASSIGN_OR_RETURN(const std::vector<YamlReader> elements, list.Elements());
    if (elements.empty()) return list.Error("at least one keyring is needed");
    for (const YamlReader& element : elements) {
      KEKD_ASSIGN_OR_RETURN(keyrings.emplace_back(), ReadKeyring(element));
    }
    return keyrings;
  }

  absl::StatusOr<KeyringConfig> ReadKeyring(const YamlReader& reader) {
    KEKD_RETURN_IF_ERROR(reader.ExpectFields({"name", "directory", "unlock", "socket", "pkcs11"}));
    KeyringConfig keyring;
    KEKD_ASSIGN_OR_RETURN(const YamlReader name, reader.RequiredField("name"));
    KEKD_ASSIGN_OR_RETURN(const absl::string_view name_text, name.Text());
    keyring.name = std::string(name_text);
    if (const absl::Status valid = ValidateKeyringName(keyring.name); !valid.ok()) {
      return name.Error(valid.message());
    }
    KEKD_RETURN_IF_ERROR(ExpectUnused(name, keyring.name, names_));

    KEKD_ASSIGN_OR_RETURN(const YamlReader directory, reader.RequiredField("directory"));
    KEKD_ASSIGN_OR_RETURN(keyring.directory, ReadPath(directory));
    KEKD_RETURN_IF_ERROR(CheckDirectory(directory, keyring.directory));

    KEKD_ASSIGN_OR_RETURN(const YamlReader unlock, reader.RequiredField("unlock"));
    KEKD_ASSIGN_OR_RETURN(keyring.unlock, ReadUnlocks(unlock, keyring.directory));

    KEKD_ASSIGN_OR_RETURN(const YamlReader socket, reader.RequiredField("socket"));
    KEKD_ASSIGN_OR_RETURN(keyring.socket, ReadSocket(socket));
    if (const YamlNode* node = reader.FindField("pkcs11")) {
      KEKD_ASSIGN_OR_RETURN(keyring.pkcs11, ReadPkcs11(reader.Field("pkcs11", *node)));
    }
    const bool by_token = std::any_of(
        keyring.unlock.begin(), keyring.unlock.end(),
        [](const UnlockConfig& each) { return each.kind == UnlockConfig::Kind::kPkcs11; });
    if (by_token && !keyring.pkcs11.has_value()) {
      return unlock.Error(
          "\"pkcs11: true\" means the token of the keyring's own field \"pkcs11\", and there is "
          "none: name the token there, beside \"unlock\"");
    }
    return keyring;
  }

  // Each folder is backed up and restored on its own: if one lay within another, restoring the
  // outer one would take the inner one back with it, unnoticed.
  absl::Status CheckDirectory(const YamlReader& reader, absl::string_view directory) {
    if (IsWithin(directory, state_directory_) || IsWithin(state_directory_, directory)) {
      return reader.Error(absl::StrCat(
          "\"", directory, "\" and stateDirectory (\"", state_directory_,
          "\") must not be the same folder nor one within the other: who puts back an old keyring "
          "would put back with it what tells that it is old"));
    }
    for (const Use& use : directories_) {
      if (IsWithin(directory, use.value) || IsWithin(use.value, directory)) {
        return reader.Error(absl::StrCat("\"", directory, "\" and ", use.path, " (\"", use.value,
                                         "\") must not be the same folder nor one within the "
                                         "other"));
      }
    }
    directories_.push_back({std::string(directory), reader.path()});
    return absl::OkStatus();
  }

  absl::StatusOr<std::vector<UnlockConfig>> ReadUnlocks(const YamlReader& list,
                                                        absl::string_view directory) {
    KEKD_ASSIGN_OR_RETURN(const std::vector<YamlReader> elements, list.Elements());
    if (elements.empty()) return list.Error("at least one way to unlock the keyring is needed");
    if (elements.size() > kMaxUnlocks) {
      return list.Error(
          absl::StrCat("has ", elements.size(), " elements; the most is ", kMaxUnlocks));
    }
    std::vector<UnlockConfig> unlocks;
    std::vector<Use> uses;
    for (const YamlReader& element : elements) {
      KEKD_RETURN_IF_ERROR(element.ExpectFields({"keyFile", "credential", "passphrase", "pkcs11"}));
      KEKD_ASSIGN_OR_RETURN(const YamlReader only, OnlyField(element));
      KEKD_ASSIGN_OR_RETURN(UnlockConfig unlock, ReadUnlock(element, directory));
      KEKD_RETURN_IF_ERROR(
          ExpectUnused(only, unlock.value.empty() ? Describe(unlock) : unlock.value, uses));
      unlocks.push_back(std::move(unlock));
    }
    return unlocks;
  }

  // The one field of a mapping that allows several of which exactly one must be there.
  static absl::StatusOr<YamlReader> OnlyField(const YamlReader& reader) {
    const std::vector<YamlReader> fields = reader.Fields();
    if (fields.size() == 1) return fields.front();
    if (fields.empty()) {
      return reader.Error(
          "give a \"keyFile\", a \"credential\", \"pkcs11\", or a \"passphrase\" with its "
          "\"file\", "
          "\"credential\" or \"prompt\"");
    }
    return fields[1].Error(
        "only one can be given here; another way to unlock is another element of the list");
  }

  static absl::StatusOr<UnlockConfig> ReadUnlock(const YamlReader& reader,
                                                 absl::string_view directory) {
    using Kind = UnlockConfig::Kind;
    if (const YamlNode* node = reader.FindField("keyFile")) {
      return ReadSecretFile(reader.Field("keyFile", *node), Kind::kKeyFile, directory);
    }
    if (const YamlNode* node = reader.FindField("credential")) {
      return ReadCredential(reader.Field("credential", *node), Kind::kCredential);
    }
    if (const YamlNode* node = reader.FindField("pkcs11")) {
      KEKD_RETURN_IF_ERROR(ExpectTrue(reader.Field("pkcs11", *node)));
      return UnlockConfig{.kind = Kind::kPkcs11};
    }
    KEKD_ASSIGN_OR_RETURN(const YamlReader passphrase, reader.RequiredField("passphrase"));
    KEKD_RETURN_IF_ERROR(passphrase.ExpectFields({"file", "credential", "prompt"}));
    KEKD_RETURN_IF_ERROR(OnlyField(passphrase).status());
    if (const YamlNode* node = passphrase.FindField("file")) {
      return ReadSecretFile(passphrase.Field("file", *node), Kind::kPassphraseFile, directory);
    }
    if (const YamlNode* node = passphrase.FindField("credential")) {
      return ReadCredential(passphrase.Field("credential", *node), Kind::kPassphraseCredential);
    }
    KEKD_ASSIGN_OR_RETURN(const YamlReader prompt, passphrase.RequiredField("prompt"));
    KEKD_RETURN_IF_ERROR(ExpectTrue(prompt));
    return UnlockConfig{.kind = Kind::kPassphrasePrompt};
  }

  static absl::Status ExpectTrue(const YamlReader& reader) {
    KEKD_ASSIGN_OR_RETURN(const absl::string_view text, reader.Text());
    if (text == "true") return absl::OkStatus();
    return reader.Error(absl::StrCat("must be true, and is \"", text, "\""));
  }

  static absl::StatusOr<UnlockConfig> ReadSecretFile(const YamlReader& reader,
                                                     UnlockConfig::Kind kind,
                                                     absl::string_view directory) {
    KEKD_ASSIGN_OR_RETURN(std::string path, ReadPath(reader));
    if (IsWithin(path, directory)) {
      return reader.Error(
          absl::StrCat("\"", path,
                       "\" lies in the keyring's own folder: every copy of that folder would "
                       "carry its key with it; keep it elsewhere"));
    }
    return UnlockConfig{.kind = kind, .value = std::move(path)};
  }

  static absl::StatusOr<UnlockConfig> ReadCredential(const YamlReader& reader,
                                                     UnlockConfig::Kind kind) {
    KEKD_ASSIGN_OR_RETURN(std::string name, ReadCredentialName(reader));
    return UnlockConfig{.kind = kind, .value = std::move(name)};
  }

  static absl::Status ReadLog(const YamlReader& root, Config& config) {
    const YamlNode* log = root.FindField("log");
    if (log == nullptr) return absl::OkStatus();
    const YamlReader reader = root.Field("log", *log);
    KEKD_RETURN_IF_ERROR(reader.ExpectFields({"level", "format"}));
    if (const YamlNode* node = reader.FindField("level")) {
      KEKD_ASSIGN_OR_RETURN(config.log_level, ReadWord<LogLevel>(reader.Field("level", *node),
                                                                 {{"debug", LogLevel::kDebug},
                                                                  {"info", LogLevel::kInfo},
                                                                  {"warning", LogLevel::kWarning},
                                                                  {"error", LogLevel::kError}}));
    }
    if (const YamlNode* node = reader.FindField("format")) {
      KEKD_ASSIGN_OR_RETURN(config.log_format, ReadWord<LogFormat>(reader.Field("format", *node),
                                                                   {{"text", LogFormat::kText},
                                                                    {"json", LogFormat::kJson}}));
    }
    return absl::OkStatus();
  }

  static absl::Status ReadMemory(const YamlReader& root, Config& config) {
    const YamlNode* memory = root.FindField("memory");
    if (memory == nullptr) return absl::OkStatus();
    const YamlReader reader = root.Field("memory", *memory);
    KEKD_RETURN_IF_ERROR(reader.ExpectFields({"locking"}));
    if (const YamlNode* node = reader.FindField("locking")) {
      KEKD_ASSIGN_OR_RETURN(config.memory_locking,
                            ReadWord<MemoryLocking>(reader.Field("locking", *node),
                                                    {{"required", MemoryLocking::kRequired},
                                                     {"preferred", MemoryLocking::kPreferred}}));
    }
    return absl::OkStatus();
  }

  std::string state_directory_;
  std::vector<Use> names_;
  std::vector<Use> directories_;
  std::vector<Use> socket_paths_;
};

absl::Status CheckWritableByOwnerOnly(absl::string_view path, const FileInfo& info) {
  if (info.owner != 0 && info.owner != geteuid()) {
    return absl::PermissionDeniedError(absl::StrFormat(
        "configuration %s belongs to uid %d, who could choose other keys with it; give it to root "
        "or to kekd's user (chown)",
        path, info.owner));
  }
  if ((info.mode & 022) != 0) {
    return absl::PermissionDeniedError(absl::StrFormat(
        "configuration %s has mode %04o: others than its owner can write to it; run 'chmod go-w "
        "%s'",
        path, info.mode, path));
  }
  return absl::OkStatus();
}

}  // namespace

std::string Describe(const UnlockConfig& unlock) {
  switch (unlock.kind) {
    case UnlockConfig::Kind::kKeyFile:
      return absl::StrCat("key file ", unlock.value);
    case UnlockConfig::Kind::kCredential:
      return absl::StrCat("credential ", unlock.value);
    case UnlockConfig::Kind::kPassphraseFile:
      return absl::StrCat("passphrase in ", unlock.value);
    case UnlockConfig::Kind::kPassphraseCredential:
      return absl::StrCat("passphrase in credential ", unlock.value);
    case UnlockConfig::Kind::kPkcs11:
      return "the token";
    case UnlockConfig::Kind::kPassphrasePrompt:
      break;
  }
  return "passphrase at the terminal";
}

absl::StatusOr<Config> ParseConfig(absl::string_view yaml, absl::string_view origin) {
  KEKD_ASSIGN_OR_RETURN(const YamlNode document, ParseYaml(yaml, origin));
  return ConfigReader().Read(YamlReader(document, origin, ""));
}

absl::StatusOr<Config> LoadConfig(FileSystem& fs, absl::string_view path) {
  FileInfo info;
  // Nothing in it is secret, but only this call tells of the very file that was read.
  const absl::StatusOr<SecretBytes> content = fs.ReadSecretFile(path, kMaxConfigBytes, &info);
  if (absl::IsPermissionDenied(content.status())) {
    return WithContext(content.status(), "configuration");
  }
  if (!content.ok()) {
    return absl::InvalidArgumentError(absl::StrCat("configuration: ", content.status().message()));
  }
  KEKD_RETURN_IF_ERROR(CheckWritableByOwnerOnly(path, info));
  return ParseConfig(AsText(content->Reveal(SecretAccessToken())), path);
}

}  // namespace kekd
