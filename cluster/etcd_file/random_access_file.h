// A file that is read at any place, as a seam: a test's version fails or ends where it is told to.
#ifndef KEKD_CLUSTER_ETCD_FILE_RANDOM_ACCESS_FILE_H_
#define KEKD_CLUSTER_ETCD_FILE_RANDOM_ACCESS_FILE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace kekd {

// RandomAccessFile reads with pread(2) into the caller's memory. Not a mapping: reading what was
// cut off of a mapped file ends the process. Thread-safe.
class RandomAccessFile {
 public:
  virtual ~RandomAccessFile() = default;

  // Fills `out` from `offset`; fewer bytes only where the file ends.
  virtual absl::StatusOr<size_t> ReadAt(uint64_t offset, absl::Span<char> out) const = 0;
  // Tells the kernel that this part is read soon. A hint: nothing tells whether it was followed.
  virtual void WillNeed(uint64_t offset, uint64_t length) const = 0;
  // True if someone holds an exclusive flock(2) on it, as bbolt does while its database is open.
  virtual bool IsLocked() const = 0;
  // True if it has been written to since it was opened, as far as its size and times tell.
  virtual bool HasChanged() const = 0;

  virtual const std::string& path() const = 0;
  // In bytes, when it was opened.
  virtual uint64_t size() const = 0;
};

// Opens a regular file, or a symbolic link to one, for reading. InvalidArgument if it is anything
// else: a FIFO or a device is never opened.
absl::StatusOr<std::unique_ptr<RandomAccessFile>> OpenRandomAccessFile(const std::string& path);

}  // namespace kekd

#endif  // KEKD_CLUSTER_ETCD_FILE_RANDOM_ACCESS_FILE_H_
