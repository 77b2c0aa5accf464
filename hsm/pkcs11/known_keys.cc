#include "hsm/pkcs11/known_keys.h"

#include <algorithm>

namespace kekd {

void KnownKeys::Add(const KeySelector& key) {
  MutexLock lock(&mu_);
  Entry& entry = keys_[NameOf(key)];
  entry.there = true;
  entry.pause = absl::ZeroDuration();
  entry.missing_until = absl::InfinitePast();
}

void KnownKeys::Remove(const KeySelector& key) {
  MutexLock lock(&mu_);
  keys_[NameOf(key)].there = false;
}

bool KnownKeys::Contains(const KeySelector& key) const {
  MutexLock lock(&mu_);
  const auto known = keys_.find(NameOf(key));
  return known != keys_.end() && known->second.there;
}

void KnownKeys::Forget(const KeySelector& key) {
  MutexLock lock(&mu_);
  keys_.erase(NameOf(key));
}

void KnownKeys::NoteMissing(const KeySelector& key, absl::Time now) {
  MutexLock lock(&mu_);
  Entry& entry = keys_[NameOf(key)];
  // Two requests may have been looking for it at once.
  if (now < entry.missing_until) return;
  entry.pause = std::clamp(2 * entry.pause, kFirstPause, kLongestPause);
  entry.missing_until = now + entry.pause;
}

bool KnownKeys::IsMissing(const KeySelector& key, absl::Time now) const {
  MutexLock lock(&mu_);
  const auto known = keys_.find(NameOf(key));
  return known != keys_.end() && now < known->second.missing_until;
}

std::optional<Canary> KnownKeys::FirstCanary(const KeySelector& key) const {
  MutexLock lock(&mu_);
  const auto known = keys_.find(NameOf(key));
  if (known == keys_.end()) return std::nullopt;
  return known->second.canary;
}

std::shared_ptr<NonceHistory> KnownKeys::Nonces(const KeySelector& key) {
  MutexLock lock(&mu_);
  std::shared_ptr<NonceHistory>& nonces = keys_[NameOf(key)].nonces;
  if (nonces == nullptr) nonces = std::make_shared<NonceHistory>();
  return nonces;
}

void KnownKeys::KeepCanary(const KeySelector& key, const Canary& canary) {
  MutexLock lock(&mu_);
  std::optional<Canary>& kept = keys_[NameOf(key)].canary;
  if (!kept.has_value()) kept = canary;
}

}  // namespace kekd
