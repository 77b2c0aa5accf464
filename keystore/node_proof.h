// What a node says of itself to the node that rotates: that it can decrypt under a key version.
#ifndef KEKD_KEYSTORE_NODE_PROOF_H_
#define KEKD_KEYSTORE_NODE_PROOF_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "keystore/key_id.h"
#include "keystore/ring_key.h"

namespace kekd {

struct NodeProof {
  std::string node;  // IsNodeName
  KeyId key_id;      // of a version whose canary it has just decrypted
  absl::Time time;   // by its clock
};

// One line of text that only a holder of the ring key can make (docs/formats.md): no secret, to be
// carried to another node by hand or by a script.
absl::StatusOr<std::string> SignNodeProof(const NodeProof& proof, const RingKey& ring_key);

// InvalidArgument if it is none; DataLoss if it was made under another ring key, or altered.
absl::StatusOr<NodeProof> VerifyNodeProof(absl::string_view text, const RingKey& ring_key);

}  // namespace kekd

#endif  // KEKD_KEYSTORE_NODE_PROOF_H_
