// The keyring: an ordered list of key versions, and every change it allows.
#ifndef KEKD_KEYSTORE_KEYRING_H_
#define KEKD_KEYSTORE_KEYRING_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/uuid.h"
#include "keystore/key_version.h"
#include "keystore/rotation_record.h"

namespace kekd {

// A change that was carried out, remembered so that the same request repeated is harmless.
struct AppliedRequest {
  Uuid request_id;
  uint64_t generation = 0;  // that it made; 0: not committed yet
  uint32_t version = 0;     // the key version it made or changed; 0: none
  std::string digest = {};  // SHA-256 of what was asked for; empty in record format 1

  friend bool operator==(const AppliedRequest& a, const AppliedRequest& b) {
    return a.request_id == b.request_id && a.generation == b.generation && a.version == b.version &&
           a.digest == b.digest;
  }
};

// Keyring is an immutable value: each change returns a new one and is refused unless the state
// table (NIST SP 800-57 part 1, section 7) allows it:
//
//   WithNewVersion   nothing       -> pre-activation
//   WithPromoted     pre-activation -> active, and the former active -> deactivated
//   WithCompromised  any, adds the mark
//   WithDestroyed    pre-activation, deactivated -> destroyed
//
// While a rotation runs no other version than its own becomes the primary, that one not before it
// is at that step, and neither of the two it is between is destroyed.
//
// What a ring can hold depends on the format of its record (docs/formats.md), which only
// WithFormat raises; a change that needs a newer one is refused with the command that raises it.
//
// At most one version is active, and once one is, exactly one. Numbers and key ids are never
// reused. A change says nothing of the disk: KeyringStore::Commit gives the value its generation.
// Immutable, hence thread-safe.
class Keyring final {
 public:
  static constexpr size_t kMaxVersions = 10000;
  static constexpr size_t kMaxAppliedRequests = 32;
  static constexpr size_t kMaxWraps = 64;
  // Of the record: what new rings get, and the oldest that is still read and written.
  static constexpr uint16_t kFormat = 4;
  static constexpr uint16_t kOldestFormat = 1;

  // What a keyring is made of; also how a store builds one from a record.
  struct Parts {
    RingIdentity identity;
    uint64_t generation = 0;  // 0: not stored yet
    absl::Time creation_time;
    std::vector<Wrap> ring_key_wraps;
    std::vector<KeyVersion> versions;              // by number
    std::vector<AppliedRequest> applied_requests;  // oldest first
    uint16_t format = kFormat;
    // The numbers that the ring key's wraps have in format 1 are their places, from 1.
    uint32_t next_wrap_number = 1;
    uint32_t ring_key_number = 1;  // counts the ring keys of this ring
    std::string former_ring_key;   // wrapped under this one (RingKey::WrapFormer); or empty
    std::optional<RotationRecord> rotation = {};  // the newest; none: there never was one
  };
  // InvalidArgument, naming the rule, if the parts break one of the rules above.
  static absl::StatusOr<Keyring> Create(Parts parts);

  const RingIdentity& identity() const { return parts_.identity; }
  uint64_t generation() const { return parts_.generation; }
  absl::Time creation_time() const { return parts_.creation_time; }
  const std::vector<Wrap>& ring_key_wraps() const { return parts_.ring_key_wraps; }
  const std::vector<KeyVersion>& versions() const { return parts_.versions; }
  const std::vector<AppliedRequest>& applied_requests() const { return parts_.applied_requests; }
  uint16_t format() const { return parts_.format; }
  uint32_t next_wrap_number() const { return parts_.next_wrap_number; }
  uint32_t ring_key_number() const { return parts_.ring_key_number; }
  const std::string& former_ring_key() const { return parts_.former_ring_key; }
  const std::optional<RotationRecord>& rotation() const { return parts_.rotation; }
  const Parts& parts() const { return parts_; }

  // Null if there is none. The primary is the one active version.
  const KeyVersion* Primary() const;
  const KeyVersion* Find(uint32_t number) const;
  const KeyVersion* Find(const KeyId& key_id) const;
  const AppliedRequest* FindApplied(const Uuid& request_id) const;
  const Wrap* FindWrap(uint32_t number) const;
  uint32_t NextVersionNumber() const;

  // `version` carries NextVersionNumber() and a key id that the ring never had; its state becomes
  // pre-activation. FailedPrecondition if the ring is full.
  absl::StatusOr<Keyring> WithNewVersion(KeyVersion version) const;
  // NotFound for an unknown number. FailedPrecondition unless it is pre-activation and not
  // compromised: a version that was primary once is never primary again, since a key_id must not
  // come back (KMS v2, "key_id and rotation"). Takes a rotation to this version to its next step.
  absl::StatusOr<Keyring> WithPromoted(uint32_t number, absl::Time now) const;
  absl::StatusOr<Keyring> WithCompromised(uint32_t number, absl::Time now) const;
  // FailedPrecondition for the primary. Drops the wraps; the record of the version stays. Whether
  // anything still refers to it is for the caller to have proved.
  absl::StatusOr<Keyring> WithDestroyed(uint32_t number, absl::Time now) const;

  // FailedPrecondition, with the command to use, if a rotation runs or the format has none.
  absl::Status CheckMayBeginRotation() const;
  // A rotation to `rotation.to`, a pre-activation version of this ring, at its first step and from
  // the primary that there is. FailedPrecondition if one runs.
  absl::StatusOr<Keyring> WithRotationBegun(RotationRecord rotation, absl::Time now) const;
  // The rotation to `to` goes on to `step`, from the one before; never to what WithPromoted does.
  // OK and the same ring if it is there already. FailedPrecondition if another rotation runs, or
  // if nodes have yet to prove.
  absl::StatusOr<Keyring> WithRotationAt(uint32_t to, RotationStep step, absl::Time now) const;
  // Of the roster's node; InvalidArgument if it is not in it. A later proof replaces one.
  absl::StatusOr<Keyring> WithNodeProved(uint32_t to, absl::string_view node, absl::Time now) const;
  // Ends the rotation to `to`. Its version stays as it is: a ring that was rolled back, or whose
  // newest copy was lost, doesn't know that it had promoted it, and what is stored under it.
  absl::StatusOr<Keyring> WithRotationAborted(uint32_t to, absl::string_view reason,
                                              absl::Time now) const;

  // One more wrap of the ring key, of number next_wrap_number().
  absl::StatusOr<Keyring> WithWrap(Wrap wrap, absl::Time now) const;
  // The same ring under a new ring key: some of the ring key's wraps, made anew under their old
  // numbers, and every wrap that the former ring key made. FailedPrecondition if a wrap is left out
  // that is not in `removed`.
  struct NewRingKey {
    std::vector<uint32_t> removed;                 // numbers of wraps
    std::vector<Wrap> wraps;                       // the others, of the new ring key
    std::vector<std::vector<Wrap>> version_wraps;  // of each key version, in their order
    std::string former_ring_key;                   // wrapped under the new one
  };
  absl::StatusOr<Keyring> WithNewRingKey(NewRingKey change) const;
  // What WithNewRingKey asks of the wraps, before any of them is opened: each one that stays is
  // there once, made anew, and costs to open what new ones cost.
  absl::Status CheckNewWraps(const std::vector<uint32_t>& removed,
                             const std::vector<Wrap>& wraps) const;
  // The same ring in a newer format. FailedPrecondition if it has it already.
  absl::StatusOr<Keyring> WithFormat(uint16_t format) const;
  // FailedPrecondition, with the command that raises it, if the format is older than `what` needs.
  absl::Status ExpectFormat(uint16_t format, absl::string_view what) const;
  // Remembers a request beside the change it made, with the generation that the next commit gives;
  // the oldest is forgotten beyond kMaxAppliedRequests.
  Keyring WithApplied(const Uuid& request_id, uint32_t version, absl::string_view digest) const;
  // For stores, the last line of defence before a record is replaced: FailedPrecondition unless
  // this is `before` with changes that a ring allows: the same ring, every version still there as
  // the same key, and ring key wraps to open it with.
  absl::Status CheckSucceeds(const Keyring& before) const;
  // For stores: the same ring as a committed generation, also that of requests not yet committed.
  Keyring WithGeneration(uint64_t generation) const;

 private:
  explicit Keyring(Parts parts) : parts_(std::move(parts)) {}
  // The rotation to `to` if it runs; else FailedPrecondition, with the one that there is.
  absl::StatusOr<RotationRecord> RunningTo(uint32_t to) const;
  absl::StatusOr<Keyring> WithRotation(RotationRecord rotation) const;
  // The parts with one version changed, for the With… functions.
  absl::StatusOr<Parts> PartsFor(uint32_t number) const;

  Parts parts_;
};

}  // namespace kekd

#endif  // KEKD_KEYSTORE_KEYRING_H_
