#include "hsm/worker_process.h"

#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstring>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "base/monotonic.h"
#include "base/mutex.h"
#include "base/posix_error.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"
#include "hsm/worker_spawn.h"

namespace kekd {
namespace {

constexpr absl::string_view kProgramName = "kekd-hsm-worker";
// How long somebody who saw the connection end waits for the reason.
constexpr absl::Duration kReasonWait = absl::Milliseconds(200);
constexpr absl::Duration kReapWait = absl::Seconds(1);
// How long the rest of a frame may take whose first byte is there.
constexpr absl::Duration kFrameWait = absl::Milliseconds(50);
// How often one who waits for a channel looks whether an answer that nobody waits for has come.
constexpr absl::Duration kDrainInterval = absl::Milliseconds(5);

bool MayTakeLong(WorkerVerb verb) {
  return verb != WorkerVerb::kEncrypt && verb != WorkerVerb::kDecrypt && verb != WorkerVerb::kProbe;
}

std::string EndText(const siginfo_t& info) {
  if (info.si_code == CLD_EXITED) return absl::StrCat("it ended with code ", info.si_status);
  const char* name = ::sigabbrev_np(info.si_status);
  return absl::StrCat("it was killed by signal ", info.si_status,
                      name == nullptr ? "" : absl::StrCat(" (SIG", name, ")"));
}

bool HasData(int fd) {
  char byte;
  return ::recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

}  // namespace

absl::string_view ToString(WorkerVerb verb) {
  switch (verb) {
    case WorkerVerb::kStart:
      return "start";
    case WorkerVerb::kEncrypt:
      return "encrypt";
    case WorkerVerb::kDecrypt:
      return "decrypt";
    case WorkerVerb::kGenerate:
      return "generate";
    case WorkerVerb::kAdopt:
      return "adopt";
    case WorkerVerb::kDestroy:
      return "destroy";
    case WorkerVerb::kList:
      return "list";
    case WorkerVerb::kDescribe:
      return "describe";
    case WorkerVerb::kProbe:
      return "probe";
    case WorkerVerb::kMeasure:
      return "measure";
    case WorkerVerb::kTry:
      return "try";
    case WorkerVerb::kAttest:
      return "attest";
  }
  return "unknown";
}

struct WorkerProcess::State {
  enum class Use : uint8_t {
    kFree,
    kBusy,       // one thread's
    kAbandoned,  // its caller's deadline came before its answer
  };
  struct Channel {
    UniqueFd fd;  // the number does not change while the worker lives
    Use use = Use::kFree;
    WorkerVerb verb = WorkerVerb::kStart;         // what is under way
    absl::Time hang_at = absl::InfiniteFuture();  // when that hangs
  };

  void KillLocked(absl::string_view why) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  // Takes the answers that nobody waits for; ends a worker that does not give them.
  void LookAfterAbandonedLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu);
  // The thread that waits for the end of the process.
  static void Reap(const std::shared_ptr<State>& state);

  pid_t pid = 0;
  Mutex mu;
  CondVar changed;
  std::vector<Channel> channels ABSL_GUARDED_BY(mu);
  bool alive ABSL_GUARDED_BY(mu) = true;
  bool reaped ABSL_GUARDED_BY(mu) = false;  // then the pid is somebody else's
  std::string end ABSL_GUARDED_BY(mu);
};

struct WorkerProcess::Lease {
  std::shared_ptr<State> state;
  size_t index = 0;
  int fd = -1;
  State::Use left_as = State::Use::kFree;

  Lease(std::shared_ptr<State> of, size_t channel, int descriptor)
      : state(std::move(of)), index(channel), fd(descriptor) {}
  Lease(Lease&&) = default;
  Lease& operator=(Lease&&) = delete;
  ~Lease() {
    if (state == nullptr) return;
    MutexLock lock(&state->mu);
    state->channels[index].use = left_as;
    state->changed.NotifyAll();
  }
};

void WorkerProcess::State::KillLocked(absl::string_view why) {
  // The group too: what a module has started in it may hold the token, or our sockets.
  if (!reaped) {
    ::kill(pid, SIGKILL);
    ::kill(-pid, SIGKILL);
  }
  // Those that wait for an answer wake up; the descriptors stay until nobody can hold one.
  for (const Channel& channel : channels) ::shutdown(channel.fd.get(), SHUT_RDWR);
  if (alive) end = std::string(why);
  alive = false;
  changed.NotifyAll();
}

void WorkerProcess::State::LookAfterAbandonedLocked() {
  for (Channel& channel : channels) {
    if (!alive || channel.use != Use::kAbandoned) continue;
    if (HasData(channel.fd.get())) {
      const absl::StatusOr<WorkerFrame> late =
          ReceiveFrame(channel.fd.get(), MonotonicNow() + kFrameWait);
      if (!late.ok()) {
        KillLocked(absl::StrCat("a late answer to ", ToString(channel.verb),
                                " was none: ", late.status().message()));
        return;
      }
      channel.use = Use::kFree;
    } else if (MonotonicNow() >= channel.hang_at) {
      KillLocked(absl::StrCat(ToString(channel.verb), " hung"));
    }
  }
}

void WorkerProcess::State::Reap(const std::shared_ptr<State>& state) {
  siginfo_t info = {};
  int waited = 0;
  do {
    waited = ::waitid(P_PID, static_cast<id_t>(state->pid), &info, WEXITED | WNOWAIT);
  } while (waited != 0 && errno == EINTR);
  MutexLock lock(&state->mu);
  const std::string why = waited == 0 ? EndText(info) : "it ended";
  ::kill(-state->pid, SIGKILL);  // while the number is still its own
  while (::waitpid(state->pid, nullptr, 0) < 0 && errno == EINTR) {
  }
  state->reaped = true;
  state->KillLocked(why);
}

WorkerProcess::WorkerProcess(pid_t pid, std::shared_ptr<State> state, absl::Duration call_timeout)
    : pid_(pid), state_(std::move(state)), call_timeout_(call_timeout) {}

absl::StatusOr<std::shared_ptr<WorkerProcess>> WorkerProcess::Spawn(const Options& options) {
  if (options.channels == 0 || options.channels > kMaxChannels) {
    return absl::InvalidArgumentError(
        absl::StrCat("an HSM worker has 1 to ", kMaxChannels, " channels"));
  }
  std::string program = options.program;
  if (program.empty()) {
    KEKD_ASSIGN_OR_RETURN(program, FindWorkerProgram());
  }
  KEKD_ASSIGN_OR_RETURN(SpawnedWorker spawned, SpawnWorker(program, options.channels));
  auto state = std::make_shared<State>();
  state->pid = spawned.pid;
  {
    MutexLock lock(&state->mu);
    for (UniqueFd& fd : spawned.channels) state->channels.emplace_back().fd = std::move(fd);
  }
  try {
    std::thread([state] { State::Reap(state); }).detach();
  } catch (const std::system_error& error) {
    ::kill(spawned.pid, SIGKILL);
    ::waitpid(spawned.pid, nullptr, 0);
    return absl::UnavailableError(
        absl::StrCat("no thread to wait for the HSM worker: ", error.what()));
  }
  return std::shared_ptr<WorkerProcess>(
      new WorkerProcess(spawned.pid, std::move(state), options.call_timeout));
}

absl::Status WorkerProcess::Configure(const Options& options, absl::Time deadline) {
  WorkerRequest request;
  request.verb = WorkerVerb::kStart;
  request.config = options.config;
  absl::StatusOr<WorkerResponse> response = Call(request, deadline);
  if (!response.ok()) {
    Kill(absl::StrCat("its start failed: ", response.status().message()));
    return absl::UnavailableError(
        absl::StrCat("the HSM worker did not start: ", response.status().message()));
  }
  if (response->restart) {
    Kill(absl::StrCat("it asked for another: ", response->status.message()));
    return absl::UnavailableError(response->status.message());
  }
  start_status_ = std::move(response->status);
  token_ = std::move(response->token);
  return absl::OkStatus();
}

WorkerProcess::~WorkerProcess() {
  Kill("kekd ended it");
  const absl::Time give_up = MonotonicNow() + kReapWait;
  MutexLock lock(&state_->mu);
  while (!state_->reaped && MonotonicNow() < give_up) {
    state_->changed.WaitFor(&state_->mu, give_up - MonotonicNow());
  }
  // No call is under way any more, so nobody holds a descriptor.
  state_->channels.clear();
}

bool WorkerProcess::alive() const {
  MutexLock lock(&state_->mu);
  return state_->alive;
}

std::string WorkerProcess::end() const {
  MutexLock lock(&state_->mu);
  return state_->end;
}

void WorkerProcess::Kill(absl::string_view why) {
  MutexLock lock(&state_->mu);
  state_->KillLocked(why);
}

// Whoever saw the connection end: the reason is known in a moment.
absl::Status WorkerProcess::Ended() {
  const absl::Time give_up = MonotonicNow() + kReasonWait;
  MutexLock lock(&state_->mu);
  while (state_->alive && MonotonicNow() < give_up) {
    state_->changed.WaitFor(&state_->mu, give_up - MonotonicNow());
  }
  if (state_->alive) state_->KillLocked("it closed a channel");
  return absl::UnavailableError(absl::StrCat("the HSM worker is gone: ", state_->end));
}

absl::StatusOr<WorkerProcess::Lease> WorkerProcess::Acquire(WorkerVerb verb, absl::Time deadline) {
  State& state = *state_;
  MutexLock lock(&state.mu);
  while (true) {
    state.LookAfterAbandonedLocked();
    if (!state.alive) {
      return absl::UnavailableError(absl::StrCat("the HSM worker is gone: ", state.end));
    }
    bool abandoned = false;
    for (size_t i = 0; i < state.channels.size(); ++i) {
      State::Channel& channel = state.channels[i];
      abandoned = abandoned || channel.use == State::Use::kAbandoned;
      if (channel.use != State::Use::kFree) continue;
      // An answer that nobody asked for: whose, and to which of the next questions?
      if (HasData(channel.fd.get())) {
        state.KillLocked("it answered what it was not asked");
        break;
      }
      channel.use = State::Use::kBusy;
      channel.verb = verb;
      return Lease(state_, i, channel.fd.get());
    }
    if (!state.alive) continue;
    const absl::Duration left = deadline - MonotonicNow();
    if (left <= absl::ZeroDuration()) {
      return absl::DeadlineExceededError("every channel to the HSM worker is busy");
    }
    state.changed.WaitFor(
        &state.mu, abandoned ? std::min(left, kDrainInterval) : std::min(left, absl::Hours(1)));
  }
}

absl::StatusOr<WorkerResponse> WorkerProcess::Call(WorkerRequest& request, absl::Time deadline) {
  // It hangs by the time that it may take itself, not by the time that it waited for its turn.
  KEKD_ASSIGN_OR_RETURN(Lease lease, Acquire(request.verb, deadline));
  const absl::Time now = MonotonicNow();
  if (now >= deadline) return absl::DeadlineExceededError("too late to ask the HSM worker");
  const absl::Time hang_at =
      MayTakeLong(request.verb) ? std::max(deadline, now + call_timeout_) : now + call_timeout_;
  request.timeout = std::max(std::min(deadline, hang_at) - now, absl::ZeroDuration());
  {
    MutexLock lock(&state_->mu);
    state_->channels[lease.index].hang_at = hang_at;
  }
  return CallOn(lease, request, hang_at, deadline);
}

absl::StatusOr<WorkerResponse> WorkerProcess::CallOn(Lease& lease, const WorkerRequest& request,
                                                     absl::Time hang_at, absl::Time deadline) {
  const absl::string_view verb = ToString(request.verb);
  const absl::Time until = std::min(deadline, hang_at);
  const absl::Status sent = SendFrame(lease.fd, Encode(request), until);
  if (absl::IsInvalidArgument(sent)) return sent;  // nothing was sent
  if (absl::IsUnavailable(sent)) return Ended();
  if (!sent.ok()) {
    Kill(absl::StrCat("it did not read ", verb, ": ", sent.message()));
    return Ended();
  }
  const absl::Status answered = AwaitFrame(lease.fd, until);
  if (absl::IsDeadlineExceeded(answered) && MonotonicNow() < hang_at) {
    lease.left_as = State::Use::kAbandoned;
    return absl::DeadlineExceededError(
        absl::StrCat("the HSM worker has not answered ", verb, " within the deadline"));
  }
  if (absl::IsDeadlineExceeded(answered)) {
    Kill(absl::StrCat(verb, " was not answered within ", absl::FormatDuration(request.timeout)));
    return Ended();
  }
  absl::StatusOr<WorkerFrame> frame = ReceiveFrame(lease.fd, MonotonicNow() + kFrameWait);
  if (absl::IsUnavailable(frame.status())) return Ended();
  absl::StatusOr<WorkerResponse> response = frame.ok()
                                                ? DecodeResponse(request.verb, *std::move(frame))
                                                : absl::StatusOr<WorkerResponse>(frame.status());
  if (response.ok()) return response;
  // The worker can't be trusted any further.
  Kill(absl::StrCat("its answer to ", verb, " is none: ", response.status().message()));
  return Ended();
}

absl::StatusOr<std::string> FindWorkerProgram() {
  std::string self(PATH_MAX, '\0');
  const ssize_t size = ::readlink("/proc/self/exe", self.data(), self.size());
  if (size < 0) return PosixError(errno, "readlink /proc/self/exe");
  self.resize(static_cast<size_t>(size));
  const std::string folder = self.substr(0, self.rfind('/'));
  const std::string beside = absl::StrCat(folder, "/", kProgramName);
  const std::string installed =
      absl::StrCat(folder.substr(0, folder.rfind('/')), "/libexec/kekd/", kProgramName);
  for (const std::string& program : {beside, installed}) {
    if (::access(program.c_str(), X_OK) == 0) return program;
  }
  return absl::NotFoundError(absl::StrCat(kProgramName, " is neither ", beside, " nor ", installed,
                                          "; it is installed with kekd"));
}

}  // namespace kekd
