// The floor under every call on a unix socket: bytes there, the same bytes back.
#ifndef KEKD_BENCH_PING_PONG_H_
#define KEKD_BENCH_PING_PONG_H_

#include <array>
#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/unique_fd.h"

namespace kekd::bench {

// About what a KMS v2 Encrypt takes on the wire once HTTP/2 has compressed its headers.
inline constexpr size_t kPingPongBytes = 150;

// Echoes messages of kPingPongBytes to one client after the other. Returns on an error only.
absl::Status ServePingPong(absl::string_view path);

// Not thread-safe.
class PingPongClient final {
 public:
  static absl::StatusOr<std::unique_ptr<PingPongClient>> Connect(absl::string_view path);
  absl::Status RoundTrip();

 private:
  explicit PingPongClient(UniqueFd fd) : fd_(std::move(fd)) {}

  const UniqueFd fd_;
  std::array<uint8_t, kPingPongBytes> message_ = {};
};

}  // namespace kekd::bench

#endif  // KEKD_BENCH_PING_PONG_H_
