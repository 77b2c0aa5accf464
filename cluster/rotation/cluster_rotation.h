// A rotation's access to a real cluster.
#ifndef KEKD_CLUSTER_ROTATION_CLUSTER_ROTATION_H_
#define KEKD_CLUSTER_ROTATION_CLUSTER_ROTATION_H_

#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cluster/api_server/api_client.h"
#include "cluster/key_catalog.h"
#include "cluster/migration/migrator.h"
#include "cluster/rotation/api_server_keys.h"
#include "cluster/scan_report.h"
#include "cluster/stored_object.h"
#include "keystore/rotation/rotation_manager.h"

namespace kekd {

// ClusterRotation asks the API servers (Observe), has them write (Migrate), and reads etcd itself
// (Preflight, Scan): what the API server says is not taken for proof. Each part can be left out;
// what needs it then says so. Not thread-safe.
class ClusterRotation final : public RotationCluster {
 public:
  struct Options {
    ApiClient* client = nullptr;           // outlives it; null: no access to an API server
    ConnectToApiServer connect;            // with the client
    std::vector<std::string> api_servers;  // their addresses; empty: those it tells
    // Null: no access to etcd.
    std::function<absl::StatusOr<std::unique_ptr<EtcdSource>>()> open_etcd;
    std::vector<std::string> prefixes = ReadRange().prefixes;  // of keys in etcd
    // The keyring that is rotated, and the keys of all that are known as they are now.
    std::string keyring;
    std::function<absl::StatusOr<KeyCatalog>()> catalog;
    std::vector<std::string> foreign_providers;
    // What is migrated, by names as in an EncryptionConfiguration; empty: what etcd holds that is
    // encrypted under the keyring.
    std::vector<std::string> resources;
    MigrationOptions migration;
    // Where a migration that was ended goes on; may be lost. Both or none.
    std::function<MigrationCheckpoint()> load_checkpoint;
    std::function<absl::Status(const MigrationCheckpoint&)> keep_checkpoint;
    std::function<void(const MigrationProgress&)> progress;            // of a migration
    std::function<void(uint64_t done, uint64_t total)> read_progress;  // of etcd, in bytes
    std::stop_token stop;
  };

  explicit ClusterRotation(Options options) : options_(std::move(options)) {}

  // PermissionDenied with the rules that are missing; FailedPrecondition if etcd and API server are
  // of two clusters, or if etcd holds nothing under the keyring although that has a primary: a
  // rotation of something else would come to its end without having done anything.
  absl::Status Preflight(const RingView& ring) override;
  absl::StatusOr<Observation> Observe(absl::string_view key_id) override;
  absl::StatusOr<std::string> Migrate(absl::string_view key_id) override;
  absl::StatusOr<Remainder> Scan(absl::string_view key_id) override;

  // What etcd holds under a key version at a revision of it.
  struct Uses {
    Remainder left;
    int64_t revision = 0;
  };
  // FailedPrecondition unless this is the etcd of the API server, and holds something under the
  // keyring's primary: what another cluster does not hold proves nothing.
  absl::StatusOr<Uses> FindUses(const RingView& ring, uint32_t version);

  // How many API servers there are, as far as one tells.
  absl::StatusOr<size_t> CountApiServers() const;

 private:
  absl::StatusOr<ScanReport> ReadEtcd(std::string* namespace_value) const;
  absl::Status CheckSameCluster(const std::string& namespace_value) const;
  absl::StatusOr<std::vector<std::string>> ApiServers() const;
  // What was read and yet is not known: values of KMS that can't be parsed, keys beside the
  // prefixes that were named.
  void AddUnknown(const ScanReport& report, Remainder& left) const;
  // Of objects in etcd that are encrypted under this keyring.
  std::vector<std::string> ResourcesIn(const ScanReport& report) const;
  absl::StatusOr<std::vector<ApiResource>> Resources(const std::vector<std::string>& names) const;

  const Options options_;
};

}  // namespace kekd

#endif  // KEKD_CLUSTER_ROTATION_CLUSTER_ROTATION_H_
