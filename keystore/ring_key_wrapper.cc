#include "keystore/ring_key_wrapper.h"

#include <string>

#include "absl/strings/str_cat.h"

namespace kekd {

absl::StatusOr<OpenedRingKey> OpenRingKeyWith(absl::Span<const Wrap> wraps,
                                              const RingKeyWrapper& wrapper,
                                              const RingIdentity& ring,
                                              const RandomSource& random) {
  absl::Status reason = absl::NotFoundError(absl::StrCat(
      wrapper.Describe(), ": the keyring has no wrap of type \"", ToString(wrapper.type()), "\""));
  bool was_read = true;
  for (const Wrap& wrap : wraps) {
    if (wrap.type != wrapper.type()) continue;
    absl::StatusOr<std::shared_ptr<const RingKey>> ring_key =
        wrapper.UnwrapRingKey(wrap, ring, random);
    if (ring_key.ok()) return OpenedRingKey{*std::move(ring_key), wrap.number, wrapper.Describe()};
    // A secret that could not be read says nothing of the keyring; that another wrap is not its own
    // must not hide it.
    if (was_read) reason = ring_key.status();
    was_read = was_read && absl::IsDataLoss(ring_key.status());
  }
  return reason;
}

absl::StatusOr<OpenedRingKey> OpenRingKey(
    absl::Span<const Wrap> wraps, absl::Span<const std::unique_ptr<RingKeyWrapper>> wrappers,
    const RingIdentity& ring, const RandomSource& random) {
  absl::Status failed;
  std::string reasons;
  for (const std::unique_ptr<RingKeyWrapper>& wrapper : wrappers) {
    absl::StatusOr<OpenedRingKey> opened = OpenRingKeyWith(wraps, *wrapper, ring, random);
    if (opened.ok()) return opened;
    const absl::Status& reason = opened.status();
    if (failed.ok()) failed = reason;
    absl::StrAppend(&reasons, reasons.empty() ? "" : "; ", reason.message());
  }
  if (failed.ok()) {
    return absl::FailedPreconditionError(
        "the configuration names nothing under \"unlock\" that could open the keyring");
  }
  return absl::Status(failed.code(), absl::StrCat("can't open the ring key of keyring \"",
                                                  ring.name, "\": ", reasons));
}

}  // namespace kekd
