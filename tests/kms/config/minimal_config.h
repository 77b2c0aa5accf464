// A configuration with all that one must have.
#ifndef KEKD_TESTS_KMS_CONFIG_MINIMAL_CONFIG_H_
#define KEKD_TESTS_KMS_CONFIG_MINIMAL_CONFIG_H_

#include <string>

#include "absl/strings/string_view.h"

namespace kekd::testing {

inline constexpr char kMinimalConfig[] = R"(apiVersion: kekd.dev/v1
kind: KekdConfiguration
stateDirectory: /var/lib/kekd/state
admin:
  socket:
    path: /run/kekd/admin.sock
keyrings:
- name: prod
  directory: /var/lib/kekd/prod
  unlock:
  - keyFile: /etc/kekd/prod.key
  socket:
    path: /run/kekd/prod.sock
)";

// It with one text in it replaced, which must be there.
std::string MinimalConfigWith(absl::string_view from, absl::string_view to);

}  // namespace kekd::testing

#endif  // KEKD_TESTS_KMS_CONFIG_MINIMAL_CONFIG_H_
