#include "hsm/worker_spawn.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/posix_error.h"
#include "base/status_macros.h"
#include "hsm/token/worker_message.h"

namespace kekd {
namespace {

class FileActions final {
 public:
  FileActions() { posix_spawn_file_actions_init(&actions_); }
  ~FileActions() { posix_spawn_file_actions_destroy(&actions_); }
  FileActions(const FileActions&) = delete;
  FileActions& operator=(const FileActions&) = delete;
  posix_spawn_file_actions_t* get() { return &actions_; }

 private:
  posix_spawn_file_actions_t actions_;
};

class Attributes final {
 public:
  Attributes() { posix_spawnattr_init(&attributes_); }
  ~Attributes() { posix_spawnattr_destroy(&attributes_); }
  Attributes(const Attributes&) = delete;
  Attributes& operator=(const Attributes&) = delete;
  posix_spawnattr_t* get() { return &attributes_; }

 private:
  posix_spawnattr_t attributes_;
};

absl::Status Failed(int error, absl::string_view what) {
  return absl::UnavailableError(PosixError(error, what).message());
}

// Above all that the child's descriptors are dup2'ed to, so that none is overwritten before its
// turn.
absl::StatusOr<UniqueFd> MovedUp(UniqueFd fd, uint32_t channels) {
  const int lowest = kFirstChannel + static_cast<int>(channels);
  UniqueFd moved(::fcntl(fd.get(), F_DUPFD_CLOEXEC, lowest));
  if (!moved.valid()) return Failed(errno, "F_DUPFD_CLOEXEC for the HSM worker");
  return moved;
}

std::vector<char*> WorkerEnvironment() {
  std::vector<char*> variables;
  for (char** variable = environ; variable != nullptr && *variable != nullptr; ++variable) {
    if (IsForWorker(*variable)) variables.push_back(*variable);
  }
  variables.push_back(nullptr);
  return variables;
}

void SetUpSignals(posix_spawnattr_t* attributes) {
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(attributes, &none);
  posix_spawnattr_setsigdefault(attributes, &all);
  posix_spawnattr_setpgroup(attributes, 0);
  posix_spawnattr_setflags(attributes,
                           POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
}

// What a module prints to its stdout must not get into what kekctl prints to its own.
int AddStandardFiles(posix_spawn_file_actions_t* actions) {
  int error = posix_spawn_file_actions_addopen(actions, STDIN_FILENO, "/dev/null", O_RDWR, 0);
  if (error == 0 && ::fcntl(STDERR_FILENO, F_GETFD) < 0) {
    error = posix_spawn_file_actions_addopen(actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  }
  // What a module prints goes nowhere.
  if (error == 0) error = posix_spawn_file_actions_adddup2(actions, STDIN_FILENO, STDOUT_FILENO);
  return error;
}

}  // namespace

bool IsForWorker(absl::string_view variable) {
  const std::string name =
      absl::AsciiStrToUpper(variable.substr(0, std::min(variable.find('='), variable.size())));
  for (const absl::string_view secret : {"SECRET", "PASSWORD", "PASSPHRASE", "CREDENTIAL"}) {
    if (absl::StrContains(name, secret)) return false;
  }
  for (const absl::string_view secret : {"_PIN", "_TOKEN", "_KEY"}) {
    if (absl::EndsWith(name, secret)) return false;
  }
  // systemd's, for the process that they were given to.
  for (const absl::string_view systemd : {"LISTEN_", "NOTIFY_SOCKET", "WATCHDOG_"}) {
    if (absl::StartsWith(name, systemd)) return false;
  }
  return true;
}

absl::StatusOr<SpawnedWorker> SpawnWorker(const std::string& program, uint32_t channels) {
  SpawnedWorker worker;
  std::vector<UniqueFd> theirs;
  FileActions actions;
  int error = AddStandardFiles(actions.get());
  for (uint32_t i = 0; i < channels && error == 0; ++i) {
    int pair[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
      return Failed(errno, "socketpair for the HSM worker");
    }
    worker.channels.emplace_back(pair[0]);
    UniqueFd other(pair[1]);
    KEKD_ASSIGN_OR_RETURN(theirs.emplace_back(), MovedUp(std::move(other), channels));
    error = posix_spawn_file_actions_adddup2(actions.get(), theirs.back().get(),
                                             kFirstChannel + static_cast<int>(i));
  }
  if (error == 0) {
    error = posix_spawn_file_actions_addclosefrom_np(actions.get(),
                                                     kFirstChannel + static_cast<int>(channels));
  }
  if (error != 0) return Failed(error, "posix_spawn_file_actions for the HSM worker");
  Attributes attributes;
  SetUpSignals(attributes.get());
  std::string name = program;
  std::string count = absl::StrCat(channels);
  char* const arguments[] = {name.data(), count.data(), nullptr};
  const std::vector<char*> environment = WorkerEnvironment();
  error = posix_spawn(&worker.pid, program.c_str(), actions.get(), attributes.get(), arguments,
                      environment.data());
  if (error != 0) return Failed(error, absl::StrCat("starting ", program));
  return worker;
}

}  // namespace kekd
