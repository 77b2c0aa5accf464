// kekd-hsm-worker: the process that a PKCS#11 module lives in.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/file_system.h"
#include "base/random_source.h"
#include "hsm/pkcs11/token.h"
#include "hsm/token/worker_message.h"
#include "hsm/worker/sandbox.h"

namespace kekd {
namespace {

constexpr char kUsage[] =
    R"(Usage: kekd-hsm-worker CHANNELS

kekd starts this program by itself, one for each PKCS#11 token it uses: the
token's module, its PIN and nothing else are in it, so that a module that
crashes or hangs does no harm to kekd. It is not to be started by hand:
'kekctl hsm' looks at tokens.

  CHANNELS        how many sockets it got, as descriptors 3, 4 and so on; the
                  first request on the first says which module and token
  --version       print the version and exit
  --help          print this and exit
)";

constexpr int kExitUsage = 2;

// What a process with a PIN does first. libcrypto keeps its own heap: the module may use it too,
// and must find it as its vendor tested it.
bool Harden() {
  const rlimit none = {0, 0};
  if (setrlimit(RLIMIT_CORE, &none) != 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 ||
      prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    perror("kekd-hsm-worker");
    return false;
  }
  if (const absl::Status refused = RefuseSystemCalls(); !refused.ok()) {
    // The module is apart from kekd all the same, and without it no Secret can be read.
    fprintf(stderr, "kekd-hsm-worker: every system call is open to the module: %s\n",
            std::string(refused.message()).c_str());
  }
  umask(077);
  signal(SIGPIPE, SIG_IGN);
  return true;
}

bool IsSocket(int fd) {
  struct stat st;
  return fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
}

// Nothing is tidied up: kekd is gone or has given this process up, and a module that hangs in
// C_Finalize, or crashes in an exit handler, would only keep it from ending.
[[noreturn]] void End(int code) { _exit(code); }

// One request after the other, until kekd hangs up or talks nonsense.
class Channel final {
 public:
  explicit Channel(int fd) : fd_(fd) {}

  std::optional<WorkerRequest> Receive() const {
    absl::StatusOr<WorkerFrame> frame = ReceiveFrame(fd_, absl::InfiniteFuture());
    if (!frame.ok()) return std::nullopt;
    absl::StatusOr<WorkerRequest> request = DecodeRequest(*std::move(frame));
    if (!request.ok()) {
      // Of another release: kekd sees only that this process has ended, and people its log.
      if (absl::IsFailedPrecondition(request.status())) {
        fprintf(stderr, "kekd-hsm-worker: %s\n", std::string(request.status().message()).c_str());
      }
      return std::nullopt;
    }
    return *std::move(request);
  }
  bool Send(WorkerVerb verb, WorkerResponse response) const {
    return SendFrame(fd_, Encode(verb, std::move(response)), absl::InfiniteFuture()).ok();
  }
  [[noreturn]] void Serve(Token& token) const {
    for (;;) {
      std::optional<WorkerRequest> request = Receive();
      if (!request.has_value() || request->verb == WorkerVerb::kStart) End(1);
      if (!Send(request->verb, token.Answer(*request))) End(1);
    }
  }

 private:
  const int fd_;
};

// Ends the process when kekd's end of any socket is closed, also while the module hangs.
[[noreturn]] void WatchForHangUp(uint32_t channels) {
  std::vector<pollfd> sockets;
  for (uint32_t i = 0; i < channels; ++i) {
    sockets.push_back({.fd = kFirstChannel + static_cast<int>(i), .events = POLLRDHUP});
  }
  for (;;) {
    if (poll(sockets.data(), sockets.size(), -1) < 0) continue;
    for (const pollfd& socket : sockets) {
      if (socket.revents != 0) End(0);
    }
  }
}

[[noreturn]] void Run(uint32_t channels) {
  std::thread([channels] {
    const Channel first(kFirstChannel);
    std::optional<WorkerRequest> start = first.Receive();
    if (!start.has_value() || start->verb != WorkerVerb::kStart) End(1);
    // Never destroyed: threads use it until the process ends.
    auto* const token =
        new Token(std::move(start->config), FileSystem::System(), RandomSource::System());
    WorkerRequest describe;
    describe.verb = WorkerVerb::kStart;
    describe.timeout = start->timeout;
    if (!first.Send(WorkerVerb::kStart, token->Answer(describe))) End(1);
    for (uint32_t i = 1; i < channels; ++i) {
      std::thread([token, i] {
        Channel(kFirstChannel + static_cast<int>(i)).Serve(*token);
      }).detach();
    }
    first.Serve(*token);
  }).detach();
  WatchForHangUp(channels);
}

int Main(int argc, char** argv) {
  const absl::string_view argument = argc == 2 ? argv[1] : "";
  if (argument == "--help") {
    fputs(kUsage, stdout);
    return 0;
  }
  if (argument == "--version") {
    puts("kekd-hsm-worker " KEKD_VERSION);
    return 0;
  }
  uint32_t channels = 0;
  if (!absl::SimpleAtoi(argument, &channels) || channels == 0 || channels > kMaxChannels) {
    fputs(kUsage, stderr);
    return kExitUsage;
  }
  for (uint32_t i = 0; i < channels; ++i) {
    const int fd = kFirstChannel + static_cast<int>(i);
    if (!IsSocket(fd)) {
      fprintf(stderr,
              "kekd-hsm-worker: descriptor %d is no socket: kekd starts this program, see "
              "'kekd-hsm-worker --help'\n",
              fd);
      return kExitUsage;
    }
    // A module that starts a program must not pass kekd's sockets on to it.
    fcntl(fd, F_SETFD, FD_CLOEXEC);
  }
  if (!Harden()) return 1;
  Run(channels);
}

}  // namespace
}  // namespace kekd

int main(int argc, char** argv) { return kekd::Main(argc, argv); }
