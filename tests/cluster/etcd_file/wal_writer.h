// Writes segments of etcd's write-ahead log for tests.
#ifndef KEKD_TESTS_CLUSTER_ETCD_FILE_WAL_WRITER_H_
#define KEKD_TESTS_CLUSTER_ETCD_FILE_WAL_WRITER_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace kekd::testing {

std::string EncodePut(absl::string_view key, absl::string_view value);
// An InternalRaftRequest of one put, or of a transaction that puts if its condition holds.
std::string PutRequest(absl::string_view key, absl::string_view value);
std::string TxnRequest(absl::string_view key, absl::string_view value);

// WalWriter makes the bytes of a segment, which begins with a checksum and the cluster's id.
class WalWriter final {
 public:
  explicit WalWriter(uint32_t crc_before = 0, uint64_t cluster_id = 0xc1);

  void AddRecord(uint64_t type, absl::string_view data);
  void AddEntry(uint64_t index, absl::string_view request);

  // What there is so far. The checksum that the next segment begins with.
  const std::string& bytes() const { return bytes_; }
  uint32_t crc() const { return crc_; }

 private:
  void AddFrame(uint64_t type, uint32_t crc, absl::string_view data);

  std::string bytes_;
  uint32_t crc_ = 0;
};

}  // namespace kekd::testing

#endif  // KEKD_TESTS_CLUSTER_ETCD_FILE_WAL_WRITER_H_
