#include "kms/server/peer_directory.h"

#include <fcntl.h>
#include <sys/resource.h>

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/strip.h"

namespace kekd {
namespace {

// The kernel's table of descriptors grows with the highest number in use.
constexpr rlim_t kHighestNumber = 4096;

// Numbers are taken from the upper half of those below the limit: the lower half is left to
// whatever else opens descriptors, which takes the lowest number that is free.
struct Numbers {
  int first;
  int end;
};

Numbers NumbersToUse() {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) limit.rlim_cur = 256;
  const int end = static_cast<int>(std::min(limit.rlim_cur, kHighestNumber));
  return {end / 2, end};
}

}  // namespace

UniqueFd PeerDirectory::Register(UniqueFd connection, const PeerCredentials& peer) {
  const Numbers numbers = NumbersToUse();
  MutexLock lock(&mu_);
  if (next_number_ < numbers.first || next_number_ >= numbers.end) next_number_ = numbers.first;
  UniqueFd numbered(fcntl(connection.get(), F_DUPFD_CLOEXEC, next_number_));
  // Without a number to spare the connection keeps the one that it has.
  if (numbered.valid()) connection = std::move(numbered);
  next_number_ = std::max(numbers.first, connection.get() + 1);
  peers_[connection.get()] = peer;
  return connection;
}

int PeerDirectory::DescriptorOf(absl::string_view name) {
  int fd = -1;
  return absl::ConsumePrefix(&name, "fd:") && absl::SimpleAtoi(name, &fd) ? fd : -1;
}

std::optional<PeerCredentials> PeerDirectory::Find(const std::string& name) const {
  const int fd = DescriptorOf(name);
  MutexLock lock(&mu_);
  const auto found = peers_.find(fd);
  if (found == peers_.end()) return std::nullopt;
  return found->second;
}

}  // namespace kekd
