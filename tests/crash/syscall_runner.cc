// syscall_runner: runs a program and, just before one of the system calls with which it changes the
// world, kills it, cuts the file system's power, or lets the call fail. How: see Usage below.
//
// A seccomp filter stops the program at the calls that matter only, in all its threads, so it runs
// at full speed otherwise. Of these calls the ones count that are about a file in one of the
// --folder folders, and what tells somebody that a change was made: writing to standard output,
// sending on a socket (--sockets), ending.
#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <set>
#include <string>

#include "tests/crash/traced_calls.h"

namespace kekd::testing {
namespace {

constexpr char kUsage[] =
    "usage: syscall_runner --report FILE --folder DIR [--folder DIR ...] [--sockets] [--reads]\n"
    "                      [--armed FILE] [--at N --do ACTION] -- PROGRAM ARGUMENTS...\n"
    "  --report   gets \"pid N\", each counted call as \"N call path\", and \"done N\" for ACTION\n"
    "  --armed    counts only while this file is there\n"
    "  --reads    counts calls that only read too\n"
    "ACTION: kill               SIGKILL; the call does not take place\n"
    "        cut:MOUNT:FLAGS    FS_IOC_SHUTDOWN of the file system, then kill\n"
    "        fail:ERRNO         the call does nothing and fails\n"
    "        fail-late:ERRNO    the call takes place and fails\n"
    "        fail-on:ERRNO      this and every later counted call that writes fails\n"
    "        short:ERRNO        a write writes half, and the next call fails\n"
    "Exit code: the program's, 128 and the signal's number if one ended it; 2 usage; 77 if\n"
    "programs can't be traced here.\n";

#ifndef FS_IOC_SHUTDOWN
#define FS_IOC_SHUTDOWN _IOR('X', 125, __u32)
#endif

struct Arguments {
  std::string report;
  std::set<std::string> folders;
  bool sockets = false;
  bool reads = false;
  std::string armed;
  long at = 0;
  std::string action;  // its name
  std::string mount;
  long number = 0;  // errno, or the flags of a cut
  char** program = nullptr;
};

// "fail:5" to name and number, "cut:/mnt:2" to name, mount and number.
bool ParseAction(const std::string& text, Arguments& out) {
  const size_t first = text.find(':');
  out.action = text.substr(0, first);
  if (out.action == "kill") return true;
  if (first == std::string::npos) return false;
  const size_t last = text.rfind(':');
  if (out.action == "cut") out.mount = text.substr(first + 1, last - first - 1);
  out.number = strtol(text.c_str() + last + 1, nullptr, 10);
  for (const char* name : {"cut", "fail", "fail-late", "fail-on", "short"}) {
    if (out.action == name) return true;
  }
  return false;
}

bool Parse(int argc, char** argv, Arguments& out) {
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    if (name == "--") {
      out.program = argv + i + 1;
      return i + 1 < argc && !out.report.empty();
    }
    if (name == "--sockets" || name == "--reads") {
      (name == "--sockets" ? out.sockets : out.reads) = true;
      continue;
    }
    if (i + 1 >= argc) return false;
    const char* const value = argv[++i];
    if (name == "--report") {
      out.report = value;
    } else if (name == "--folder") {
      out.folders.insert(value);
    } else if (name == "--armed") {
      out.armed = value;
    } else if (name == "--at") {
      out.at = strtol(value, nullptr, 10);
    } else if (name != "--do" || !ParseAction(value, out)) {
      return false;
    }
  }
  return false;
}

class Runner final {
 public:
  explicit Runner(const Arguments& arguments) : arguments_(arguments) {}

  int Run() {
    report_ = fopen(arguments_.report.c_str(), "we");
    if (report_ == nullptr) {
      perror(arguments_.report.c_str());
      return 2;
    }
    pid_ = fork();
    if (pid_ == 0) RunProgram();
    int status = 0;
    if (pid_ < 0 || waitpid(pid_, &status, __WALL) != pid_ || !WIFSTOPPED(status) ||
        ptrace(PTRACE_SETOPTIONS, pid_, 0,
               PTRACE_O_EXITKILL | PTRACE_O_TRACESECCOMP | PTRACE_O_TRACESYSGOOD |
                   PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK) != 0) {
      fprintf(stderr, "syscall_runner: programs can't be traced here: %s\n", strerror(errno));
      if (pid_ > 0) kill(pid_, SIGKILL);
      return 77;
    }
    fprintf(report_, "pid %d\n", pid_);
    fflush(report_);
    ptrace(PTRACE_CONT, pid_, 0, 0);
    return WaitForAll();
  }

 private:
  [[noreturn]] void RunProgram() const {
    if (ptrace(PTRACE_TRACEME, 0, 0, 0) != 0) _exit(77);
    raise(SIGSTOP);
    if (!InstallTraceFilter(arguments_.reads)) _exit(77);
    execv(arguments_.program[0], arguments_.program);
    perror(arguments_.program[0]);
    _exit(127);
  }

  // Until the program itself has ended; what it has forked ends with us.
  int WaitForAll() {
    while (true) {
      int status = 0;
      const pid_t thread = waitpid(-1, &status, __WALL);
      if (thread < 0) {
        if (errno == EINTR) continue;
        return 2;
      }
      if (WIFEXITED(status) || WIFSIGNALED(status)) {
        if (thread != pid_) continue;
        fclose(report_);
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
      }
      Continue(thread, status);
    }
  }

  void Continue(pid_t thread, int status) {
    const int signal = WSTOPSIG(status);
    const int event = status >> 16;
    if (event == PTRACE_EVENT_SECCOMP) {
      AtCall(thread);
    } else if (signal == (SIGTRAP | 0x80)) {
      FailLate(thread);
    } else {
      // A new thread begins with a SIGSTOP; what else stops it is its own signal.
      const bool its_own = event == 0 && signal != SIGSTOP && signal != SIGTRAP;
      ptrace(PTRACE_CONT, thread, 0, its_own ? signal : 0);
    }
  }

  void AtCall(pid_t thread) {
    TracedCall call = ReadCall(thread);
    if (!Counts(call)) {
      ptrace(PTRACE_CONT, thread, 0, 0);
      return;
    }
    ++count_;
    fprintf(report_, "%ld %s %s %s\n", count_, call.name.c_str(), call.path.c_str(),
            call.to.c_str());
    const bool due = count_ == arguments_.at;
    if (due) {
      fprintf(report_, "done %ld\n", count_);
      fflush(report_);
    }
    Act(thread, call, due);
  }

  void Act(pid_t thread, TracedCall& call, bool due) {
    const std::string& action = arguments_.action;
    const int error = static_cast<int>(arguments_.number);
    if (due && (action == "kill" || action == "cut")) {
      if (action == "cut") CutPower();
      kill(pid_, SIGKILL);
      return;  // it does not come back from this stop
    }
    const bool goes_on = action == "fail-on" && arguments_.at > 0 && count_ >= arguments_.at &&
                         call.writes && !call.to_standard_output;
    if ((due && action == "fail") || goes_on || (fail_next_ && call.writes)) {
      fail_next_ = false;
      // A close that fails has closed all the same.
      if (call.name != "close") {
        SkipCall(thread, error);
        ptrace(PTRACE_CONT, thread, 0, 0);
        return;
      }
      ptrace(PTRACE_SYSCALL, thread, 0, 0);
      return;
    }
    if (due && action == "fail-late") {
      ptrace(PTRACE_SYSCALL, thread, 0, 0);
      return;
    }
    if (due && action == "short") {
      fail_next_ = true;
      HalveWrite(thread, call);
    }
    ptrace(PTRACE_CONT, thread, 0, 0);
  }

  // The end of a call that was let through (its beginning is behind it when the filter stops it).
  void FailLate(pid_t thread) const {
    SetResult(thread, static_cast<int>(arguments_.number));
    ptrace(PTRACE_CONT, thread, 0, 0);
  }

  bool Counts(const TracedCall& call) const {
    if (!arguments_.armed.empty() && access(arguments_.armed.c_str(), F_OK) != 0) return false;
    if (call.ends || call.to_standard_output) return arguments_.action != "cut";
    if (call.to_socket) return arguments_.sockets;
    if (!call.writes && !arguments_.reads) return false;
    return IsOurs(call.path) || IsOurs(call.to);
  }

  bool IsOurs(const std::string& path) const {
    for (const std::string& folder : arguments_.folders) {
      if (path == folder || path.compare(0, folder.size() + 1, folder + "/") == 0) return true;
    }
    return false;
  }

  void CutPower() const {
    const int fd = open(arguments_.mount.c_str(), O_RDONLY | O_CLOEXEC);
    __u32 flags = static_cast<__u32>(arguments_.number);
    if (fd < 0 || ioctl(fd, FS_IOC_SHUTDOWN, &flags) != 0) {
      fprintf(report_, "can't cut the power of %s: %s\n", arguments_.mount.c_str(),
              strerror(errno));
    }
    if (fd >= 0) close(fd);
  }

  const Arguments& arguments_;
  FILE* report_ = nullptr;
  pid_t pid_ = 0;
  long count_ = 0;
  bool fail_next_ = false;
};

}  // namespace
}  // namespace kekd::testing

int main(int argc, char** argv) {
  kekd::testing::Arguments arguments;
  if (!kekd::testing::Parse(argc, argv, arguments)) {
    fputs(kekd::testing::kUsage, stderr);
    return 2;
  }
  return kekd::testing::Runner(arguments).Run();
}
