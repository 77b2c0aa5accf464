#include "tests/cluster/etcd_file/wal_writer.h"

#include "cluster/etcd_file/crc32c.h"
#include "cluster/etcd_file/wal_reader.h"
#include "tests/cluster/etcd_file/bbolt_writer.h"

namespace kekd::testing {

std::string EncodePut(absl::string_view key, absl::string_view value) {
  return BytesField(1, key) + BytesField(2, value) + VarintField(3, 0);
}

std::string PutRequest(absl::string_view key, absl::string_view value) {
  return BytesField(100, VarintField(1, 77)) + BytesField(4, EncodePut(key, value));
}

std::string TxnRequest(absl::string_view key, absl::string_view value) {
  const std::string compare = BytesField(3, key);
  const std::string get = BytesField(1, BytesField(1, key));
  return BytesField(100, VarintField(1, 77)) +
         BytesField(6, BytesField(1, compare) +
                           BytesField(2, BytesField(2, EncodePut(key, value))) +
                           BytesField(3, get));
}

WalWriter::WalWriter(uint32_t crc_before, uint64_t cluster_id) : crc_(crc_before) {
  AddFrame(WalRecord::kCrc, crc_, "");
  AddRecord(WalRecord::kMetadata, VarintField(1, 5) + VarintField(2, cluster_id));
}

void WalWriter::AddRecord(uint64_t type, absl::string_view data) {
  crc_ = ExtendCrc32c(crc_, data);
  AddFrame(type, crc_, data);
}

void WalWriter::AddEntry(uint64_t index, absl::string_view request) {
  AddRecord(WalRecord::kEntry,
            VarintField(1, 0) + VarintField(2, 1) + VarintField(3, index) + BytesField(4, request));
}

void WalWriter::AddFrame(uint64_t type, uint32_t crc, absl::string_view data) {
  std::string record = VarintField(1, type) + VarintField(2, crc);
  if (!data.empty()) record += BytesField(3, data);
  const uint64_t padding = (8 - record.size() % 8) % 8;
  uint64_t length = record.size();
  if (padding != 0) length |= (0x80 | padding) << 56;
  bytes_.append(reinterpret_cast<const char*>(&length), sizeof(length));
  bytes_ += record;
  bytes_.append(padding, '\0');
}

}  // namespace kekd::testing
