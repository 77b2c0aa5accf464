#include "kms/daemon/service_manager.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "base/unix_socket.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace kekd::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::StartsWith;

constexpr const char* kVariables[] = {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID",
                                      "LISTEN_PID",    "LISTEN_FDS",    "LISTEN_FDNAMES"};

class ServiceManagerTest : public ::testing::Test {
 protected:
  ~ServiceManagerTest() override {
    for (const char* name : kVariables) unsetenv(name);
  }
  static void Set(const char* name, const std::string& value) { setenv(name, value.c_str(), 1); }
  static void ExpectEnvironmentClean() {
    for (const char* name : kVariables) EXPECT_EQ(getenv(name), nullptr) << name;
  }

  // The manager's end.
  void Listen(const std::string& address_text) {
    manager_ = UniqueFd(socket(AF_UNIX, SOCK_DGRAM, 0));
    const UnixAddress address = UnixAddress::FromText(address_text).value();
    ASSERT_EQ(bind(manager_.get(), address.get(), address.size()), 0);
    Set("NOTIFY_SOCKET", address_text);
  }
  // The next message; a descriptor that came with it is put into passed_.
  std::string Next() {
    char buffer[4096];
    iovec text = {buffer, sizeof(buffer)};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    msghdr header = {};
    header.msg_iov = &text;
    header.msg_iovlen = 1;
    header.msg_control = control;
    header.msg_controllen = sizeof(control);
    const ssize_t n = recvmsg(manager_.get(), &header, MSG_DONTWAIT);
    if (n < 0) return "(nothing)";
    if (const cmsghdr* rights = CMSG_FIRSTHDR(&header)) {
      int fd;
      memcpy(&fd, CMSG_DATA(rights), sizeof(fd));
      passed_ = UniqueFd(fd);
    }
    return std::string(buffer, static_cast<size_t>(n));
  }

  TempDirectory folder_;
  UniqueFd manager_;
  UniqueFd passed_;
};

TEST_F(ServiceManagerTest, TellsNobodyWithoutOne) {
  KEKD_ASSERT_OK_AND_ASSIGN(ServiceManager none, ServiceManager::FromEnvironment());
  EXPECT_FALSE(none.present());
  EXPECT_EQ(none.watchdog_period(), absl::ZeroDuration());
  EXPECT_TRUE(none.TakeDescriptors().empty());
  none.Ready("x");
  none.Watchdog();
}

TEST_F(ServiceManagerTest, SaysWhatIsSaidByPathAndInTheAbstractNamespace) {
  for (const std::string& address :
       {folder_.File("notify"), absl::StrCat("@kekd-notify-test-", getpid())}) {
    Listen(address);
    KEKD_ASSERT_OK_AND_ASSIGN(ServiceManager manager, ServiceManager::FromEnvironment());
    ASSERT_TRUE(manager.present());
    ExpectEnvironmentClean();
    manager.Ready("serving prod\nREADY=0");
    EXPECT_EQ(Next(), "READY=1\nSTATUS=serving prod READY=0");
    manager.Status("degraded: x");
    EXPECT_EQ(Next(), "STATUS=degraded: x");
    manager.Watchdog();
    EXPECT_EQ(Next(), "WATCHDOG=1");
    manager.Reloading();
    EXPECT_THAT(Next(), MatchesRegex("RELOADING=1\nMONOTONIC_USEC=[0-9]+\nSTATUS=.*"));
    manager.Stopping();
    EXPECT_THAT(Next(), StartsWith("STOPPING=1\n"));
    EXPECT_EQ(Next(), "(nothing)");
  }
}

TEST_F(ServiceManagerTest, HasADescriptorKept) {
  Listen(folder_.File("notify"));
  KEKD_ASSERT_OK_AND_ASSIGN(ServiceManager manager, ServiceManager::FromEnvironment());
  manager.ForgetKept();
  EXPECT_EQ(Next(), "FDSTOREREMOVE=1\nFDNAME=kekd-kept");
  const UniqueFd file(open("/dev/zero", O_RDONLY));
  manager.Keep(file.get());
  EXPECT_EQ(Next(), "FDSTORE=1\nFDNAME=kekd-kept");
  char byte = 'x';
  EXPECT_EQ(read(passed_.get(), &byte, 1), 1);
  EXPECT_EQ(byte, '\0');
}

TEST_F(ServiceManagerTest, ServesOnIfTheManagerIsGone) {
  Set("NOTIFY_SOCKET", folder_.File("nobody"));
  KEKD_ASSERT_OK_AND_ASSIGN(const ServiceManager unreachable, ServiceManager::FromEnvironment());
  EXPECT_FALSE(unreachable.present());
  Listen(folder_.File("notify"));
  KEKD_ASSERT_OK_AND_ASSIGN(ServiceManager manager, ServiceManager::FromEnvironment());
  manager_.Reset();
  manager.Ready("x");
  manager.Watchdog();
}

TEST_F(ServiceManagerTest, TakesTheWatchdogThatIsMeantForIt) {
  Set("WATCHDOG_USEC", "20000000");
  Set("WATCHDOG_PID", absl::StrCat(getpid()));
  EXPECT_EQ(ServiceManager::FromEnvironment()->watchdog_period(), absl::Seconds(20));
  ExpectEnvironmentClean();
  Set("WATCHDOG_USEC", "1000");
  EXPECT_EQ(ServiceManager::FromEnvironment()->watchdog_period(), absl::Milliseconds(1));
  Set("WATCHDOG_USEC", "20000000");
  Set("WATCHDOG_PID", "1");
  EXPECT_EQ(ServiceManager::FromEnvironment()->watchdog_period(), absl::ZeroDuration());
  ExpectEnvironmentClean();
}

TEST_F(ServiceManagerTest, IgnoresDescriptorsOfAnotherProcess) {
  Set("LISTEN_FDS", "2");
  EXPECT_TRUE(ServiceManager::FromEnvironment()->TakeDescriptors().empty());
  Set("LISTEN_FDS", "2");
  Set("LISTEN_PID", "1");
  EXPECT_TRUE(ServiceManager::FromEnvironment()->TakeDescriptors().empty());
  ExpectEnvironmentClean();
}

TEST_F(ServiceManagerTest, RefusesWhatMakesNoSense) {
  const std::string self = absl::StrCat(getpid());
  for (const auto& [name, value] :
       std::initializer_list<std::pair<const char*, const char*>>{{"NOTIFY_SOCKET", "relative"},
                                                                  {"NOTIFY_SOCKET", ""},
                                                                  {"WATCHDOG_USEC", "soon"},
                                                                  {"WATCHDOG_USEC", "0"},
                                                                  {"WATCHDOG_USEC", "-5"},
                                                                  {"LISTEN_FDS", "-1"},
                                                                  {"LISTEN_FDS", "many"},
                                                                  {"LISTEN_FDS", "1000000"}}) {
    Set("LISTEN_PID", self);
    Set(name, value);
    EXPECT_THAT(ServiceManager::FromEnvironment(),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(name)))
        << name << "=" << value;
    for (const char* variable : kVariables) unsetenv(variable);
  }
  Set("LISTEN_PID", self);
  Set("LISTEN_FDS", "2");
  Set("LISTEN_FDNAMES", "one");
  EXPECT_THAT(ServiceManager::FromEnvironment(),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("LISTEN_FDNAMES")));
}

}  // namespace
}  // namespace kekd::testing
