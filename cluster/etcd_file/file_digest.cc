#include "cluster/etcd_file/file_digest.h"

#include <openssl/evp.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/openssl.h"
#include "base/status_macros.h"
#include "cluster/etcd_file/read_buffer.h"

namespace kekd {
namespace {

constexpr uint64_t kChunk = 1 << 18;  // fits into the processor's cache
constexpr uint64_t kReadAhead =
    8 << 20;  // more than the kernel's own, so that the disk never waits

}  // namespace

FileDigest::FileDigest(const RandomAccessFile& file, uint64_t size)
    : file_(file),
      size_(size),
      result_(absl::InternalError("not computed")),
      thread_([this](const std::stop_token& stop) { result_ = Compute(stop); }) {}

absl::StatusOr<SnapshotHash> FileDigest::Finish() {
  thread_.join();
  return std::move(result_);
}

absl::StatusOr<SnapshotHash> FileDigest::Compute(const std::stop_token& stop) const {
  const OpenSslPtr<EVP_MD_CTX> context(EVP_MD_CTX_new());
  if (context == nullptr || EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr) != 1) {
    return OpenSslError("EVP_DigestInit_ex");
  }
  ReadBuffer buffer;
  uint64_t asked = 0;
  for (uint64_t at = 0; at < size_;) {
    if (stop.stop_requested()) return absl::CancelledError("stopped");
    if (at + kReadAhead / 2 >= asked && asked < size_) {
      const uint64_t length = std::min(at + kReadAhead, size_) - asked;
      file_.WillNeed(asked, length);
      asked += length;
    }
    const absl::Span<char> chunk = buffer.Resize(static_cast<size_t>(std::min(kChunk, size_ - at)));
    KEKD_ASSIGN_OR_RETURN(const size_t got, file_.ReadAt(at, chunk));
    if (got < chunk.size()) {
      return absl::DataLossError(absl::StrCat("it ends at ", at + got, " of ", size_, " bytes"));
    }
    if (EVP_DigestUpdate(context.get(), chunk.data(), chunk.size()) != 1) {
      return OpenSslError("EVP_DigestUpdate");
    }
    at += chunk.size();
  }
  SnapshotHash hash;
  if (EVP_DigestFinal_ex(context.get(), hash.data(), nullptr) != 1) {
    return OpenSslError("EVP_DigestFinal_ex");
  }
  return hash;
}

}  // namespace kekd
