// A worker without a module: it speaks kekd-hsm-worker's protocol and misbehaves as it is told.
//
// At the start it looks at WorkerConfig::init_arguments: "crash", "hang", "exit", "garbage", "away"
// (the token is), "restart", "slow" (a second).
// At every other request it looks at the label of the key: "crash", "exit", "hang", "late" (100
// ms), "garbage", "half" (a frame), "close" (its channel), "print" (to stdout), "twice" (two
// answers), "restart", "flood" (a length of 4 GiB), "away". "<fault>-once" is done by one worker
// only of those that share a pin_log_directory; it then acts as if it had no label.
//
// A file "fault" in that folder holds what it does at every request but the start, whatever the
// label: one of these, or "no-key" (it has no key of that name).
//
// "child" starts a process and names it in that folder, as the file "child-<pid>".
//
// Of a key to be made, "-<version>" is taken off the label before. A key whose label begins with
// "misnamed" is made with another id; one whose label begins with "spoilt" is refused when it is
// made. A worker that finds a file "other-keys" in that folder when
// it starts has other keys than those that did not: they do not decrypt each other's ciphertexts.
// Its token's serial is the last letters of that folder's name, or what a file "serial" there
// holds. What is destroyed is written into the folder as "destroyed-<label>", unless nobody waits
// for it.
//
// Its ciphertexts are nonce || plaintext ^ 0x5a || tag, and the answer to kDescribe lists the open
// descriptors and the environment.
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/unique_fd.h"
#include "hsm/token/worker_message.h"

namespace kekd {
namespace {

constexpr size_t kNonceBytes = 12;
constexpr size_t kTagBytes = 16;
constexpr size_t kSerialBytes = 6;

std::string state_folder;
char tag = 't';  // the key, so to say
// The start, which sets both, is answered before anything else is asked on any channel.
std::atomic<bool> started = false;

[[noreturn]] void Hang() {
  while (true) ::pause();
}

void Answer(int fd, WorkerVerb verb, WorkerResponse response) {
  const absl::Status sent =
      SendFrame(fd, Encode(verb, std::move(response)), absl::InfiniteFuture());
  if (!sent.ok()) ::_exit(0);
}

void SendRaw(int fd, absl::string_view bytes) {
  if (::write(fd, bytes.data(), bytes.size()) < 0) ::_exit(0);
}

// What is wrong with this request: empty for nothing.
std::string FaultOf(absl::string_view label) {
  std::string fault(label);
  if (absl::EndsWith(label, "-once")) {
    fault.resize(fault.size() - 5);
    const UniqueFd marker(
        ::open(absl::StrCat(state_folder, "/", label).c_str(), O_CREAT | O_EXCL | O_WRONLY, 0600));
    if (!marker.valid()) return "";
  }
  return fault;
}

// What the file of that folder says; empty if there is none.
std::string Read(absl::string_view name) {
  const UniqueFd file(::open(absl::StrCat(state_folder, "/", name).c_str(), O_RDONLY));
  char text[64];
  const ssize_t size = file.valid() ? ::read(file.get(), text, sizeof(text)) : 0;
  return std::string(text, size > 0 ? static_cast<size_t>(size) : 0);
}

void Touch(const std::string& name) {
  const UniqueFd made(
      ::open(absl::StrCat(state_folder, "/", name).c_str(), O_CREAT | O_WRONLY, 0600));
}

// One that lives on without the worker, for a minute.
void StartChild() {
  const pid_t child = ::fork();
  if (child > 0) Touch(absl::StrCat("child-", child));
  if (child != 0) return;
  ::alarm(60);
  while (true) ::pause();
}

// Whether the request was dealt with.
bool Misbehave(int fd, WorkerVerb verb, absl::string_view fault) {
  if (fault == "crash") {
    ::signal(SIGSEGV, SIG_DFL);  // a sanitizer would end it in its own way
    ::raise(SIGSEGV);
  }
  if (fault == "exit") ::syscall(SYS_exit_group, 0);  // TSan takes a second for exit()
  if (fault == "hang") Hang();
  if (fault == "late") absl::SleepFor(absl::Milliseconds(100));
  if (fault == "slow") absl::SleepFor(absl::Seconds(1));
  if (fault == "print") {
    std::printf("a module prints to stdout\n");
    std::fflush(stdout);
  }
  if (fault == "child") StartChild();
  if (fault == "twice") Answer(fd, verb, {});
  if (fault == "garbage") SendRaw(fd, absl::string_view("\0\0\0\4\0\0\0\0\1\0junk", 12));
  if (fault == "half") SendRaw(fd, absl::string_view("\0\0\0\4\0\0\0\0\1", 9));
  if (fault == "flood") SendRaw(fd, "\xff\xff\xff\xff\xff\xff\xff\xff and more");
  if (fault == "close") ::close(fd);
  if (fault == "garbage" || fault == "half" || fault == "flood" || fault == "close") Hang();
  if (fault == "away") {
    WorkerResponse response;
    response.status = absl::UnavailableError("C_OpenSession: CKR_TOKEN_NOT_PRESENT (0xe0)");
    Answer(fd, verb, std::move(response));
    return true;
  }
  if (fault == "no-key" && verb != WorkerVerb::kProbe) {
    WorkerResponse response;
    response.status = absl::NotFoundError("there is no such key");
    Answer(fd, verb, std::move(response));
    return true;
  }
  if (fault == "restart") {
    WorkerResponse response;
    response.status = absl::UnavailableError("C_Initialize: CKR_GENERAL_ERROR (0x5)");
    response.restart = true;
    Answer(fd, verb, std::move(response));
    return true;
  }
  return false;
}

std::vector<std::string> OpenDescriptors() {
  std::vector<std::string> open;
  for (int fd = 0; fd < 1024; ++fd) {
    if (::fcntl(fd, F_GETFD) >= 0) open.push_back(absl::StrCat("fd ", fd));
  }
  for (char** variable = environ; *variable != nullptr; ++variable) open.emplace_back(*variable);
  return open;
}

WorkerResponse Behave(WorkerRequest& request) {
  WorkerResponse response;
  if (!request.key.mechanism_reason.empty()) {
    response.status = absl::InternalError("a call with what is for people only");
    return response;
  }
  if (request.verb == WorkerVerb::kEncrypt) {
    response.bytes = std::string(kNonceBytes, 'n');
    for (const uint8_t byte : request.secret.Reveal(SecretAccessToken())) {
      response.bytes.push_back(static_cast<char>(byte ^ 0x5a));
    }
    response.bytes += std::string(kTagBytes, tag);
  }
  if (request.verb == WorkerVerb::kDecrypt) {
    if (request.bytes.size() < kNonceBytes + kTagBytes) {
      response.status = absl::InvalidArgumentError("too short");
      return response;
    }
    if (request.bytes.back() != tag) {
      response.status = absl::InvalidArgumentError("not authentic");
      return response;
    }
    response.secret = SecretBytes(request.bytes.size() - kNonceBytes - kTagBytes);
    for (size_t i = 0; i < response.secret.size(); ++i) {
      response.secret.RevealMutable(SecretAccessToken())[i] =
          static_cast<uint8_t>(request.bytes[kNonceBytes + i] ^ 0x5a);
    }
  }
  if (request.verb == WorkerVerb::kGenerate || request.verb == WorkerVerb::kAdopt) {
    response.reference.token.label = "fake";
    response.reference.key = request.new_key.selector;
    response.keys.emplace_back().selector = request.new_key.selector;
    if (absl::StartsWith(request.new_key.selector.label, "misnamed")) {
      response.reference.key.id = "another";
    }
  }
  if (request.verb == WorkerVerb::kGenerate &&
      absl::StartsWith(request.new_key.selector.label, "spoilt")) {
    response.status = absl::FailedPreconditionError("the token spoilt the key");
  }
  if (request.verb == WorkerVerb::kDestroy && request.timeout > absl::ZeroDuration())
    Touch(absl::StrCat("destroyed-", request.key.key.label));
  if (request.verb == WorkerVerb::kDescribe) response.token.mechanisms = OpenDescriptors();
  response.token.token.label = "fake";
  response.token.token.serial = Read("serial");
  if (response.token.token.serial.empty()) {
    const size_t size = state_folder.size();
    response.token.token.serial = state_folder.substr(size - std::min(size, kSerialBytes));
  }
  return response;
}

std::string WithoutVersion(absl::string_view label) {
  const size_t end = label.find_last_not_of("0123456789");
  const bool has = end != absl::string_view::npos && end + 1 < label.size() && label[end] == '-';
  return std::string(has ? label.substr(0, end) : label);
}

void Serve(int fd) {
  while (true) {
    absl::StatusOr<WorkerFrame> frame = ReceiveFrame(fd, absl::InfiniteFuture());
    if (!frame.ok()) ::_exit(0);
    absl::StatusOr<WorkerRequest> request = DecodeRequest(*std::move(frame));
    if (!request.ok()) ::_exit(9);
    const bool generate = request->verb == WorkerVerb::kGenerate;
    std::string label =
        generate ? WithoutVersion(request->new_key.selector.label) : request->key.key.label;
    if (request->verb == WorkerVerb::kStart) {
      state_folder = request->config.pin_log_directory;
      label = request->config.init_arguments;
      if (::access(absl::StrCat(state_folder, "/other-keys").c_str(), F_OK) == 0) tag = 'u';
      started = true;
    } else if (!started) {
      ::_exit(7);
    }
    const std::string of_folder =
        request->verb == WorkerVerb::kStart ? std::string() : Read("fault");
    if (Misbehave(fd, request->verb, of_folder)) continue;
    if (Misbehave(fd, request->verb, FaultOf(label))) continue;
    Answer(fd, request->verb, Behave(*request));
  }
}

}  // namespace
}  // namespace kekd

int main(int argc, char** argv) {
  int channels = 0;
  if (argc != 2 || !absl::SimpleAtoi(argv[1], &channels)) return 8;
  std::vector<std::jthread> threads;
  for (int i = 0; i < channels; ++i) threads.emplace_back(kekd::Serve, kekd::kFirstChannel + i);
}
