#include "hsm/worker/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

namespace kekd {
namespace {

bool IsRefused(long result) { return result == -1 && errno == EPERM; }

// In a process of its own: filters stay. As root, which the kernel itself would let do all this.
int TryAll() {
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  if (!RefuseSystemCalls().ok()) return 10;
  if (!IsRefused(ptrace(PTRACE_TRACEME, 0, nullptr, nullptr))) return 11;
  char byte = 0;
  char copy = 1;
  iovec from = {&byte, 1};
  iovec to = {&copy, 1};
  if (!IsRefused(process_vm_readv(getpid(), &to, 1, &from, 1, 0)) || copy != 1) return 12;
  if (!IsRefused(syscall(SYS_bpf, 0, nullptr, 0))) return 13;
  if (!IsRefused(unshare(CLONE_NEWNS)) || !IsRefused(unshare(CLONE_NEWUSER))) return 14;
  if (!IsRefused(syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, nullptr, nullptr, nullptr, 0))) {
    return 15;
  }
  if (!IsRefused(syscall(SYS_chroot, "/"))) return 16;
  // What modules need: threads, programs, files, sockets.
  int answer = 0;
  std::thread([&answer] { answer = 1; }).join();
  if (answer != 1) return 20;
  const pid_t child = fork();
  if (child == 0) {
    execl("/bin/true", "true", nullptr);
    _exit(1);
  }
  int ended = -1;
  if (waitpid(child, &ended, 0) != child || ended != 0) return 21;
  const int file = open("/dev/null", O_RDWR | O_CLOEXEC);
  const int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (file < 0 || sock < 0) return 22;
  return 0;
}

TEST(SandboxDeathTest, RefusesWhatNoModuleNeeds) {
  EXPECT_EXIT(_exit(TryAll()), ::testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace kekd
