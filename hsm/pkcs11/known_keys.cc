#include "hsm/pkcs11/known_keys.h"

namespace kekd {

void KnownKeys::Add(const KeySelector& key) {
  MutexLock lock(&mu_);
  keys_[NameOf(key)].there = true;
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

std::optional<Canary> KnownKeys::FirstCanary(const KeySelector& key) const {
  MutexLock lock(&mu_);
  const auto known = keys_.find(NameOf(key));
  if (known == keys_.end()) return std::nullopt;
  return known->second.canary;
}

void KnownKeys::KeepCanary(const KeySelector& key, const Canary& canary) {
  MutexLock lock(&mu_);
  std::optional<Canary>& kept = keys_[NameOf(key)].canary;
  if (!kept.has_value()) kept = canary;
}

}  // namespace kekd
