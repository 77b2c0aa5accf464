// Blocking unix stream sockets, the least of them.
#ifndef KEKD_BENCH_UNIX_SOCKET_H_
#define KEKD_BENCH_UNIX_SOCKET_H_

#include <sys/types.h>

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "base/bytes.h"
#include "base/unique_fd.h"

namespace kekd::bench {

// `path` is a path in the file system, of 107 bytes at most.
absl::StatusOr<UniqueFd> ConnectUnix(absl::string_view path);
// Binds a path that does not exist yet.
absl::StatusOr<UniqueFd> ListenUnix(absl::string_view path);
absl::StatusOr<UniqueFd> AcceptUnix(int listener);

// The process at the other end, as it was when it began to listen.
absl::StatusOr<pid_t> PeerPid(int fd);

// All of `bytes`, in one write(2) unless the kernel takes less.
absl::Status WriteAll(int fd, ByteView bytes);
// At least one byte; Unavailable at the end of the stream.
absl::StatusOr<size_t> ReadSome(int fd, absl::Span<uint8_t> out);

}  // namespace kekd::bench

#endif  // KEKD_BENCH_UNIX_SOCKET_H_
