// What a call costs, beside an empty call and beside bytes that go there and back.
#ifndef KEKD_BENCH_LATENCY_H_
#define KEKD_BENCH_LATENCY_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace kekd::bench {

struct LatencyOptions {
  std::string ping_pong;  // the servers' sockets
  std::string empty;
  std::string kekd;
  int rounds = 5;
  int calls = 2000;              // in a row, of each kind in each round
  bool stub = true;              // measure gRPC C++'s own client too
  int64_t calls_for_memory = 0;  // look at kekd's memory once it has answered so many
};

struct Round {
  double p50 = 0;  // microseconds
  double p99 = 0;
  double server_cpu = 0;  // microseconds a call
};

// One kind of call through one kind of client.
struct Series {
  std::string name;    // "ping-pong", "empty Encrypt", "kekd Encrypt", …
  std::string client;  // "raw", "thin", "stub"
  std::vector<Round> rounds;
};

// kekd's resident memory.
struct Memory {
  int64_t calls = 0;  // answered in between
  int64_t resident_kib_before = 0;
  int64_t resident_kib_after = 0;
};

struct LatencyReport {
  std::vector<Series> series;
  Memory memory;
};

// The rounds are interleaved (A B C A B C), so that what else the machine does falls on all alike.
// An error if any answer is not the right one.
absl::StatusOr<LatencyReport> MeasureLatency(const LatencyOptions& options);

}  // namespace kekd::bench

#endif  // KEKD_BENCH_LATENCY_H_
