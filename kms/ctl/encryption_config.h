// kube-apiserver's EncryptionConfiguration.
#ifndef KEKD_KMS_CTL_ENCRYPTION_CONFIG_H_
#define KEKD_KMS_CTL_ENCRYPTION_CONFIG_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "kms/config/config.h"
#include "kms/ctl/command_line.h"

namespace kekd {

// One rule of the configuration: these resources through this provider entry. The API server makes
// one seed an entry, from which it derives the key of every write.
struct EncryptionRule {
  std::vector<std::string> resources;  // as kube-apiserver writes them: "deployments.apps", "*."
  std::string provider_name;
  std::string endpoint;
};

struct EncryptionConfigOptions {
  std::vector<EncryptionRule> rules;  // in the file's order
  std::optional<int> phase;           // 1 or 2; both, as two documents, if not given
};

// kube-apiserver opens a connection an entry, twice that while it reloads the file, and kekd takes
// no more than 64 on a socket.
inline constexpr size_t kMaxRulesPerEndpoint = 32;

// The rules that were asked for: one for all resources, or one each (--per-resource, --map), in
// the only order that kube-apiserver takes: wildcards after what they would mask. InvalidArgument
// or NotFound for what the command line says wrong; says nothing of what ValidateEncryptionConfig
// checks.
absl::StatusOr<EncryptionConfigOptions> MakeEncryptionConfig(const Config& config,
                                                             absl::string_view keyring,
                                                             const EncryptionConfigVerb& verb);

// InvalidArgument for what kube-apiserver would refuse, or take and never match.
absl::Status ValidateEncryptionConfig(const EncryptionConfigOptions& options);

// apiserver.config.k8s.io/v1, which kube-apiserver decodes strictly. With a phase, one document.
std::string EncryptionConfigYaml(const EncryptionConfigOptions& options);

}  // namespace kekd

#endif  // KEKD_KMS_CTL_ENCRYPTION_CONFIG_H_
