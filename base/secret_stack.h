// A stack for work on secrets that others do.
#ifndef KEKD_BASE_SECRET_STACK_H_
#define KEKD_BASE_SECRET_STACK_H_

#include "absl/functional/function_ref.h"

namespace kekd {

// Runs `function` to its end on another thread, whose stack is locked as far as the limit of
// locked memory allows, not dumped, and wiped then: for what libcrypto does at length with a secret
// and leaves on its stack. Where no such thread is to be had, it runs here.
void RunOnSecretStack(absl::FunctionRef<void()> function);

}  // namespace kekd

#endif  // KEKD_BASE_SECRET_STACK_H_
