#include "keystore/node_proof.h"

#include <openssl/crypto.h>

#include <cstdint>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/hex.h"
#include "base/length_prefixed.h"
#include "base/status_macros.h"
#include "keystore/rotation_record.h"

namespace kekd {
namespace {

constexpr absl::string_view kPrefix = "kekd-proof:1:";

absl::StatusOr<std::string> MacOf(absl::string_view key_id, absl::string_view node, int64_t millis,
                                  const RingKey& ring_key) {
  LengthPrefixed fields;
  fields.Add("kekd/node-proof/1").Add(ring_key.ring_uuid().bytes()).Add(key_id).Add(node);
  fields.Add(absl::StrCat(millis));
  KEKD_ASSIGN_OR_RETURN(const Sha256Digest mac, ring_key.NodeProofMac(AsBytes(fields.bytes())));
  return HexEncode(mac);
}

}  // namespace

absl::StatusOr<std::string> SignNodeProof(const NodeProof& proof, const RingKey& ring_key) {
  if (!IsNodeName(proof.node)) {
    return absl::InvalidArgumentError("a node's name has letters, digits, '.', '-' and '_' only");
  }
  const int64_t millis = absl::ToUnixMillis(proof.time);
  KEKD_ASSIGN_OR_RETURN(const std::string mac,
                        MacOf(proof.key_id.text(), proof.node, millis, ring_key));
  return absl::StrCat(kPrefix, proof.key_id.text(), ":", proof.node, ":", millis, ":", mac);
}

absl::StatusOr<NodeProof> VerifyNodeProof(absl::string_view text, const RingKey& ring_key) {
  constexpr size_t kMaxBytes = 2048;
  const std::vector<absl::string_view> fields =
      text.size() > kMaxBytes ? std::vector<absl::string_view>()
                              : absl::StrSplit(absl::StripPrefix(text, kPrefix), ':');
  int64_t millis = 0;
  if (!absl::StartsWith(text, kPrefix) || fields.size() != 4 || !IsNodeName(fields[1]) ||
      !absl::SimpleAtoi(fields[2], &millis)) {
    return absl::InvalidArgumentError(
        "this is no proof of a node; 'kekctl rotate prove' on that node prints it, one line that "
        "begins with \"kekd-proof:1:\"");
  }
  KEKD_ASSIGN_OR_RETURN(const std::string mac, MacOf(fields[0], fields[1], millis, ring_key));
  if (mac.size() != fields[3].size() ||
      CRYPTO_memcmp(mac.data(), fields[3].data(), mac.size()) != 0) {
    return absl::DataLossError(
        absl::StrCat("the proof of node ", fields[1],
                     " does not fit this keyring: it was cut or altered, or that node has a copy "
                     "of before the ring key was changed; bring it the newest copy"));
  }
  return NodeProof{std::string(fields[1]), KeyId(std::string(fields[0])),
                   absl::FromUnixMillis(millis)};
}

}  // namespace kekd
