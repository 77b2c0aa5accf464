// The same for each of several things that may each wait.
#ifndef KEKD_BASE_AT_ONCE_H_
#define KEKD_BASE_AT_ONCE_H_

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <system_error>
#include <thread>
#include <vector>

#include "absl/functional/function_ref.h"

namespace kekd {

// Calls `work` for 0 to count - 1, several at once, and returns when all have returned: one that
// waits does not hold up the others. Up to `threads` at once; a single one on this thread.
inline void ForEachAtOnce(size_t count, size_t threads, absl::FunctionRef<void(size_t)> work) {
  std::atomic<size_t> next{0};
  const auto take = [&] {
    for (size_t i = next++; i < count; i = next++) work(i);
  };
  std::vector<std::thread> others;
  try {
    for (size_t i = 1; i < std::min(count, threads); ++i) others.emplace_back(take);
  } catch (const std::system_error&) {
    // The system has no more threads to give: those that there are do all of it.
  }
  take();
  for (std::thread& other : others) other.join();
}

}  // namespace kekd

#endif  // KEKD_BASE_AT_ONCE_H_
