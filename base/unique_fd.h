// Ownership of one file descriptor.
#ifndef KEKD_BASE_UNIQUE_FD_H_
#define KEKD_BASE_UNIQUE_FD_H_

#include <unistd.h>

#include <utility>

namespace kekd {

// Closes its descriptor when it goes. Thread-compatible.
class UniqueFd final {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) {
      Reset();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  UniqueFd(const UniqueFd&) = delete;
  UniqueFd& operator=(const UniqueFd&) = delete;
  ~UniqueFd() { Reset(); }

  bool valid() const { return fd_ >= 0; }
  int get() const { return fd_; }
  // Gives the descriptor up; the caller closes it.
  int Release() { return std::exchange(fd_, -1); }
  void Reset() {
    // close(2) must not be repeated on EINTR on Linux: the descriptor is gone either way.
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }

 private:
  int fd_ = -1;
};

}  // namespace kekd

#endif  // KEKD_BASE_UNIQUE_FD_H_
