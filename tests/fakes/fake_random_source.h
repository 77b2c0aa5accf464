// Random bytes that are the same in every run.
#ifndef KEKD_TESTS_FAKES_FAKE_RANDOM_SOURCE_H_
#define KEKD_TESTS_FAKES_FAKE_RANDOM_SOURCE_H_

#include <cstdint>
#include <deque>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "base/mutex.h"
#include "base/random_source.h"

namespace kekd::testing {

// Gives a fixed sequence that never repeats within a test (splitmix64 from a seed), so that golden
// files can be made again; in front of it, what a test queued. Thread-safe.
class FakeRandomSource final : public RandomSource {
 public:
  explicit FakeRandomSource(uint64_t seed = 1) : state_(seed) {}

  // The next Fill gives exactly these bytes, such as a published nonce; it is Internal if it asks
  // for another number of them.
  void Queue(absl::string_view bytes);
  // The next Fill fails.
  void QueueFailure();

  absl::Status Fill(absl::Span<uint8_t> out) const override;

 private:
  struct Queued {
    bool fails = false;
    std::string bytes;
  };

  mutable Mutex mu_;
  mutable uint64_t state_ ABSL_GUARDED_BY(mu_);
  mutable std::deque<Queued> queue_ ABSL_GUARDED_BY(mu_);
};

}  // namespace kekd::testing

#endif  // KEKD_TESTS_FAKES_FAKE_RANDOM_SOURCE_H_
