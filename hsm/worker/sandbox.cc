#include "hsm/worker/sandbox.h"

#include <errno.h>
#include <sched.h>
#include <seccomp.h>

#include <memory>

#include "absl/strings/str_cat.h"
#include "base/posix_error.h"

namespace kekd {
namespace {

// By what they are for. Those that the machine's architecture has not are passed over.
constexpr int kRefused[] = {
    // other processes
    SCMP_SYS(ptrace), SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev),
    SCMP_SYS(pidfd_getfd), SCMP_SYS(process_madvise), SCMP_SYS(kcmp), SCMP_SYS(perf_event_open),
    // the kernel
    SCMP_SYS(bpf), SCMP_SYS(userfaultfd), SCMP_SYS(kexec_load), SCMP_SYS(kexec_file_load),
    SCMP_SYS(init_module), SCMP_SYS(finit_module), SCMP_SYS(delete_module), SCMP_SYS(iopl),
    SCMP_SYS(ioperm), SCMP_SYS(io_uring_setup), SCMP_SYS(io_uring_enter),
    SCMP_SYS(io_uring_register), SCMP_SYS(add_key), SCMP_SYS(request_key), SCMP_SYS(keyctl),
    // the tree of files
    SCMP_SYS(mount), SCMP_SYS(umount2), SCMP_SYS(pivot_root), SCMP_SYS(chroot),
    SCMP_SYS(move_mount), SCMP_SYS(open_tree), SCMP_SYS(mount_setattr), SCMP_SYS(fsopen),
    SCMP_SYS(fsconfig), SCMP_SYS(fsmount), SCMP_SYS(fspick), SCMP_SYS(open_by_handle_at),
    SCMP_SYS(swapon), SCMP_SYS(swapoff), SCMP_SYS(quotactl), SCMP_SYS(quotactl_fd),
    // the machine
    SCMP_SYS(unshare), SCMP_SYS(setns), SCMP_SYS(reboot), SCMP_SYS(acct), SCMP_SYS(sethostname),
    SCMP_SYS(setdomainname), SCMP_SYS(syslog), SCMP_SYS(settimeofday), SCMP_SYS(clock_settime),
    SCMP_SYS(clock_adjtime), SCMP_SYS(adjtimex)};

constexpr uint64_t kNewNamespace = CLONE_NEWCGROUP | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWNS |
                                   CLONE_NEWPID | CLONE_NEWUSER | CLONE_NEWUTS;

struct Release {
  void operator()(void* filter) const { seccomp_release(filter); }
};

}  // namespace

absl::Status RefuseSystemCalls() {
  const std::unique_ptr<void, Release> filter(seccomp_init(SCMP_ACT_ALLOW));
  if (filter == nullptr) return absl::ResourceExhaustedError("no memory for a seccomp filter");
  constexpr uint32_t kRefuse = SCMP_ACT_ERRNO(EPERM);
  int result = seccomp_attr_set(filter.get(), SCMP_FLTATR_ACT_BADARCH, kRefuse);
  for (const int call : kRefused) {
    if (result == 0) result = seccomp_rule_add(filter.get(), kRefuse, call, 0);
  }
  // One rule a flag: a rule compares one value under its mask. Namespaces of clone3 lie in memory,
  // where no filter looks: without it the C library takes clone.
  for (uint64_t flag = 1; flag <= kNewNamespace; flag <<= 1) {
    if (result != 0 || (flag & kNewNamespace) == 0) continue;
    result = seccomp_rule_add(filter.get(), kRefuse, SCMP_SYS(clone), 1,
                              SCMP_A0(SCMP_CMP_MASKED_EQ, flag, flag));
  }
  if (result == 0) {
    result = seccomp_rule_add(filter.get(), SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
  }
  if (result == 0) result = seccomp_load(filter.get());
  if (result == -EINVAL) return absl::UnavailableError("this kernel has no seccomp filters");
  return result == 0 ? absl::OkStatus() : PosixError(-result, "a seccomp filter");
}

}  // namespace kekd
