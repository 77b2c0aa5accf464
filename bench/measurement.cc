#include "bench/measurement.h"

#include <errno.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "base/posix_error.h"

namespace kekd::bench {
namespace {

double ToMicros(const timespec& time) {
  return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_nsec) / 1e3;
}

}  // namespace

double Percentile(std::vector<double> values, double p) {
  const double rank = std::ceil(p / 100 * static_cast<double>(values.size()));
  const auto at =
      values.begin() + std::max<std::ptrdiff_t>(static_cast<std::ptrdiff_t>(rank) - 1, 0);
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

double SteadyMicros() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return ToMicros(now);
}

absl::StatusOr<ProcessCpuClock> ProcessCpuClock::Create(pid_t pid) {
  clockid_t clock;
  const int error = clock_getcpuclockid(pid, &clock);
  if (error != 0) return PosixError(error, absl::StrCat("clock_getcpuclockid of process ", pid));
  return ProcessCpuClock(clock);
}

absl::StatusOr<double> ProcessCpuClock::Micros() const {
  timespec time;
  if (clock_gettime(clock_, &time) != 0) return PosixError(errno, "the CPU clock of a process");
  return ToMicros(time);
}

absl::StatusOr<int64_t> ResidentKib(pid_t pid) {
  const std::string path = absl::StrCat("/proc/", pid, "/status");
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line)) {
    absl::string_view rest = line;
    int64_t kib = 0;
    if (!absl::ConsumePrefix(&rest, "VmRSS:") || !absl::ConsumeSuffix(&rest, "kB")) continue;
    if (absl::SimpleAtoi(rest, &kib)) return kib;
  }
  return absl::NotFoundError(absl::StrCat(path, " names no VmRSS"));
}

}  // namespace kekd::bench
