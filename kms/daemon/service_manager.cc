#include "kms/daemon/service_manager.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/log.h"
#include "base/posix_error.h"
#include "base/status_macros.h"
#include "base/unix_socket.h"

namespace kekd {
namespace {

constexpr int kFirstPassed = 3;   // SD_LISTEN_FDS_START
constexpr int kMaxPassed = 1024;  // more than there can be sockets in a configuration
// A manager that does not read must not hold us for good.
constexpr timeval kSendTimeout = {5, 0};

std::optional<std::string> TakeVariable(const char* name) {
  const char* value = getenv(name);
  if (value == nullptr) return std::nullopt;
  std::string taken = value;
  unsetenv(name);
  return taken;
}

absl::Status BadVariable(absl::string_view name, absl::string_view value) {
  return absl::InvalidArgumentError(
      absl::StrCat(name, "=\"", absl::CHexEscape(value), "\" in the environment makes no sense"));
}

// Whether a variable that names the process it is meant for means this one.
bool MeansUs(const std::optional<std::string>& pid) {
  int64_t number = 0;
  return pid.has_value() && absl::SimpleAtoi(*pid, &number) && number == getpid();
}

// One line: a line break would begin another variable.
std::string OneLine(absl::string_view text) {
  std::string line(text);
  for (char& c : line) {
    if (absl::ascii_iscntrl(static_cast<unsigned char>(c))) c = ' ';
  }
  return line;
}

}  // namespace

absl::StatusOr<ServiceManager> ServiceManager::FromEnvironment() {
  ServiceManager manager;
  KEKD_RETURN_IF_ERROR(manager.TakeNotifySocket());
  KEKD_RETURN_IF_ERROR(manager.TakeWatchdog());
  KEKD_RETURN_IF_ERROR(manager.TakeListenDescriptors());
  return manager;
}

absl::Status ServiceManager::TakeNotifySocket() {
  const std::optional<std::string> path = TakeVariable("NOTIFY_SOCKET");
  if (!path.has_value()) return absl::OkStatus();
  if ((*path)[0] != '/' && (*path)[0] != '@') return BadVariable("NOTIFY_SOCKET", *path);
  KEKD_ASSIGN_OR_RETURN(const UnixAddress address, UnixAddress::FromText(*path));
  UniqueFd fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return PosixError(errno, "socket");
  setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &kSendTimeout, sizeof(kSendTimeout));
  if (connect(fd.get(), address.get(), address.size()) != 0) {
    // kekd serves all the same; the manager ends it in time if it had to know.
    LogWarning("can't tell the service manager how kekd does",
               {{"error", PosixError(errno, absl::StrCat("connect ", *path)).message()}});
    return absl::OkStatus();
  }
  socket_ = std::move(fd);
  return absl::OkStatus();
}

absl::Status ServiceManager::TakeWatchdog() {
  const std::optional<std::string> period = TakeVariable("WATCHDOG_USEC");
  const std::optional<std::string> pid = TakeVariable("WATCHDOG_PID");
  if (!period.has_value() || (pid.has_value() && !MeansUs(pid))) return absl::OkStatus();
  int64_t microseconds = 0;
  if (!absl::SimpleAtoi(*period, &microseconds) || microseconds <= 0) {
    return BadVariable("WATCHDOG_USEC", *period);
  }
  watchdog_period_ = absl::Microseconds(microseconds);
  return absl::OkStatus();
}

absl::Status ServiceManager::TakeListenDescriptors() {
  const std::optional<std::string> pid = TakeVariable("LISTEN_PID");
  const std::optional<std::string> count_text = TakeVariable("LISTEN_FDS");
  const std::optional<std::string> names_text = TakeVariable("LISTEN_FDNAMES");
  if (!count_text.has_value() || !MeansUs(pid)) return absl::OkStatus();
  int count = 0;
  if (!absl::SimpleAtoi(*count_text, &count) || count < 0 || count > kMaxPassed) {
    return BadVariable("LISTEN_FDS", *count_text);
  }
  std::vector<std::string> names;
  if (names_text.has_value()) names = absl::StrSplit(*names_text, ':');
  if (names_text.has_value() && count > 0 && names.size() != static_cast<size_t>(count)) {
    return BadVariable("LISTEN_FDNAMES", *names_text);
  }
  for (int i = 0; i < count; ++i) {
    const int fd = kFirstPassed + i;
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
      return absl::InvalidArgumentError(absl::StrCat(
          "LISTEN_FDS=", count, " in the environment, but descriptor ", fd, " is not open"));
    }
    descriptors_.push_back({UniqueFd(fd), names.empty() ? "" : names[static_cast<size_t>(i)]});
  }
  return absl::OkStatus();
}

void ServiceManager::Ready(absl::string_view status) {
  Send(absl::StrCat("READY=1\nSTATUS=", OneLine(status)));
}

void ServiceManager::Reloading() {
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  Send(absl::StrCat(
      "RELOADING=1\nMONOTONIC_USEC=", absl::ToInt64Microseconds(absl::DurationFromTimespec(now)),
      "\nSTATUS=reading the configuration again"));
}

void ServiceManager::Stopping() { Send("STOPPING=1\nSTATUS=letting calls end"); }
void ServiceManager::Status(absl::string_view status) {
  Send(absl::StrCat("STATUS=", OneLine(status)));
}
void ServiceManager::Watchdog() { Send("WATCHDOG=1"); }
void ServiceManager::Keep(int fd) { Send(absl::StrCat("FDSTORE=1\nFDNAME=", kKeptName), fd); }
void ServiceManager::ForgetKept() { Send(absl::StrCat("FDSTOREREMOVE=1\nFDNAME=", kKeptName)); }

void ServiceManager::Send(absl::string_view message, int fd) {
  if (!socket_.valid()) return;
  iovec text = {const_cast<char*>(message.data()), message.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(fd))] = {};
  msghdr header = {};
  header.msg_iov = &text;
  header.msg_iovlen = 1;
  if (fd >= 0) {
    header.msg_control = control;
    header.msg_controllen = sizeof(control);
    cmsghdr* const rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(fd));
    memcpy(CMSG_DATA(rights), &fd, sizeof(fd));
  }
  if (sendmsg(socket_.get(), &header, MSG_NOSIGNAL) >= 0 || failure_logged_) return;
  failure_logged_ = true;
  LogWarning("can't tell the service manager how kekd does",
             {{"error", PosixError(errno, "sendmsg").message()}});
}

}  // namespace kekd
