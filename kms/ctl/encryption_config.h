// kube-apiserver's EncryptionConfiguration.
#ifndef KEKD_KMS_CTL_ENCRYPTION_CONFIG_H_
#define KEKD_KMS_CTL_ENCRYPTION_CONFIG_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace kekd {

struct EncryptionConfigOptions {
  std::string provider_name;
  std::string endpoint;
  std::vector<std::string> resources;
  std::optional<int> phase;  // 1 or 2; both, as two documents, if not given
};

// InvalidArgument for what kube-apiserver would refuse.
absl::Status ValidateEncryptionConfig(const EncryptionConfigOptions& options);

// apiserver.config.k8s.io/v1, which kube-apiserver decodes strictly. With a phase, one document.
std::string EncryptionConfigYaml(const EncryptionConfigOptions& options);

}  // namespace kekd

#endif  // KEKD_KMS_CTL_ENCRYPTION_CONFIG_H_
