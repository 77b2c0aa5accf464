// What a token can do, found out by trying.
#ifndef KEKD_HSM_PKCS11_MECHANISM_SEARCH_H_
#define KEKD_HSM_PKCS11_MECHANISM_SEARCH_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "base/random_source.h"
#include "hsm/pkcs11/mechanism.h"
#include "hsm/pkcs11/module.h"
#include "hsm/pkcs11/session_pool.h"
#include "hsm/token/worker_message.h"

namespace kekd {

// What the failure of a try says of the token.
enum class Verdict : uint8_t {
  kCannot,     // it can't do this: another mechanism may do
  kUnclear,    // "general error" and its like: it can't, or not now
  kTransient,  // nothing: a device, a session, a login, memory
};
Verdict VerdictOn(const absl::Status& failure);

// The mechanisms (CK_MECHANISM_TYPE) that the module lists for the token.
absl::StatusOr<std::vector<CK_MECHANISM_TYPE>> ListMechanisms(const Module& module,
                                                              CK_SLOT_ID slot);
bool IsListed(absl::Span<const CK_MECHANISM_TYPE> listed, KeyMechanism mechanism);

struct FoundMechanism {
  SealingKey key;
  std::string reason;  // see KeyReference::mechanism_reason
};

// MechanismSearch tries mechanisms by round trips, in the order of their preference; those that the
// module does not list only if nothing that it lists works. A transient error ends the search, so
// that it never chooses a worse mechanism: whoever searches begins anew. One that is unclear is
// tried again, with a fresh session; if it stays and a worse mechanism then works, the better ones
// are tried once more, and only what fails while the token works is believed. Thread-compatible.
class MechanismSearch final {
 public:
  struct Keys {
    // A key of the kind; an error of its own rules out the kind's mechanisms, as a Verdict of it
    // says. May be asked again for a kind that was taken away.
    absl::FunctionRef<absl::StatusOr<SealingKey>(KeyKind)> make;
    // Takes it away again, and what may be left where it failed to be made.
    absl::FunctionRef<absl::Status(KeyKind)> take_away;
  };
  static constexpr KeyKind kAllKinds[] = {KeyKind::kCipher, KeyKind::kWrapping,
                                          KeyKind::kCipherAndMac, KeyKind::kRsa};
  static constexpr size_t kMaxReasonBytes = 512;

  // Everything outlives it. After the deadline (MonotonicNow()'s) it makes no key and tries none
  // any more: DeadlineExceeded. What a module has begun, as an RSA key, can't be ended.
  MechanismSearch(const Module& module, SessionPool::Lease& lease, const RandomSource& random,
                  absl::Span<const CK_MECHANISM_TYPE> listed, absl::Time deadline)
      : module_(module), lease_(lease), random_(random), listed_(listed), deadline_(deadline) {}

  // The first that works, its key still there; all others are taken away. FailedPrecondition with
  // what ruled out each if there is none.
  absl::StatusOr<FoundMechanism> Find(absl::Span<const KeyKind> kinds, Keys keys);
  // Each of them, for a report. RSA, which takes long to make, only if nothing else works.
  absl::StatusOr<std::vector<MechanismTrial>> TryAll(Keys keys);

 private:
  struct Outcome {
    bool tried = false;
    absl::Status status;
  };
  // Tries one kind's mechanisms, those listed or those not. True if *found was set.
  absl::StatusOr<bool> TryKind(KeyKind kind, bool listed, Keys keys, FoundMechanism& found);
  absl::Status TryMechanism(const SealingKey& key);
  absl::Status CheckTime() const;
  // The key of a kind, as long as there is time.
  absl::StatusOr<SealingKey> Make(KeyKind kind, const Keys& keys) const;
  absl::StatusOr<bool> Pass(absl::Span<const KeyKind> kinds, Keys keys, FoundMechanism& found);
  Outcome& OutcomeOf(KeyMechanism mechanism) {
    return outcomes_[static_cast<size_t>(mechanism) - 1];
  }
  bool IsUnclear(KeyMechanism before) const;
  std::string Reason(KeyMechanism chosen) const;
  std::string AllReasons(absl::Span<const KeyKind> kinds, KeyMechanism before) const;

  const Module& module_;
  SessionPool::Lease& lease_;
  const RandomSource& random_;
  const absl::Span<const CK_MECHANISM_TYPE> listed_;
  const absl::Time deadline_;
  Outcome outcomes_[kLastKeyMechanism];
};

}  // namespace kekd

#endif  // KEKD_HSM_PKCS11_MECHANISM_SEARCH_H_
