#include "kms/daemon/listener_source.h"

#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "base/unix_socket.h"

namespace kekd {

using Maker = UnixListener::Maker;

ListenerSource::ListenerSource(FileSystem& fs, std::vector<PassedDescriptor> passed) : fs_(fs) {
  for (PassedDescriptor& descriptor : passed) {
    const absl::StatusOr<UnixAddress> address = UnixAddress::OfSocket(descriptor.fd.get());
    const Maker maker =
        descriptor.name == ServiceManager::kKeptName ? Maker::kKekd : Maker::kServiceManager;
    passed_.push_back(
        {std::move(descriptor), address.ok() ? address->ToString() : std::string(), maker});
  }
  // A socket unit that was started later has put its own socket in place of the one that was kept.
  std::stable_partition(passed_.begin(), passed_.end(), [](const Passed& candidate) {
    return candidate.maker == Maker::kServiceManager;
  });
}

absl::StatusOr<std::unique_ptr<UnixListener>> ListenerSource::Get(const SocketConfig& config) {
  for (auto it = passed_.begin(); it != passed_.end(); ++it) {
    if (it->address != config.path) continue;
    const Maker maker = it->maker;
    UniqueFd fd = std::move(it->descriptor.fd);
    passed_.erase(it);
    absl::StatusOr<std::unique_ptr<UnixListener>> adopted =
        UnixListener::Adopt(fs_, config, std::move(fd), maker);
    // A kept socket whose file was removed is of no use, and no obstacle.
    if (maker == Maker::kKekd && absl::IsNotFound(adopted.status())) break;
    return adopted;
  }
  return UnixListener::Bind(fs_, config);
}

absl::Status ListenerSource::CheckAllUsed() {
  for (const Passed& left : passed_) {
    const std::string address =
        left.address.empty() ? "(no unix socket)" : absl::CHexEscape(left.address);
    if (left.maker == Maker::kServiceManager) {
      return absl::InvalidArgumentError(
          absl::StrCat("the service manager passed the socket ", address,
                       " (FileDescriptorName=", absl::CHexEscape(left.descriptor.name),
                       "), which no socket of the configuration names; make ListenStream= and the "
                       "configuration agree"));
    }
    LogInfo("closed a socket that an earlier kekd had and this one does not", {{"path", address}});
  }
  passed_.clear();
  return absl::OkStatus();
}

}  // namespace kekd
