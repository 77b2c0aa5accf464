#include "tests/crash/traced_calls.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <vector>

#ifndef __x86_64__
#error "the registers of a system call are known for x86-64 only; leave tests/crash out elsewhere"
#endif

namespace kekd::testing {
namespace {

// Where a call says what it is about.
enum class About { kPath, kPathAt, kTwoPaths, kTwoPathsAt, kDescriptor, kOpen, kOpenAt, kNothing };

struct Known {
  long number;
  const char* name;
  About about;
  bool writes;
};

constexpr Known kKnown[] = {
    {SYS_open, "open", About::kOpen, true},
    {SYS_creat, "creat", About::kPath, true},
    {SYS_openat, "openat", About::kOpenAt, true},
    {SYS_write, "write", About::kDescriptor, true},
    {SYS_pwrite64, "pwrite64", About::kDescriptor, true},
    {SYS_writev, "writev", About::kDescriptor, true},
    {SYS_fallocate, "fallocate", About::kDescriptor, true},
    {SYS_ftruncate, "ftruncate", About::kDescriptor, true},
    {SYS_truncate, "truncate", About::kPath, true},
    {SYS_fsync, "fsync", About::kDescriptor, true},
    {SYS_fdatasync, "fdatasync", About::kDescriptor, true},
    {SYS_fchmod, "fchmod", About::kDescriptor, true},
    {SYS_fchown, "fchown", About::kDescriptor, true},
    {SYS_chmod, "chmod", About::kPath, true},
    {SYS_chown, "chown", About::kPath, true},
    {SYS_lchown, "lchown", About::kPath, true},
    {SYS_fchmodat, "fchmodat", About::kPathAt, true},
    {SYS_fchownat, "fchownat", About::kPathAt, true},
    {SYS_rename, "rename", About::kTwoPaths, true},
    {SYS_renameat, "renameat", About::kTwoPathsAt, true},
    {SYS_renameat2, "renameat2", About::kTwoPathsAt, true},
    {SYS_link, "link", About::kTwoPaths, true},
    {SYS_linkat, "linkat", About::kTwoPathsAt, true},
    {SYS_symlink, "symlink", About::kTwoPaths, true},
    {SYS_unlink, "unlink", About::kPath, true},
    {SYS_unlinkat, "unlinkat", About::kPathAt, true},
    {SYS_mkdir, "mkdir", About::kPath, true},
    {SYS_mkdirat, "mkdirat", About::kPathAt, true},
    {SYS_rmdir, "rmdir", About::kPath, true},
    {SYS_flock, "flock", About::kDescriptor, true},
    {SYS_sendmsg, "sendmsg", About::kDescriptor, true},
    {SYS_sendto, "sendto", About::kDescriptor, true},
    {SYS_exit_group, "exit_group", About::kNothing, true},
    {SYS_close, "close", About::kDescriptor, false},
    {SYS_read, "read", About::kDescriptor, false},
    {SYS_pread64, "pread64", About::kDescriptor, false},
    {SYS_getdents64, "getdents64", About::kDescriptor, false},
    {SYS_fstat, "fstat", About::kDescriptor, false},
    {SYS_stat, "stat", About::kPath, false},
    {SYS_newfstatat, "newfstatat", About::kPathAt, false},
};

const Known* Find(long number) {
  for (const Known& known : kKnown) {
    if (known.number == number) return &known;
  }
  return nullptr;
}

std::string ReadText(pid_t thread, unsigned long long address) {
  char text[PATH_MAX];
  const iovec local{text, sizeof(text)};
  // A string may end just before a page that is not there.
  const size_t to_page_end = 4096 - address % 4096;
  iovec remote[2] = {{reinterpret_cast<void*>(address), to_page_end},
                     {reinterpret_cast<void*>(address + to_page_end), sizeof(text) - to_page_end}};
  ssize_t n = process_vm_readv(thread, &local, 1, remote, to_page_end < sizeof(text) ? 2 : 1, 0);
  if (n < 0) n = process_vm_readv(thread, &local, 1, remote, 1, 0);
  if (n <= 0) return "?";
  const std::string all(text, static_cast<size_t>(n));
  return all.substr(0, all.find('\0'));
}

std::string LinkTarget(const std::string& link) {
  char text[PATH_MAX];
  const ssize_t n = readlink(link.c_str(), text, sizeof(text));
  return n < 0 ? std::string("?") : std::string(text, static_cast<size_t>(n));
}

std::string OfDescriptor(pid_t thread, unsigned long long fd) {
  return LinkTarget("/proc/" + std::to_string(thread) + "/fd/" +
                    std::to_string(static_cast<int>(fd)));
}

std::string Absolute(pid_t thread, const std::string& path) {
  if (!path.empty() && path.front() == '/') return path;
  return LinkTarget("/proc/" + std::to_string(thread) + "/cwd") + "/" + path;
}

user_regs_struct Registers(pid_t thread) {
  user_regs_struct registers{};
  ptrace(PTRACE_GETREGS, thread, 0, &registers);
  return registers;
}

}  // namespace

bool InstallTraceFilter(bool reads) {
  std::vector<sock_filter> program = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr))};
  for (const Known& known : kKnown) {
    if (!known.writes && !reads) continue;
    program.push_back(
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(known.number), 0, 1));
    program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE));
  }
  program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  const sock_fprog filter{static_cast<unsigned short>(program.size()), program.data()};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

TracedCall ReadCall(pid_t thread) {
  const user_regs_struct registers = Registers(thread);
  TracedCall call;
  call.number = static_cast<long>(registers.orig_rax);
  const Known* const known = Find(call.number);
  if (known == nullptr) return call;
  call.name = known->name;
  call.writes = known->writes;
  call.ends = call.number == SYS_exit_group;
  const auto path = [&](unsigned long long address) {
    return Absolute(thread, ReadText(thread, address));
  };
  switch (known->about) {
    case About::kPath:
      call.path = path(registers.rdi);
      break;
    case About::kPathAt:
      call.path = path(registers.rsi);
      break;
    case About::kTwoPaths:
      call.path = path(registers.rdi);
      call.to = path(registers.rsi);
      break;
    case About::kTwoPathsAt:
      call.path = path(registers.rsi);
      call.to = path(registers.r10);
      break;
    case About::kDescriptor:
      call.path = OfDescriptor(thread, registers.rdi);
      call.to_socket = call.path.compare(0, 7, "socket:") == 0;
      call.to_standard_output = call.number == SYS_write && registers.rdi == STDOUT_FILENO;
      break;
    case About::kOpen:
    case About::kOpenAt: {
      const bool at = known->about == About::kOpenAt;
      call.path = path(at ? registers.rsi : registers.rdi);
      const unsigned long long flags = at ? registers.rdx : registers.rsi;
      call.writes = (flags & (O_CREAT | O_TRUNC)) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
      break;
    }
    case About::kNothing:
      break;
  }
  return call;
}

void SkipCall(pid_t thread, int error) {
  user_regs_struct registers = Registers(thread);
  registers.orig_rax = static_cast<unsigned long long>(-1);
  registers.rax = static_cast<unsigned long long>(-static_cast<long long>(error));
  ptrace(PTRACE_SETREGS, thread, 0, &registers);
}

void SetResult(pid_t thread, int error) {
  user_regs_struct registers = Registers(thread);
  registers.rax = static_cast<unsigned long long>(-static_cast<long long>(error));
  ptrace(PTRACE_SETREGS, thread, 0, &registers);
}

void HalveWrite(pid_t thread, const TracedCall& call) {
  if (call.number != SYS_write && call.number != SYS_pwrite64) return;
  user_regs_struct registers = Registers(thread);
  registers.rdx /= 2;
  ptrace(PTRACE_SETREGS, thread, 0, &registers);
}

}  // namespace kekd::testing
