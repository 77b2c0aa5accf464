// ping_pong: the echo side of the socket's own floor, and by hand a client of it.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <vector>

#include "base/status_macros.h"
#include "bench/ping_pong.h"

namespace kekd::bench {
namespace {

constexpr size_t kRoundTrips = 20000;

absl::Status Ping(absl::string_view path) {
  KEKD_ASSIGN_OR_RETURN(const std::unique_ptr<PingPongClient> client,
                        PingPongClient::Connect(path));
  std::vector<std::chrono::nanoseconds> times(kRoundTrips);
  for (std::chrono::nanoseconds& time : times) {
    const auto begin = std::chrono::steady_clock::now();
    KEKD_RETURN_IF_ERROR(client->RoundTrip());
    time = std::chrono::steady_clock::now() - begin;
  }
  const auto median = times.begin() + kRoundTrips / 2;
  std::nth_element(times.begin(), median, times.end());
  printf("p50 %.2f us\n", std::chrono::duration<double, std::micro>(*median).count());
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  absl::Status status;
  if (argc == 3 && strcmp(argv[1], "serve") == 0) {
    status = ServePingPong(argv[2]);
  } else if (argc == 3 && strcmp(argv[1], "ping") == 0) {
    status = Ping(argv[2]);
  } else {
    fprintf(stderr, "usage: ping_pong serve|ping PATH\n");
    return 2;
  }
  if (status.ok()) return 0;
  fprintf(stderr, "ping_pong: %s\n", status.ToString().c_str());
  return 1;
}

}  // namespace
}  // namespace kekd::bench

int main(int argc, char** argv) { return kekd::bench::Main(argc, argv); }
