// The keyring that kekctl rotates.
#ifndef KEKD_KMS_CTL_ROTATION_RING_H_
#define KEKD_KMS_CTL_ROTATION_RING_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/file_system.h"
#include "keystore/rotation/rotation_manager.h"
#include "kms/ctl/commands.h"

namespace kekd {

// That of kekd, or of the files if kekd is not running: as with every other verb that changes a
// keyring. `context` outlives it.
class CtlRing final : public RotatedRing {
 public:
  explicit CtlRing(const CommandContext& context) : context_(context) {}

  absl::StatusOr<RingView> Read() override;
  absl::StatusOr<RingView> Apply(const Transition& transition, uint64_t generation) override;
  absl::StatusOr<std::string> ProveThisNode(uint32_t version, absl::string_view node) override;

  // The keyring's UUID, once it was read.
  const std::string& uuid() const { return uuid_; }
  // What the last change left to be mended, or empty.
  const std::string& warning() const { return warning_; }

 private:
  const CommandContext& context_;
  std::string uuid_;
  std::string warning_;
};

// One kekctl at a time drives a rotation on this host: Unavailable, with who does and since when,
// while another one does. Let go by the kernel if this process ends in whatever way.
absl::StatusOr<std::unique_ptr<FileLock>> LockRotation(const CommandContext& context,
                                                       const std::string& ring_uuid);

// "alice@cp1": who asks, for people; and this host's name.
std::string WhoAsks();
std::string ThisNode();

}  // namespace kekd

#endif  // KEKD_KMS_CTL_ROTATION_RING_H_
