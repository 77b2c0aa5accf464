#include "bench/ping_pong.h"

#include <utility>

#include "absl/types/span.h"
#include "base/status_macros.h"
#include "bench/unix_socket.h"

namespace kekd::bench {
namespace {

absl::Status ReadMessage(int fd, absl::Span<uint8_t> message) {
  while (!message.empty()) {
    KEKD_ASSIGN_OR_RETURN(const size_t n, ReadSome(fd, message));
    message.remove_prefix(n);
  }
  return absl::OkStatus();
}

// Until the client goes.
void Echo(int fd) {
  std::array<uint8_t, kPingPongBytes> message;
  while (ReadMessage(fd, absl::MakeSpan(message)).ok() && WriteAll(fd, message).ok()) {
  }
}

}  // namespace

absl::Status ServePingPong(absl::string_view path) {
  KEKD_ASSIGN_OR_RETURN(const UniqueFd listener, ListenUnix(path));
  for (;;) {
    KEKD_ASSIGN_OR_RETURN(const UniqueFd client, AcceptUnix(listener.get()));
    Echo(client.get());
  }
}

absl::StatusOr<std::unique_ptr<PingPongClient>> PingPongClient::Connect(absl::string_view path) {
  KEKD_ASSIGN_OR_RETURN(UniqueFd fd, ConnectUnix(path));
  return std::unique_ptr<PingPongClient>(new PingPongClient(std::move(fd)));
}

absl::Status PingPongClient::RoundTrip() {
  KEKD_RETURN_IF_ERROR(WriteAll(fd_.get(), message_));
  return ReadMessage(fd_.get(), absl::MakeSpan(message_));
}

}  // namespace kekd::bench
