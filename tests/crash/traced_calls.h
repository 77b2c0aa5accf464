// The system calls at which syscall_runner stops a program.
#ifndef KEKD_TESTS_CRASH_TRACED_CALLS_H_
#define KEKD_TESTS_CRASH_TRACED_CALLS_H_

#include <sys/types.h>

#include <string>

namespace kekd::testing {

// One call that a thread is about to make.
struct TracedCall {
  long number = 0;
  std::string name;
  std::string path;     // of the file; empty where there is none
  std::string to;       // the second path of a call that has two
  bool writes = false;  // it changes a file or a folder, or makes a change durable
  bool ends = false;    // exit_group
  bool to_standard_output = false;
  bool to_socket = false;
};

// Of the calling process and all it will execute: stops at the calls that change something, and
// with `reads` at those that look. False where the system does not allow it.
bool InstallTraceFilter(bool reads);

// The call at which a thread was stopped by the filter.
TracedCall ReadCall(pid_t thread);
// It does not take place and fails with `error`.
void SkipCall(pid_t thread, int error);
// At its end: as if it had failed.
void SetResult(pid_t thread, int error);
// A write of half of the bytes.
void HalveWrite(pid_t thread, const TracedCall& call);

}  // namespace kekd::testing

#endif  // KEKD_TESTS_CRASH_TRACED_CALLS_H_
