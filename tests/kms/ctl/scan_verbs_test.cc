#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <variant>
#include <vector>

#include "kms/ctl/command_line.h"
#include "tests/support/status_matchers.h"

namespace kekd {
namespace {

using ::kekd::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

absl::StatusOr<CommandLine> ParseScan(const std::vector<const char*>& more) {
  std::vector<const char*> arguments = {"kekctl", "scan", "--snapshot", "s.db"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return ParseCommandLine(static_cast<int>(arguments.size()), arguments.data());
}

TEST(ScanVerbsTest, TakesForeignProvidersAndPrefixes) {
  const absl::StatusOr<CommandLine> line =
      ParseScan({"--foreign-provider", "vault", "--foreign-provider", "aws", "--prefix",
                 "/tenant.one/registry", "--prefix", "/registry/tenant-2/"});
  KEKD_ASSERT_OK(line);
  const ScanVerb& verb = std::get<ScanVerb>(line->verb);
  EXPECT_THAT(verb.foreign_providers, ElementsAre("vault", "aws"));
  EXPECT_THAT(verb.etcd.prefixes, ElementsAre("/tenant.one/registry/", "/registry/tenant-2/"));
}

// Below a prefix that says too much every object is of another resource than it is, and rules about
// its own find none.
TEST(ScanVerbsTest, RefusesPrefixesThatSayMoreThanAllKeysHave) {
  const auto refused = [](const std::vector<const char*>& more, const char* why) {
    EXPECT_THAT(ParseScan(more), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(why)));
  };
  for (const char* prefix :
       {"/registry/secrets", "/registry/secrets/", "/secrets", "/registry/secrets/default",
        "/kubernetes.io/minions", "/tenant/registry/configmaps", "/registry/example.com"}) {
    refused({"--prefix", prefix}, "goes on with a resource");
  }
  refused({"--prefix", "/registry", "--prefix", "/registry/tenant"}, "lies below --prefix");
  refused({"--prefix", "/a", "--prefix", "/a/"}, "lies below --prefix");
}

}  // namespace
}  // namespace kekd
