// Migration by the cluster's own controller (storagemigration.k8s.io).
#ifndef KEKD_CLUSTER_MIGRATION_STORAGE_VERSION_MIGRATION_H_
#define KEKD_CLUSTER_MIGRATION_STORAGE_VERSION_MIGRATION_H_

#include <stop_token>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "cluster/api_server/api_client.h"
#include "cluster/api_server/discovery.h"

namespace kekd {

inline constexpr char kStorageVersionMigrations[] =
    "storageversionmigrations.storagemigration.k8s.io";

struct StorageVersionMigrationOptions {
  ApiRetries retries;
  absl::Duration poll_interval = absl::Seconds(1);
  // How long a migration may stand still until one object is written to push it on.
  absl::Duration nudge_interval = absl::Seconds(5);
  // A controller that has not even said that it runs after so long is not there.
  absl::Duration start_patience = absl::Minutes(1);
};

// Has the controller in kube-controller-manager migrate one resource: makes a
// StorageVersionMigration (`migrations` is that API: v1, or v1beta1 from Kubernetes 1.35 on),
// watches its conditions and deletes it at the end.
//
// The controller waits until its own cache has come as far as the list that it works on, which on a
// quiet resource is never: so one object is written, by the patch that a Migrator sends or, if it
// is up to date, by an annotation that comes and goes. A resource without objects needs nothing.
//
// FailedPrecondition with the controller's words if it fails, or if no controller takes it up.
absl::Status MigrateByController(ApiClient& client, const ApiResource& migrations,
                                 const ApiResource& resource,
                                 const StorageVersionMigrationOptions& options,
                                 const std::stop_token& stop, absl::Time deadline);

}  // namespace kekd

#endif  // KEKD_CLUSTER_MIGRATION_STORAGE_VERSION_MIGRATION_H_
