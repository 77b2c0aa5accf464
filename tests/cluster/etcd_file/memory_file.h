// A RandomAccessFile of bytes in memory, with faults.
#ifndef KEKD_TESTS_CLUSTER_ETCD_FILE_MEMORY_FILE_H_
#define KEKD_TESTS_CLUSTER_ETCD_FILE_MEMORY_FILE_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>

#include "cluster/etcd_file/random_access_file.h"

namespace kekd::testing {

// MemoryFile fails where it is told to, and may end earlier than its size says, as a file does that
// is cut while it is read.
class MemoryFile final : public RandomAccessFile {
 public:
  explicit MemoryFile(std::string bytes) : bytes_(std::move(bytes)), size_(bytes_.size()) {}

  // Reading any byte in [begin, end) fails from now on, as a disk does.
  void BreakAt(uint64_t begin, uint64_t end) {
    broken_begin_ = begin;
    broken_end_ = end;
  }
  void CutAt(uint64_t size) { bytes_.resize(size); }

  absl::StatusOr<size_t> ReadAt(uint64_t offset, absl::Span<char> out) const override {
    if (offset < broken_end_ && offset + out.size() > broken_begin_) {
      return absl::InternalError("read memory: Input/output error (EIO)");
    }
    if (offset >= bytes_.size()) return size_t{0};
    const size_t size = std::min<size_t>(out.size(), bytes_.size() - offset);
    std::memcpy(out.data(), bytes_.data() + offset, size);
    return size;
  }
  void WillNeed(uint64_t, uint64_t) const override {}
  bool IsLocked() const override { return false; }
  bool HasChanged() const override { return false; }
  const std::string& path() const override { return path_; }
  uint64_t size() const override { return size_; }

 private:
  std::string bytes_;
  const uint64_t size_;
  const std::string path_ = "memory";
  uint64_t broken_begin_ = 0;
  uint64_t broken_end_ = 0;
};

}  // namespace kekd::testing

#endif  // KEKD_TESTS_CLUSTER_ETCD_FILE_MEMORY_FILE_H_
