// What is read off a process, and what is made of many readings.
#ifndef KEKD_BENCH_MEASUREMENT_H_
#define KEKD_BENCH_MEASUREMENT_H_

#include <sys/types.h>
#include <time.h>

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace kekd::bench {

// The p-th percentile, 0 <= p <= 100, by nearest rank. `values` must not be empty.
double Percentile(std::vector<double> values, double p);
inline double Median(std::vector<double> values) { return Percentile(std::move(values), 50); }

// Microseconds of a clock that only differences make sense of.
double SteadyMicros();

// The CPU time of all threads of a process, its own and the kernel's on its behalf.
class ProcessCpuClock final {
 public:
  // NotFound if there is no such process.
  static absl::StatusOr<ProcessCpuClock> Create(pid_t pid);
  absl::StatusOr<double> Micros() const;

 private:
  explicit ProcessCpuClock(clockid_t clock) : clock_(clock) {}
  clockid_t clock_;
};

// Resident memory of a process (VmRSS of proc(5)) in KiB.
absl::StatusOr<int64_t> ResidentKib(pid_t pid);

}  // namespace kekd::bench

#endif  // KEKD_BENCH_MEASUREMENT_H_
