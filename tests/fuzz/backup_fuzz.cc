// A backup file as it may lie on a disk; and a header that somebody wrote on purpose, behind sizes
// and an SHA-256 that fit.
#include <cstdlib>
#include <string>

#include "base/length_prefixed.h"
#include "keystore/backup_header.h"

namespace kekd {
namespace {

void Check(const std::string& bytes) {
  const absl::StatusOr<SealedBackup> backup = ParseBackup(AsBytes(bytes));
  if (!backup.ok()) {
    const bool expected =
        absl::IsDataLoss(backup.status()) || absl::IsUnimplemented(backup.status());
    if (!expected) abort();
    return;
  }
  // One header has one encoding, and what was read is the whole file.
  absl::StatusOr<std::string> again = EncodeBackupHead(backup->header, backup->payload.size());
  if (!again.ok() || *again != AsText(backup->authenticated)) abort();
  *again += std::string(AsText(backup->payload));
  if (!FinishBackup(*again).ok() || *again != bytes) abort();
}

std::string WithHeader(absl::string_view header) {
  std::string bytes = "kekdback";
  AppendU16(bytes, kBackupFormat);
  AppendU32(bytes, static_cast<uint32_t>(header.size()));
  AppendU32(bytes, 4);
  bytes.append(header.data(), header.size());
  bytes += "seal";
  if (!FinishBackup(bytes).ok()) abort();
  return bytes;
}

}  // namespace
}  // namespace kekd

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view input = kekd::AsText(kekd::ByteView(data, size));
  kekd::Check(std::string(input));
  kekd::Check(kekd::WithHeader(input));
  return 0;
}
