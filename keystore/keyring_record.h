// The keyring record: a keyring as the bytes of one file.
#ifndef KEKD_KEYSTORE_KEYRING_RECORD_H_
#define KEKD_KEYSTORE_KEYRING_RECORD_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "keystore/keyring.h"
#include "keystore/ring_key.h"

namespace kekd {

// Record, formats 1 to 3 (docs/formats.md): magic "kekdring", format (u16), ring UUID (16 bytes),
// generation (u64), body length (u32), body (proto/kekd/keyring/v1), HMAC-SHA-256 over all before
// it under the ring key's record key. Integers are big-endian.
// Twice and more of what Keyring::kMaxVersions software versions take.
inline constexpr size_t kMaxRecordBytes = size_t{8} << 20;

// The record of `keyring` in its format, with the generation it carries. Deterministic: the same
// ring gives the same bytes.
absl::StatusOr<std::string> EncodeRecord(const Keyring& keyring, const RingKey& ring_key);

// A wrap of the ring key as the record holds it, for whoever sends one to the keyring's writer.
std::string EncodeWrap(const Wrap& wrap);
// DataLoss if the bytes are not what EncodeWrap makes; Unimplemented if a newer kekctl made them.
absl::StatusOr<Wrap> DecodeWrap(absl::string_view bytes);

// A record whose form is right and whose content nobody has vouched for yet. Only what is needed to
// find the ring key can be had from it.
class UnverifiedRecord final {
 public:
  // DataLoss if the bytes are no record or a damaged one; Unimplemented, naming both formats, if
  // they were written by a newer kekd. What it takes of memory is bounded whatever the bytes are:
  // whether they are authentic can only be told afterwards.
  static absl::StatusOr<UnverifiedRecord> Parse(std::string bytes);

  // The same for bytes whose format number is not known: as if it were this one. Only Verify tells
  // whether it was altered; whatever a newer kekd wrote it refuses.
  static absl::StatusOr<UnverifiedRecord> ParseAs(std::string bytes, uint16_t format);

  const RingIdentity& identity() const { return keyring_.identity(); }
  uint64_t generation() const { return keyring_.generation(); }
  const std::vector<Wrap>& ring_key_wraps() const { return keyring_.ring_key_wraps(); }
  uint32_t ring_key_number() const { return keyring_.ring_key_number(); }

  // The keyring, if the record was written by somebody who has the ring key; else DataLoss, which
  // tells another ring's record from an altered one.
  absl::StatusOr<Keyring> Verify(const RingKey& ring_key) const;

 private:
  UnverifiedRecord(std::string bytes, Keyring keyring)
      : bytes_(std::move(bytes)), keyring_(std::move(keyring)) {}

  std::string bytes_;
  Keyring keyring_;
};

}  // namespace kekd

#endif  // KEKD_KEYSTORE_KEYRING_RECORD_H_
