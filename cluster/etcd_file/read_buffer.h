// Memory for what is read of etcd's files.
#ifndef KEKD_CLUSTER_ETCD_FILE_READ_BUFFER_H_
#define KEKD_CLUSTER_ETCD_FILE_READ_BUFFER_H_

#include <openssl/crypto.h>

#include <cstddef>
#include <memory>

#include "absl/types/span.h"

namespace kekd {

// A buffer that is reused from page to page. What it holds may be a Secret in clear, so it is wiped
// before its memory is given back. Not thread-safe.
class ReadBuffer final {
 public:
  ReadBuffer() = default;
  ReadBuffer(const ReadBuffer&) = delete;
  ReadBuffer& operator=(const ReadBuffer&) = delete;
  ~ReadBuffer() { Wipe(); }

  // `size` writable bytes. The first `kept` of what was there stay; the rest is unspecified.
  absl::Span<char> Resize(size_t size, size_t kept = 0) {
    if (size > capacity_) {
      // Not value-initialised: a page is overwritten by the read that follows.
      std::unique_ptr<char[]> larger(new char[size]);
      for (size_t i = 0; i < kept; ++i) larger[i] = bytes_[i];
      Wipe();
      bytes_ = std::move(larger);
      capacity_ = size;
    }
    return absl::Span<char>(bytes_.get(), size);
  }

 private:
  void Wipe() {
    if (bytes_ != nullptr) OPENSSL_cleanse(bytes_.get(), capacity_);
  }

  std::unique_ptr<char[]> bytes_;
  size_t capacity_ = 0;
};

}  // namespace kekd

#endif  // KEKD_CLUSTER_ETCD_FILE_READ_BUFFER_H_
