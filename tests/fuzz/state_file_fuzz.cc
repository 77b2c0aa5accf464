// The files beside a ring: the high-water file, the list of backups and a key file, as they may lie
// on a disk, and behind an HMAC that fits.
#include <string>

#include "base/durable_file.h"
#include "base/length_prefixed.h"
#include "keystore/backup_log.h"
#include "keystore/high_water.h"
#include "keystore/key_file.h"
#include "tests/fakes/fake_random_source.h"
#include "tests/fakes/memory_file_system.h"
#include "tests/fuzz/choices.h"
#include "tests/keystore/test_ring.h"
#include "tests/support/secrets.h"

namespace kekd {
namespace {

using ::kekd::testing::Choices;
using ::kekd::testing::Require;

constexpr absl::string_view kPath = "/state/file";

const RingKey& TheRingKey() {
  static const auto* const ring_key = new std::shared_ptr<const RingKey>(
      *RingKey::Create(testing::SecretFromText(std::string(32, 'r')),
                       testing::TestIdentity().ring_uuid, RandomSource::System()));
  return **ring_key;
}

Uuid RingUuid() { return testing::TestIdentity().ring_uuid; }

std::string Head(absl::string_view magic) {
  std::string bytes(magic);
  AppendU16(bytes, 1);
  return bytes + std::string(AsText(RingUuid().bytes()));
}

std::string WithMac(const std::string& bytes, const absl::StatusOr<Sha256Digest>& mac) {
  return bytes + std::string(AsText(*mac));
}

void Put(FileSystem& fs, absl::string_view content) {
  Require(ReplaceFileDurably(fs, kPath, AsBytes(content), {}).ok());
}

void CheckRefused(const absl::Status& status) {
  Require(absl::IsDataLoss(status) || absl::IsUnimplemented(status) || absl::IsOutOfRange(status));
}

void CheckHighWater(FileSystem& fs, const std::string& content, bool authentic) {
  Put(fs, content);
  const absl::StatusOr<HighWater> mark = ReadHighWater(fs, kPath, RingUuid(), TheRingKey());
  if (!mark.ok()) return CheckRefused(mark.status());
  Require(authentic);
  Require(WriteHighWater(fs, kPath, RingUuid(), TheRingKey(), *mark, {}).ok());
  Require(*fs.ReadFile(kPath, 4096) == content);
}

void CheckBackupLog(FileSystem& fs, const std::string& content, bool authentic) {
  Put(fs, content);
  absl::StatusOr<std::vector<BackupLogEntry>> entries =
      ReadBackupLog(fs, kPath, RingUuid(), TheRingKey());
  const Keyring ring = testing::WithOneMore(testing::EmptyTestKeyring());
  Require(!BackupWarnings(ring, entries).empty());
  if (!entries.ok()) return CheckRefused(entries.status());
  Require(authentic && entries->size() <= kMaxBackupLogEntries);
  for (const BackupLogEntry& entry : std::vector<BackupLogEntry>(*entries)) {
    AddBackup(*entries, entry);
    Require(entries->size() <= kMaxBackupLogEntries);
  }
  Require(WriteBackupLog(fs, kPath, RingUuid(), TheRingKey(), *entries, {}).ok());
  Require(ReadBackupLog(fs, kPath, RingUuid(), TheRingKey()).ok());
}

void CheckKeyFile(absl::string_view content) {
  const absl::StatusOr<SecretBytes> secret =
      ParseKeyFile(testing::SecretFromText(content), "key file");
  if (!secret.ok()) return CheckRefused(secret.status());
  Require(secret->size() == 32);
}

// A key file of these bytes with one character of it changed, or none.
void CheckAlteredKeyFile(Choices& choices) {
  std::string secret(choices.Take(32));
  secret.resize(32);
  testing::FakeRandomSource random;
  random.Queue(secret);
  std::string line = testing::RevealedText(*NewKeyFileLine(random));
  const std::string good = line;
  const size_t at = choices.Byte() % line.size();
  line[at] = static_cast<char>(line[at] ^ choices.Byte());
  const absl::StatusOr<SecretBytes> parsed =
      ParseKeyFile(testing::SecretFromText(line), "key file");
  // The line end may be another one.
  const bool intact = line == good || (at + 1 == line.size() && line.back() == '\r');
  Require(parsed.ok() == intact);
  if (parsed.ok()) Require(testing::RevealedText(*parsed) == secret);
}

}  // namespace
}  // namespace kekd

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace kekd;
  testing::Choices choices(AsText(ByteView(data, size)));
  testing::MemoryFileSystem fs({"/state"});
  const uint32_t kind = choices.Below(6);
  if (kind == 5) {
    CheckAlteredKeyFile(choices);
    return 0;
  }
  const std::string rest(choices.Rest());
  if (kind == 0) CheckHighWater(fs, rest, false);
  if (kind == 1) {
    const std::string bytes = Head("kekdhigh") + rest;
    CheckHighWater(fs, WithMac(bytes, TheRingKey().HighWaterMac(AsBytes(bytes))), true);
  }
  if (kind == 2) CheckBackupLog(fs, rest, false);
  if (kind == 3) {
    const std::string bytes = Head("kekdblog") + rest;
    const absl::StatusOr<SecretBytes> key =
        HkdfSha256(TheRingKey().secret(), RingUuid().bytes(), "kekd/backup-log-mac/1");
    CheckBackupLog(fs, WithMac(bytes, HmacSha256(*key, AsBytes(bytes))), true);
  }
  if (kind == 4) CheckKeyFile(rest);
  return 0;
}
