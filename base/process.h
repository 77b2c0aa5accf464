// What a process that holds keys does first.
#ifndef KEKD_BASE_PROCESS_H_
#define KEKD_BASE_PROCESS_H_

#include <string>

#include "absl/status/status.h"

namespace kekd {

// Makes this process one that may hold keys: libcrypto allocates from the SecretArena, there is no
// core dump and no debugger of the same user (PR_SET_DUMPABLE 0, which also gives /proc/self to
// root), files are made for their owner alone (umask 077), a closed pipe or socket is an error and
// not a signal. To be called first in main, before threads and before libcrypto is used.
absl::Status HardenProcess();

// This process for people: "pid 123, uid 0, kekctl keyring init, since 2026-01-01T00:00:00Z", where
// the time is now.
std::string DescribeProcess();

}  // namespace kekd

#endif  // KEKD_BASE_PROCESS_H_
