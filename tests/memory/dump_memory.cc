// dump_memory FOLDER PID: writes what can be read of a process's memory to a folder (see
// process_memory.h). The process should be stopped.
// dump_memory FOLDER -- COMMAND [ARGUMENT...]: runs a command and does that when it is about to
// end, after its last own instruction and before the kernel takes its memory apart; ends as the
// command does.
// What no other program may do with kekd and kekctl: it needs CAP_SYS_PTRACE.
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "tests/memory/process_memory.h"

namespace kekd::testing {
namespace {

constexpr int kUsage = 2;

int Fail(const absl::Status& status) {
  std::cerr << "dump_memory: " << status << "\n";
  return EXIT_FAILURE;
}

int RunToItsEnd(const std::string& folder, char** command) {
  const pid_t child = fork();
  if (child < 0) return Fail(absl::InternalError("fork"));
  if (child == 0) {
    ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
    raise(SIGSTOP);  // until the parent has set its options
    execvp(command[0], command);
    perror(command[0]);
    _exit(127);
  }
  absl::Status dumped = absl::NotFoundError("the command was not seen to end");
  int status = 0;
  bool begun = false;
  while (waitpid(child, &status, 0) == child) {
    if (WIFEXITED(status)) {
      if (!dumped.ok()) return Fail(dumped);
      return WEXITSTATUS(status);
    }
    if (WIFSIGNALED(status)) return Fail(absl::AbortedError(strsignal(WTERMSIG(status))));
    int deliver = 0;
    if (!begun) {
      ptrace(PTRACE_SETOPTIONS, child, nullptr,
             PTRACE_O_TRACEEXIT | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL);
      begun = true;
    } else if (status >> 8 == (SIGTRAP | PTRACE_EVENT_EXIT << 8)) {
      dumped = DumpMemory(child, folder);
    } else if (status >> 16 == 0) {
      deliver = WSTOPSIG(status);
    }
    ptrace(PTRACE_CONT, child, nullptr, deliver);
  }
  return Fail(absl::InternalError("waitpid"));
}

int Main(int argc, char** argv) {
  if (argc > 3 && strcmp(argv[2], "--") == 0) return RunToItsEnd(argv[1], argv + 3);
  pid_t pid = 0;
  if (argc != 3 || !absl::SimpleAtoi(argv[2], &pid)) {
    std::cerr << "usage: dump_memory FOLDER PID | FOLDER -- COMMAND [ARGUMENT...]\n";
    return kUsage;
  }
  const absl::Status dumped = DumpMemory(pid, argv[1]);
  return dumped.ok() ? EXIT_SUCCESS : Fail(dumped);
}

}  // namespace
}  // namespace kekd::testing

int main(int argc, char** argv) { return kekd::testing::Main(argc, argv); }
