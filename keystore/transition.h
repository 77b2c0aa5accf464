// What an operator may ask of a keyring.
#ifndef KEKD_KEYSTORE_TRANSITION_H_
#define KEKD_KEYSTORE_TRANSITION_H_

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "keystore/key_version.h"
#include "keystore/rotation_record.h"

namespace kekd {

struct CreateVersion {
  std::string backend;                            // a type of the ring's BackendSet
  std::optional<Custody> custody = std::nullopt;  // none: the backend's own
};
// A version of a key that is there already, made by others.
struct AdoptKey {
  std::string backend;    // a type of the ring's BackendSet, of those that can adopt
  std::string reference;  // the key, in the backend's own words
  bool allow_extractable = false;
};
struct PromoteVersion {
  uint32_t number = 0;
};
// One more wrap of the ring key. Whoever asks has made it and tried that it opens; its number is
// the ring's next_wrap_number().
struct AddWrap {
  Wrap wrap;
};
// A new ring key instead of the one there is, without the wraps of these numbers: so that what
// opened them opens nothing that comes after. Whoever asks has made the ring key and wrapped it for
// all that stay; the writer itself opens it with the secrets of its store, which proves that the
// next start will, and wraps the keys of the versions anew.
struct ReplaceRingKey {
  std::vector<uint32_t> removed;
  std::vector<Wrap> wraps;
};
// Writes the record in the newest format from now on.
struct UpgradeFormat {};
// Begins a rotation (Keyring::WithRotationBegun), in the one commit that makes its version too.
struct BeginRotation {
  CreateVersion create;            // the version it leads to; or
  uint32_t number = 0;             // one that is there already, pre-activation
  std::string who;                 // for people
  std::string reason;              // for people
  std::vector<std::string> nodes;  // that are to prove that they can decrypt under it
};
// The running rotation to version `to` has done what comes before `step`. Before kProve the writer
// tests the new version itself, as before its promotion; what comes after that is for whoever asks
// to have seen: `evidence` is what it saw, for the log.
struct AdvanceRotation {
  uint32_t to = 0;
  RotationStep step = RotationStep::kSelfTest;
  std::string evidence;
};
// A node of the rotation to `to` can decrypt under its version (SignNodeProof).
struct RecordNodeProof {
  uint32_t to = 0;
  std::string proof;
};
// Ends the running rotation; its version stays as it is.
struct AbortRotation {
  uint32_t to = 0;
  std::string reason;
};
// Destroys the material of a version for ever: whoever asks has proved that nothing refers to it,
// and `evidence` says how, for the log. Of one that is destroyed already, what a device may still
// hold of it.
struct DestroyVersion {
  uint32_t number = 0;
  std::string evidence;
};
// Marks a version as known to others.
struct MarkCompromised {
  uint32_t number = 0;
};
using Transition = std::variant<CreateVersion, AdoptKey, PromoteVersion, AddWrap, ReplaceRingKey,
                                UpgradeFormat, BeginRotation, AdvanceRotation, RecordNodeProof,
                                AbortRotation, DestroyVersion, MarkCompromised>;

// SHA-256 of what a transition asks for, so that a repeated request id is told from a reused one.
absl::StatusOr<std::string> DigestOf(const Transition& transition);
// "created key version 4", for a log and for whoever comes too late with another change. `version`
// is the one made or changed, if any.
std::string DescribeChange(const Transition& transition, uint32_t version);

}  // namespace kekd

#endif  // KEKD_KEYSTORE_TRANSITION_H_
