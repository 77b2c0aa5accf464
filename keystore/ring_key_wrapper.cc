#include "keystore/ring_key_wrapper.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status_macros.h"

namespace kekd {

absl::StatusOr<Wrap> RingKeyWrapper::WrapRingKeyAgain(const Wrap& former, const RingKey& ring_key,
                                                      const RingIdentity& ring) const {
  KEKD_ASSIGN_OR_RETURN(Wrap wrap, WrapRingKey(ring_key, ring));
  wrap.number = former.number;
  wrap.reference = former.reference;
  wrap.node = former.node;
  return wrap;
}

NewWraps::~NewWraps() {
  for (const auto& [wrapper, wrap] : made_) {
    const absl::Status discarded = wrapper->Discard(wrap, ring_);
    if (discarded.ok()) continue;
    LogWarning("a key that nothing refers to was left behind",
               {{"key", wrap.reference}, {"error", discarded.message()}});
  }
}

absl::StatusOr<Wrap> NewWraps::Make(const RingKeyWrapper& wrapper, const RingKey& ring_key) {
  KEKD_ASSIGN_OR_RETURN(Wrap wrap, wrapper.WrapRingKey(ring_key, ring_));
  made_.emplace_back(&wrapper, wrap);
  return wrap;
}

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
    if (absl::IsUnavailable(ring_key.status()) || absl::IsDeadlineExceeded(ring_key.status())) {
      break;
    }
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
