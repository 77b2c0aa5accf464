// A keyring record: as it may lie on a disk, and, behind the HMAC, a body that somebody signed.
#include <cstdlib>
#include <memory>
#include <string>

#include "base/length_prefixed.h"
#include "keystore/keyring_record.h"
#include "tests/keystore/test_ring.h"
#include "tests/support/secrets.h"

namespace kekd {
namespace {

const RingKey& TheRingKey() {
  static const auto* const ring_key = new std::shared_ptr<const RingKey>(
      *RingKey::Create(testing::SecretFromText(std::string(32, 'r')),
                       testing::TestIdentity().ring_uuid, RandomSource::System()));
  return **ring_key;
}

std::string Signed(absl::string_view body) {
  std::string record = "kekdring";
  AppendU16(record, Keyring::kFormat);
  const Uuid ring_uuid = testing::TestIdentity().ring_uuid;
  record.append(ring_uuid.bytes().begin(), ring_uuid.bytes().end());
  AppendU64(record, 5);
  AppendU32(record, static_cast<uint32_t>(body.size()));
  record.append(body.data(), body.size());
  const Sha256Digest mac = *TheRingKey().RecordMac(AsBytes(record));
  record.append(mac.begin(), mac.end());
  return record;
}

void Check(const std::string& bytes, bool authentic) {
  const absl::StatusOr<UnverifiedRecord> record = UnverifiedRecord::Parse(bytes);
  if (!record.ok()) {
    const bool expected =
        absl::IsDataLoss(record.status()) || absl::IsUnimplemented(record.status());
    if (!expected) abort();
    return;
  }
  const absl::StatusOr<Keyring> keyring = record->Verify(TheRingKey());
  if (authentic != keyring.ok()) abort();
  if (!keyring.ok()) return;
  // One ring has one encoding.
  const absl::StatusOr<std::string> again = EncodeRecord(*keyring, TheRingKey());
  if (!again.ok() || *again != bytes) abort();
}

}  // namespace
}  // namespace kekd

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view input = kekd::AsText(kekd::ByteView(data, size));
  // Nobody finds an HMAC by trying, so raw bytes are never authentic (the corpus is of another
  // key).
  kekd::Check(std::string(input), false);
  kekd::Check(kekd::Signed(input), true);
  return 0;
}
