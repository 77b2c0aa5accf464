// The records of one file of etcd's write-ahead log.
#ifndef KEKD_CLUSTER_ETCD_FILE_WAL_READER_H_
#define KEKD_CLUSTER_ETCD_FILE_WAL_READER_H_

#include <cstddef>
#include <cstdint>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cluster/etcd_file/random_access_file.h"
#include "cluster/etcd_file/read_buffer.h"

namespace kekd {

// A walpb.Record (etcd's server/storage/wal/walpb/record.proto), its data valid until the next one.
struct WalRecord {
  static constexpr uint64_t kMetadata = 1;
  static constexpr uint64_t kEntry = 2;
  static constexpr uint64_t kState = 3;
  static constexpr uint64_t kCrc = 4;
  static constexpr uint64_t kSnapshot = 5;

  uint64_t type = 0;
  absl::string_view data;
};

// WalReader reads the frames of a segment one after the other and verifies the checksum that runs
// through them (etcd's server/storage/wal/decoder.go): a length of 8 bytes, of which the highest
// says how much padding follows the record. Memory: a window of 1 MiB, or the largest record (at
// most kMaxRecord). Not thread-safe.
class WalReader final {
 public:
  static constexpr uint64_t kMaxRecord = 256 << 20;

  // `file` outlives this.
  explicit WalReader(const RandomAccessFile& file) : file_(file) {}

  // The next record; none where the file ends or only was allocated beforehand. DataLoss at what is
  // no record or does not fit its checksum, and from then on; else as the file fails.
  absl::StatusOr<std::optional<WalRecord>> Next();

  // Where the next record begins, or the one that Next failed at.
  uint64_t offset() const { return offset_; }
  // After a DataLoss: whether the record is what a crash leaves of one that was being written. It
  // ends behind the file, or a sector of it was not written; etcd goes on without it.
  bool is_torn() const { return is_torn_; }
  // After a failure: where the record ends as far as its length can be believed, which it can't if
  // the file ends before it.
  uint64_t failed_end() const { return failed_end_; }

 private:
  // `size` bytes at `offset`, fewer where the file ends.
  absl::StatusOr<absl::string_view> Bytes(uint64_t offset, size_t size);
  absl::StatusOr<std::optional<WalRecord>> Decode(absl::string_view record);
  bool IsTorn(absl::string_view record) const;
  bool HasUnwrittenSector(absl::string_view record) const;

  const RandomAccessFile& file_;
  ReadBuffer buffer_;
  uint64_t window_begin_ = 0;
  absl::string_view window_;
  uint64_t offset_ = 0;
  uint64_t failed_end_ = 0;
  uint32_t crc_ = 0;
  bool has_crc_ = false;
  bool is_torn_ = false;
};

}  // namespace kekd

#endif  // KEKD_CLUSTER_ETCD_FILE_WAL_READER_H_
