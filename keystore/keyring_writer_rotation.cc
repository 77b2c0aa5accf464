#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "keystore/keyring_writer.h"
#include "keystore/node_proof.h"

namespace kekd {

absl::StatusOr<KeyringWriter::Change> KeyringWriter::WithRotationBegunLocked(
    const Keyring& ring, const BeginRotation& begin, absl::Time deadline) {
  RotationRecord rotation;
  rotation.to = begin.number == 0 ? ring.NextVersionNumber() : begin.number;
  rotation.who = begin.who;
  rotation.reason = begin.reason;
  rotation.nodes = begin.nodes;
  const absl::Time now = options_.clock->Now();
  if (begin.number != 0) {
    KEKD_ASSIGN_OR_RETURN(Keyring next, ring.WithRotationBegun(std::move(rotation), now));
    return Change{std::move(next), begin.number};
  }
  // Before a key is made on a device for nothing.
  KEKD_RETURN_IF_ERROR(ring.CheckMayBeginRotation());
  KEKD_RETURN_IF_ERROR(CheckRotationRecord(rotation));
  KEKD_ASSIGN_OR_RETURN(Change change, WithCreatedLocked(ring, begin.create, deadline));
  absl::StatusOr<Keyring> next = change.next.WithRotationBegun(std::move(rotation), now);
  if (!next.ok()) {
    SettleMadeKeyLocked(change);
    return next.status();
  }
  change.next = *std::move(next);
  return change;
}

absl::StatusOr<KeyringWriter::Change> KeyringWriter::WithNodeProvedLocked(
    const Keyring& ring, const RecordNodeProof& record) {
  KEKD_ASSIGN_OR_RETURN(const NodeProof proof,
                        VerifyNodeProof(record.proof, *options_.store->ring_key()->Get()));
  const KeyVersion* const version = ring.Find(record.to);
  if (version == nullptr || !(version->key_id == proof.key_id)) {
    return absl::InvalidArgumentError(absl::StrCat("the proof of node ", proof.node, " is for ",
                                                   proof.key_id.text(), ", not for key version ",
                                                   record.to));
  }
  KEKD_ASSIGN_OR_RETURN(Keyring next, ring.WithNodeProved(record.to, proof.node, proof.time));
  return Change{std::move(next), record.to};
}

absl::Status KeyringWriter::EndKeyLocked(const Keyring& ring, uint32_t number,
                                         absl::Time deadline) {
  const KeyVersion& version = *ring.Find(number);
  if (!version.material.HasDeviceKey()) return absl::OkStatus();
  KEKD_ASSIGN_OR_RETURN(KeyBackend* const backend, options_.backends->Find(version.backend));
  return backend->DestroyKey({ring.identity(), number}, version.material, deadline);
}

absl::StatusOr<std::string> KeyringWriter::ProveNode(uint32_t number, absl::string_view node,
                                                     absl::Time deadline) const {
  const std::shared_ptr<const OpenKeyring> current = current_->Get();
  const KeyVersion* const version = current->keyring().Find(number);
  if (version == nullptr) {
    return absl::NotFoundError(absl::StrCat("this node's copy of the keyring has no key version ",
                                            number, ": bring it the newest one"));
  }
  KEKD_RETURN_IF_ERROR(
      WithContext(current->CheckDecrypts(number, deadline), absl::StrCat("key version ", number)));
  return SignNodeProof({std::string(node), version->key_id, options_.clock->Now()},
                       *options_.store->ring_key()->Get());
}

}  // namespace kekd
