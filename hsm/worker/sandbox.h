// What the module's process may not ask of the kernel.
#ifndef KEKD_HSM_WORKER_SANDBOX_H_
#define KEKD_HSM_WORKER_SANDBOX_H_

#include "absl/status/status.h"

namespace kekd {

// Refuses (EPERM), to this thread and all that it starts, for ever: to look into other processes,
// to load code into the kernel, to mount, to make or enter namespaces, to set clocks, to restart
// the machine, kernel keyrings and io_uring; and system calls of another architecture. Everything
// else is left as it is: modules open devices, sockets and files of their own, and some start
// programs. Unavailable if the kernel has no seccomp filters (CONFIG_SECCOMP_FILTER). Needs no
// privilege once PR_SET_NO_NEW_PRIVS is set.
absl::Status RefuseSystemCalls();

}  // namespace kekd

#endif  // KEKD_HSM_WORKER_SANDBOX_H_
