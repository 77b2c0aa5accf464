#include "tests/kms/config/minimal_config.h"

#include <gtest/gtest.h>

#include "absl/strings/str_replace.h"

namespace kekd::testing {

std::string MinimalConfigWith(absl::string_view from, absl::string_view to) {
  std::string yaml = absl::StrReplaceAll(kMinimalConfig, {{from, to}});
  EXPECT_NE(yaml, kMinimalConfig) << "nothing was replaced by " << to;
  return yaml;
}

}  // namespace kekd::testing
