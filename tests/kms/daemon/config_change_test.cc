#include "kms/daemon/config_change.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "tests/support/status_matchers.h"

namespace kekd::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

Config Running() {
  Config config;
  config.state_directory = "/state";
  config.admin_socket.path = "/run/admin.sock";
  for (const char* name : {"a", "b"}) {
    KeyringConfig keyring;
    keyring.name = name;
    keyring.directory = std::string("/rings/") + name;
    keyring.unlock.emplace_back().value = "/keys/file";
    keyring.socket.path = std::string("/run/") + name;
    config.keyrings.push_back(keyring);
  }
  return config;
}

TEST(ConfigChangeTest, TakesWhatMayChangeInTheRunningOrder) {
  Config next = Running();
  std::swap(next.keyrings[0], next.keyrings[1]);
  next.log_level = LogLevel::kDebug;
  next.log_format = LogFormat::kJson;
  next.admin_socket.mode = 0660;
  next.admin_socket.allowed_groups = {7};
  next.keyrings[0].unlock.emplace_back().value = "/keys/another";
  next.keyrings[0].socket.allowed_users = {5};
  KEKD_ASSERT_OK_AND_ASSIGN(const Config taken, ReloadableConfig(Running(), next));
  EXPECT_EQ(taken.log_level, LogLevel::kDebug);
  EXPECT_EQ(taken.log_format, LogFormat::kJson);
  EXPECT_EQ(taken.admin_socket.mode, 0660u);
  ASSERT_EQ(taken.keyrings.size(), 2u);
  EXPECT_EQ(taken.keyrings[0].name, "a");
  EXPECT_EQ(taken.keyrings[1].name, "b");
  EXPECT_EQ(taken.keyrings[1].unlock.size(), 2u);
  EXPECT_EQ(taken.keyrings[1].socket.allowed_users.front(), 5u);
}

TEST(ConfigChangeTest, NamesWhatNeedsARestart) {
  const std::pair<const char*, std::function<void(Config&)>> changes[] = {
      {"stateDirectory", [](Config& c) { c.state_directory = "/other"; }},
      {"admin.socket.path", [](Config& c) { c.admin_socket.path = "/other"; }},
      {"memory.locking", [](Config& c) { c.memory_locking = MemoryLocking::kPreferred; }},
      {"keyring \"a\" directory", [](Config& c) { c.keyrings[0].directory = "/other"; }},
      {"keyring \"b\" socket.path", [](Config& c) { c.keyrings[1].socket.path = "@b"; }},
      {"keyring \"b\" is gone", [](Config& c) { c.keyrings.pop_back(); }},
      {"keyring \"c\" is new", [](Config& c) { c.keyrings.emplace_back().name = "c"; }},
  };
  Config all = Running();
  for (const auto& [text, change] : changes) {
    Config next = Running();
    change(next);
    EXPECT_THAT(ReloadableConfig(Running(), next),
                StatusIs(absl::StatusCode::kFailedPrecondition,
                         AllOf(HasSubstr(text), HasSubstr("restart kekd"))));
  }
  all.state_directory = "/other";
  all.keyrings[0].name = "c";
  EXPECT_THAT(ReloadableConfig(Running(), all),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr("stateDirectory"), HasSubstr("\"a\" is gone"),
                             HasSubstr("\"c\" is new"))));
}

}  // namespace
}  // namespace kekd::testing
