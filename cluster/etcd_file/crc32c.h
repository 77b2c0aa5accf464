// CRC-32C, as etcd's write-ahead log has it.
#ifndef KEKD_CLUSTER_ETCD_FILE_CRC32C_H_
#define KEKD_CLUSTER_ETCD_FILE_CRC32C_H_

#include <cstdint>

#include "absl/strings/string_view.h"

namespace kekd {

// The CRC-32C (Castagnoli, RFC 3720 appendix B.4) of what `crc` is the one of, with `bytes` behind
// it. That of nothing is 0.
uint32_t ExtendCrc32c(uint32_t crc, absl::string_view bytes);

}  // namespace kekd

#endif  // KEKD_CLUSTER_ETCD_FILE_CRC32C_H_
