#include "base/secret_stack.h"

#include <pthread.h>

#include <cstddef>

#include "base/secret_arena.h"

namespace kekd {
namespace {

// libcrypto needs a few KiB, sanitizers some more; TSan keeps almost a MiB of its own there.
#ifdef __SANITIZE_THREAD__
constexpr size_t kStackBytes = size_t{2} << 20;
#else
constexpr size_t kStackBytes = size_t{512} << 10;
#endif

void* Run(void* function) {
  (*static_cast<absl::FunctionRef<void()>*>(function))();
  return nullptr;
}

}  // namespace

void RunOnSecretStack(absl::FunctionRef<void()> function) {
  SecretArena& arena = SecretArena::Instance();
  // Working memory and not memfd_secret(2)'s: the kernel must be able to reach the word by which a
  // thread tells its end (futex(2)), which lies on its stack.
  void* const stack = arena.AllocateWorking(kStackBytes);
  pthread_attr_t attributes;
  pthread_t thread;
  bool started = false;
  if (stack != nullptr && pthread_attr_init(&attributes) == 0) {
    started = pthread_attr_setstack(&attributes, stack, kStackBytes) == 0 &&
              pthread_create(&thread, &attributes, Run, &function) == 0;
    pthread_attr_destroy(&attributes);
  }
  if (started) {
    pthread_join(thread, nullptr);
  } else {
    function();
  }
  arena.Deallocate(stack);
}

}  // namespace kekd
