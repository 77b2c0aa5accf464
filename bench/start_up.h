// How long a server takes from its start to its first good answer.
#ifndef KEKD_BENCH_START_UP_H_
#define KEKD_BENCH_START_UP_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace kekd::bench {

struct StartUpOptions {
  std::vector<std::string> command;  // the program by its path first
  std::string socket;                // that it serves KMS v2 on
  std::string log;                   // its standard output and error are appended to this file
  int starts = 15;
};

struct StartUp {
  double micros = 0;         // from before posix_spawn(3) to the first Status with healthz "ok"
  int64_t resident_kib = 0;  // right after it
};

// One after the other; each process is ended with SIGTERM and waited for, and its socket removed if
// it was left behind.
absl::StatusOr<std::vector<StartUp>> MeasureStartUps(const StartUpOptions& options);

}  // namespace kekd::bench

#endif  // KEKD_BENCH_START_UP_H_
