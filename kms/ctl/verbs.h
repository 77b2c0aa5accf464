// kekctl's verbs as values.
#ifndef KEKD_KMS_CTL_VERBS_H_
#define KEKD_KMS_CTL_VERBS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/uuid.h"
#include "keystore/backup_header.h"
#include "keystore/key_state.h"
#include "keystore/passphrase_kdf.h"
#include "keystore/software_key_backend.h"
#include "kms/config/config.h"

namespace kekd {

// One struct a verb, with what it takes beside the common options. What each means to people stands
// in its description (*_verbs.cc), what it does in commands.h.
struct PrintText {  // --help, --version
  std::string text;
};
// A backup to be made: under a passphrase, or, if `shares` is set, of which shares are made.
struct BackupMaking {
  enum class Words { kNone, kTerminal, kStdout };

  std::string out;
  UnlockConfig passphrase;
  std::optional<ShareNumbers> shares;
  std::string share_dir;  // or
  Words share_words = Words::kNone;
};
// What opens a backup: a passphrase, or, if there are any, share files.
struct BackupOpening {
  UnlockConfig passphrase;
  std::vector<std::string> shares;
};
struct KeyringInitVerb {
  std::string backend = std::string(kSoftwareBackend);  // of key version 1
  std::optional<Custody> custody;                       // none: the backend's own
  std::optional<Uuid> cluster_id;
  std::optional<BackupMaking> backup;
};
struct KeyringBackupVerb {
  BackupMaking backup;
};
struct KeyringRestoreVerb {
  std::string backup;
  BackupOpening opening;
  std::optional<uint64_t> accept_generation;
};
struct KeyringShowVerb {};
struct KeyringVerifyVerb {
  std::string backup;  // empty: the keyring itself
  BackupOpening opening;
};
struct KeyringAcceptRollbackVerb {
  uint64_t generation = 0;
};
struct KeyringNewKeyFileVerb {
  std::string path;  // "-": standard output
};
struct KeyringUpgradeVerb {
  bool without_backup = false;
};
struct WrapListVerb {
  bool check = false;  // whether to try what the configuration names
};
struct WrapAddVerb {
  UnlockConfig unlock;  // what is to open it
  std::string label;    // empty: the file or credential
  KdfFunction kdf = KdfFunction::kScrypt;
};
struct WrapRemoveVerb {
  std::vector<uint32_t> numbers;
  std::vector<UnlockConfig> also;  // what opens wraps that stay, beside what is configured
};
struct KeyListVerb {};
struct KeyShowVerb {
  uint32_t version = 0;
};
struct KeyCreateVerb {
  std::string backend;                                // empty: that of the primary
  std::optional<Custody> custody = std::nullopt;      // none: as docs/hsm.md says
  std::optional<uint64_t> generation = std::nullopt;  // that the keyring must still be of
};
struct KeyAdoptVerb {
  std::string backend;
  std::string object;  // the key, in the backend's own words
  bool allow_extractable = false;
  std::optional<uint64_t> generation = std::nullopt;  // that the keyring must still be of
};
struct KeyPromoteVerb {
  uint32_t version = 0;
  std::optional<uint64_t> generation = std::nullopt;  // that the keyring must still be of
};
struct StatusVerb {};
struct CheckVerb {
  uint32_t count = 0;  // Encrypt and Decrypt calls to measure
};
struct ConfigCheckVerb {};
struct ConfigSchemaVerb {};
struct ResourceOfKeyring {
  std::string resource;
  std::string keyring;
};
struct EncryptionConfigVerb {
  std::vector<std::string> resources;
  std::optional<int> phase;            // 1 or 2; both if not given
  std::string provider_name;           // empty: "kekd-<keyring>"
  bool per_resource = false;           // a provider entry for each of `resources`
  std::vector<ResourceOfKeyring> map;  // if there are any, instead of `resources`
};

// Which etcd: a running one (`endpoints`) or files.
struct EtcdPlace {
  std::vector<std::string> endpoints;
  std::string cacert;
  std::string cert;
  std::string key;
  std::string snapshot;  // or a database file
  std::string data_folder;
  std::vector<std::string> prefixes;  // each ends in a slash; empty: the usual ones
};
// Keys that open objects: those of a backup, or, if `backup` is empty, of the configured keyrings.
struct KeysFrom {
  std::string backup;
  BackupOpening opening;
};
struct ScanVerb {
  EtcdPlace etcd;
  bool history = false;
  bool decrypt = false;
  KeysFrom keys;
  std::vector<std::string> foreign_providers;  // of KMS v2, that are not kekd
  std::vector<std::string> policy;             // "RESOURCE=LEVEL"
  std::string report;                          // a new file for the report; empty: none
  std::string signing_key;                     // of the report; empty: it is not signed
  std::string metrics;  // a file for Prometheus' textfile collector; empty: none
};
// Who writes the objects of a migration anew.
enum class MigrationWay {
  kAuto,        // kekctl; or the cluster, where kekctl's user may have it do that and no more
  kClient,      // kekctl, object by object
  kController,  // the cluster's own controller, by StorageVersionMigration objects
};
struct MigrateVerb {
  std::string kubeconfig;  // empty: as kubectl finds it
  std::string context;     // empty: the current one
  bool allow_insecure = false;
  // Of which resources, by one of these.
  std::vector<std::string> resources;
  std::string encryption_config;  // a file
  std::optional<EtcdPlace> etcd;  // running: those of which it has something encrypted
  uint32_t qps = 0;               // 0: no limit
  uint32_t concurrency = 0;
  MigrationWay via = MigrationWay::kAuto;
  std::string checkpoint;  // a file; empty: none
};
struct RecoverVerb {
  EtcdPlace etcd;
  KeysFrom keys;
  std::string object;    // RESOURCE/NAMESPACE/NAME or an etcd key; empty: all
  std::string resource;  // only objects of this one; empty: every resource
  std::string out;       // a new folder
  bool stored = false;   // as stored, not as manifests
  std::string reason;    // for the log
};

// A running cluster: its API servers by a kubeconfig, its etcd, or both.
struct ClusterPlace {
  std::string kubeconfig;  // empty: none is meant
  std::string context;     // empty: the current one
  bool allow_insecure = false;
  std::vector<std::string> api_servers;  // "HOST:PORT"; empty: those of the Service kubernetes
  std::optional<EtcdPlace> etcd;
  std::vector<std::string> resources;  // empty: those that etcd has something of

  bool HasApiServer() const { return !kubeconfig.empty() || !context.empty(); }
  bool IsEmpty() const { return !HasApiServer() && !etcd.has_value(); }
};
struct RotateVerb {
  enum class Action { kRun, kStatus, kResume, kAbort, kProve };

  Action action = Action::kRun;
  // Of the version that it leads to: made, or (`version`) there already.
  std::string backend;             // empty: as the primary's
  std::optional<Custody> custody;  // none: as the primary's
  uint32_t version = 0;            // of kProve too; 0: that of the rotation
  std::string reason;
  std::string node;  // this one's name; empty: the host's
  std::vector<std::string>
      nodes;          // that are to prove; empty: those of the rotation before, or this one
  std::string until;  // the last step that is done; empty: all
  bool without_backup = false;
  uint32_t copies_taken = 0;  // RotationManager::Options
  std::vector<std::string> proofs;
  ClusterPlace cluster;
};
struct RetireVerb {
  uint32_t version = 0;
  std::string confirm;  // the version's name, typed before; empty: it is asked for
  bool backups_checked = false;
  uint32_t copies_taken = 0;  // of the primary, as RotateVerb's
  ClusterPlace cluster;
};
struct CompromiseVerb {
  uint32_t version = 0;
  RotateVerb rotate;  // away from it
};

struct HsmListVerb {};
struct HsmDoctorVerb {};
struct HsmBenchVerb {
  uint32_t count = 0;
  std::optional<uint32_t> version = std::nullopt;  // the newest on the token if not set
};

struct CompletionVerb {
  std::string shell;  // "bash", "zsh" or "fish"
};
struct ManVerb {};

using Verb =
    std::variant<PrintText, KeyringInitVerb, KeyringShowVerb, KeyringVerifyVerb,
                 KeyringAcceptRollbackVerb, KeyringBackupVerb, KeyringRestoreVerb,
                 KeyringNewKeyFileVerb, KeyringUpgradeVerb, WrapListVerb, WrapAddVerb,
                 WrapRemoveVerb, KeyListVerb, KeyShowVerb, KeyCreateVerb, KeyAdoptVerb,
                 KeyPromoteVerb, RotateVerb, RetireVerb, CompromiseVerb, StatusVerb, CheckVerb,
                 ConfigCheckVerb, ConfigSchemaVerb, EncryptionConfigVerb, ScanVerb, MigrateVerb,
                 RecoverVerb, HsmListVerb, HsmDoctorVerb, HsmBenchVerb, CompletionVerb, ManVerb>;

}  // namespace kekd

#endif  // KEKD_KMS_CTL_VERBS_H_
