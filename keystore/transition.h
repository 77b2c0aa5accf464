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
using Transition =
    std::variant<CreateVersion, AdoptKey, PromoteVersion, AddWrap, ReplaceRingKey, UpgradeFormat>;

// SHA-256 of what a transition asks for, so that a repeated request id is told from a reused one.
absl::StatusOr<std::string> DigestOf(const Transition& transition);
// "created key version 4", for a log and for whoever comes too late with another change. `version`
// is the one made or changed, if any.
std::string DescribeChange(const Transition& transition, uint32_t version);

}  // namespace kekd

#endif  // KEKD_KEYSTORE_TRANSITION_H_
