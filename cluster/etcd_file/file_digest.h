// The SHA-256 that a snapshot ends with.
#ifndef KEKD_CLUSTER_ETCD_FILE_FILE_DIGEST_H_
#define KEKD_CLUSTER_ETCD_FILE_FILE_DIGEST_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cluster/etcd_file/random_access_file.h"

namespace kekd {

inline constexpr size_t kSnapshotHashSize = 32;
using SnapshotHash = std::array<uint8_t, kSnapshotHashSize>;

// As etcd tells them apart (etcdutl's "snapshot status"): the pages of a database are a multiple of
// 512 bytes, and a snapshot has its hash behind them.
inline bool HasSnapshotHash(uint64_t size) { return size % 512 == kSnapshotHashSize; }

// FileDigest computes the SHA-256 of the first `size` bytes of a file in a thread of its own, which
// reads from the beginning to the end: a walk through the tree beside it finds half of what it
// needs in memory. Not thread-safe.
class FileDigest final {
 public:
  // Starts. `file` outlives this.
  FileDigest(const RandomAccessFile& file, uint64_t size);
  FileDigest(const FileDigest&) = delete;
  FileDigest& operator=(const FileDigest&) = delete;

  // Waits for the end; once only. As the file fails; DataLoss if it is shorter.
  absl::StatusOr<SnapshotHash> Finish();

 private:
  absl::StatusOr<SnapshotHash> Compute(const std::stop_token& stop) const;

  const RandomAccessFile& file_;
  const uint64_t size_;
  absl::StatusOr<SnapshotHash> result_;  // the thread's until it has been joined
  std::jthread thread_;                  // last: it uses the others. Stopped when this goes
};

}  // namespace kekd

#endif  // KEKD_CLUSTER_ETCD_FILE_FILE_DIGEST_H_
