// Which resources a migration is of.
#ifndef KEKD_CLUSTER_MIGRATION_RESOURCE_SELECTION_H_
#define KEKD_CLUSTER_MIGRATION_RESOURCE_SELECTION_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "base/file_system.h"
#include "cluster/api_server/discovery.h"

namespace kekd {

struct ResourceSelection {
  std::vector<ApiResource> resources;  // each once, by name
  // What was meant as well and can't be had.
  std::vector<DiscoveryProblem> problems;
};

// What a name stands for that no resource has.
enum class UnknownResources {
  kError,    // a mistake of whoever typed it
  kProblem,  // a resource that an EncryptionConfiguration or etcd has and the API server has not
};

// The resources of these names, as an EncryptionConfiguration has them: "secrets",
// "widgets.example.com", "*.apps" (all of that group), "*." (all of the core group), "*.*".
// NotFound names the nearest name.
absl::StatusOr<ResourceSelection> SelectResources(const ApiResources& there,
                                                  absl::Span<const std::string> names,
                                                  UnknownResources unknown);

// The names in an EncryptionConfiguration, the file of kube-apiserver's
// --encryption-provider-config: each once, in order. InvalidArgument for what is none. Of the keys
// in it nothing is kept.
absl::StatusOr<std::vector<std::string>> ResourcesOfEncryptionConfig(FileSystem& fs,
                                                                     const std::string& path);

}  // namespace kekd

#endif  // KEKD_CLUSTER_MIGRATION_RESOURCE_SELECTION_H_
