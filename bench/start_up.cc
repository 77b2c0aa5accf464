#include "bench/start_up.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/posix_error.h"
#include "base/status_macros.h"
#include "bench/measurement.h"
#include "bench/thin_client.h"

extern char** environ;

namespace kekd::bench {
namespace {

constexpr double kMaxMicros = 10e6;
// Long enough to leave the processor to the server, which shares it; short against what is
// measured.
constexpr timespec kBetweenProbes = {0, 20'000};

// A child that does not outlive its owner.
class Child final {
 public:
  static absl::StatusOr<std::unique_ptr<Child>> Spawn(const StartUpOptions& options) {
    std::vector<char*> argv(options.command.size() + 1, nullptr);  // the last one ends the list
    std::transform(options.command.begin(), options.command.end(), argv.begin(),
                   [](const std::string& word) { return const_cast<char*>(word.c_str()); });
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, options.log.c_str(),
                                     O_WRONLY | O_CREAT | O_APPEND, 0600);
    posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
    pid_t pid = 0;
    const int error = posix_spawn(&pid, argv[0], &actions, nullptr, argv.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    if (error != 0) return PosixError(error, absl::StrCat("posix_spawn ", options.command[0]));
    return std::unique_ptr<Child>(new Child(pid));
  }

  ~Child() { Stop(); }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  pid_t pid() const { return pid_; }

  bool HasEnded() {
    if (!ended_) ended_ = waitpid(pid_, nullptr, WNOHANG) == pid_;
    return ended_;
  }

  void Stop() {
    if (ended_) return;
    kill(pid_, SIGTERM);
    waitpid(pid_, nullptr, 0);
    ended_ = true;
  }

 private:
  explicit Child(pid_t pid) : pid_(pid) {}
  const pid_t pid_;
  bool ended_ = false;
};

absl::Status Probe(const std::string& socket) {
  KEKD_ASSIGN_OR_RETURN(const std::unique_ptr<ThinClient> client, ThinClient::Connect(socket));
  ::v2::StatusResponse response;
  KEKD_RETURN_IF_ERROR(client->Status(::v2::StatusRequest(), response));
  if (response.healthz() == "ok") return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("healthz: ", response.healthz()));
}

absl::StatusOr<StartUp> MeasureStartUp(const StartUpOptions& options) {
  const double begin = SteadyMicros();
  KEKD_ASSIGN_OR_RETURN(const std::unique_ptr<Child> child, Child::Spawn(options));
  StartUp result;
  for (;;) {
    const absl::Status status = Probe(options.socket);
    result.micros = SteadyMicros() - begin;
    if (status.ok()) break;
    if (child->HasEnded() || result.micros > kMaxMicros) {
      return absl::UnavailableError(absl::StrCat(options.command[0], " does not answer: ",
                                                 status.message(), "; its log is ", options.log));
    }
    nanosleep(&kBetweenProbes, nullptr);
  }
  KEKD_ASSIGN_OR_RETURN(result.resident_kib, ResidentKib(child->pid()));
  return result;
}

}  // namespace

absl::StatusOr<std::vector<StartUp>> MeasureStartUps(const StartUpOptions& options) {
  std::vector<StartUp> results;
  for (int i = 0; i < options.starts; ++i) {
    KEKD_ASSIGN_OR_RETURN(const StartUp result, MeasureStartUp(options));
    results.push_back(result);
    unlink(options.socket.c_str());
  }
  return results;
}

}  // namespace kekd::bench
