// A stack for work on secrets that others do.
#ifndef KEKD_BASE_SECRET_STACK_H_
#define KEKD_BASE_SECRET_STACK_H_

#include "absl/functional/function_ref.h"

namespace kekd {

// Runs `function` to its end on another thread, whose stack is locked, not dumped, and wiped then:
// for what libcrypto does at length with a secret and leaves on its stack. Where there is no such
// stack to be had, it runs here.
void RunOnSecretStack(absl::FunctionRef<void()> function);

}  // namespace kekd

#endif  // KEKD_BASE_SECRET_STACK_H_
