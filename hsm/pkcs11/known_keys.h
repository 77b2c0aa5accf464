// What a worker remembers of keys, whatever becomes of their token.
#ifndef KEKD_HSM_PKCS11_KNOWN_KEYS_H_
#define KEKD_HSM_PKCS11_KNOWN_KEYS_H_

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"
#include "base/mutex.h"
#include "hsm/token/key_reference.h"
#include "hsm/token/nonce_history.h"

namespace kekd {

// What was sealed with a key, and how: whoever opens it again has proved that token, login, handle
// and key are fine.
struct Canary {
  std::string sealed;
  KeyMechanism mechanism = KeyMechanism::kGcmCallerIv;
};

// KnownKeys remembers keys of this process by their names, longer than any attachment: that one of
// them is not there any more is no ordinary answer, and what has its name after a restore may be
// another key. Thread-safe.
class KnownKeys final {
 public:
  // It is there.
  void Add(const KeySelector& key);
  // It is not there any more. Its canary stays: it may come back, or another one instead.
  void Remove(const KeySelector& key);
  bool Contains(const KeySelector& key) const;
  // It was destroyed on purpose: nothing is known of it any more.
  void Forget(const KeySelector& key);

  // It was not there right after C_Initialize, at `now`. That IsMissing then for kFirstPause, and
  // for twice as long each further time, up to kLongestPause: until it is looked for as hard again.
  // Add ends that.
  static constexpr absl::Duration kFirstPause = absl::Seconds(1);
  static constexpr absl::Duration kLongestPause = absl::Seconds(60);
  void NoteMissing(const KeySelector& key, absl::Time now);
  bool IsMissing(const KeySelector& key, absl::Time now) const;

  // The canary of when the key was found for the first time in this process.
  std::optional<Canary> FirstCanary(const KeySelector& key) const;
  // The nonces that the token made with the key, since it was found for the first time.
  std::shared_ptr<NonceHistory> Nonces(const KeySelector& key);
  // Keeps `canary`, unless there is one already.
  void KeepCanary(const KeySelector& key, const Canary& canary);

 private:
  using Name = std::pair<std::string, std::string>;  // label and id
  struct Entry {
    bool there = false;
    std::optional<Canary> canary = {};
    std::shared_ptr<NonceHistory> nonces = {};
    absl::Duration pause = absl::ZeroDuration();  // the last one; 0: it is not missing
    absl::Time missing_until = absl::InfinitePast();
  };
  static Name NameOf(const KeySelector& key) { return {key.label, key.id}; }

  mutable Mutex mu_;
  std::map<Name, Entry> keys_ ABSL_GUARDED_BY(mu_);
};

}  // namespace kekd

#endif  // KEKD_HSM_PKCS11_KNOWN_KEYS_H_
