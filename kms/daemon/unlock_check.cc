#include "kms/daemon/unlock_check.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "base/log.h"
#include "base/random_source.h"
#include "keystore/ring_key_wrapper.h"
#include "kms/keyring/keyring_access.h"

namespace kekd {
namespace {

// Why the element does not open the ring; OK if it does, or if only a person could tell.
absl::Status Try(const RingKeyWrapper& wrapper, UnlockConfig::Kind kind, const Keyring& keyring) {
  std::vector<Wrap> wraps = keyring.ring_key_wraps();
  if (kind == UnlockConfig::Kind::kPassphrasePrompt) {
    const bool has_wrap = std::any_of(
        wraps.begin(), wraps.end(), [&](const Wrap& wrap) { return wrap.type == wrapper.type(); });
    if (has_wrap) return absl::OkStatus();
    wraps.clear();
  }
  return OpenRingKeyWith(wraps, wrapper, keyring.identity(), RandomSource::System()).status();
}

// Errors begin with what the warning begins with.
std::string Warning(const RingKeyWrapper& wrapper, const absl::Status& status) {
  const std::string what = wrapper.Describe();
  absl::string_view reason = status.message();
  absl::string_view subject;
  if (absl::ConsumePrefix(&reason, what) && !absl::ConsumePrefix(&reason, ": ")) {
    absl::ConsumePrefix(&reason, " ");
    subject = absl::ConsumePrefix(&reason, "does not open this keyring: ") ? "" : "it ";
  }
  return absl::StrCat(what, " does not open the keyring: ", subject, reason,
                      "; mend that, or take it out of \"unlock\", and reload kekd (SIGHUP)");
}

}  // namespace

void UnlockCheck::Check(const KeyringConfig& config, const Keyring& keyring, When when) {
  MutexLock check_lock(&check_mu_);
  const absl::Time now = absl::Now();
  const bool same = config.unlock == unlock_ && keyring.ring_key_number() == ring_key_number_ &&
                    keyring.next_wrap_number() == next_wrap_number_;
  if (!TakeDue() && when == When::kIfDue && same && now >= checked_ && now - checked_ < kInterval) {
    return;
  }
  unlock_ = config.unlock;
  ring_key_number_ = keyring.ring_key_number();
  next_wrap_number_ = keyring.next_wrap_number();
  checked_ = now;

  const std::vector<std::string> before = Warnings();
  std::vector<std::string> warnings;
  for (const UnlockConfig& unlock : config.unlock) {
    const std::unique_ptr<RingKeyWrapper> wrapper =
        MakeWrapper(fs_, state_directory_, config, unlock, {});
    const absl::Status status = Try(*wrapper, unlock.kind, keyring);
    if (status.ok()) continue;
    std::string warning = Warning(*wrapper, status);
    if (std::find(before.begin(), before.end(), warning) == before.end()) {
      LogWarning(
          "an element of the unlock list does not open the keyring",
          {{"keyring", config.name}, {"unlock", wrapper->Describe()}, {"error", status.message()}});
    }
    warnings.push_back(std::move(warning));
  }
  MutexLock lock(&mu_);
  warnings_ = std::move(warnings);
}

void UnlockCheck::MakeDue() {
  MutexLock lock(&mu_);
  due_ = true;
}

bool UnlockCheck::TakeDue() {
  MutexLock lock(&mu_);
  return std::exchange(due_, false);
}

std::vector<std::string> UnlockCheck::Warnings() const {
  MutexLock lock(&mu_);
  return warnings_;
}

}  // namespace kekd
