// Writes the files that golden_files_test.cc reads, in the format and into the folder that are
// named. Run once for each format, and kept as the description of what is in them.
#include <sys/stat.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "keystore/canary.h"
#include "keystore/ciphertext.h"
#include "keystore/envelope_key_backend.h"
#include "keystore/high_water.h"
#include "keystore/key_file.h"
#include "keystore/keyring_record.h"
#include "keystore/ring_key_wrapper.h"
#include "keystore/secret_source.h"
#include "keystore/software_key_backend.h"
#include "tests/fakes/fake_key_backend.h"
#include "tests/fakes/fake_random_source.h"
#include "tests/keystore/one_key_device.h"
#include "tests/keystore/test_ring.h"
#include "tests/support/secrets.h"
#include "tests/support/temp_directory.h"

namespace kekd {
namespace {

using ::kekd::testing::CreateOneKeyDevice;
using ::kekd::testing::FakeKeyBackend;
using ::kekd::testing::FakeRandomSource;
using ::kekd::testing::SecretFromText;
using ::kekd::testing::TestIdentity;
using ::kekd::testing::TestUuid;
using ::kekd::testing::WriteTestFile;

constexpr absl::string_view kPlaintext = "the seed that an API server once encrypted";

absl::Time At(int64_t seconds) { return absl::FromUnixSeconds(1'767'000'000 + seconds); }

// In format 2: a ring whose second ring key it is, with a wrap for a key file and one for a
// passphrase; wrap 2 was removed.
absl::Status AddFormat2(const RingKey& ring_key, const RandomSource& random,
                        const std::string& passphrase_file, Keyring::Parts& parts) {
  WriteTestFile(passphrase_file, "correct horse battery staple\n");
  if (chmod(passphrase_file.c_str(), 0600) != 0) return absl::InternalError("chmod");
  KEKD_ASSIGN_OR_RETURN(
      Wrap wrap,
      CreatePassphraseWrapper(CreateFileSecretSource(FileSystem::System(), "passphrase file",
                                                     passphrase_file, std::nullopt),
                              "the safe in room 4", KdfFunction::kScrypt, random)
          ->WrapRingKey(ring_key, parts.identity));
  wrap.number = 3;
  parts.ring_key_wraps.push_back(std::move(wrap));
  for (Wrap& each : parts.ring_key_wraps) each.creation_time = At(each.number);
  parts.next_wrap_number = 4;
  KEKD_ASSIGN_OR_RETURN(const std::shared_ptr<const RingKey> former,
                        RingKey::Generate(parts.identity.ring_uuid, random));
  KEKD_ASSIGN_OR_RETURN(parts.former_ring_key, ring_key.WrapFormer(*former));
  parts.ring_key_number = 2;
  return absl::OkStatus();
}

// Versions 1 (deactivated, compromised), 2 (active), 3 (of a device, destroyed), 4
// (pre-activation), and from format 3 on 5 (wrapped by a device, pre-activation). In format 4 a
// rotation to version 4 runs, and one of its two nodes has proved.
absl::Status WriteGoldenFiles(uint16_t format, const std::string& folder) {
  const auto path = [&](absl::string_view name) {
    return absl::StrCat(folder, "/keyring_v", format, ".", name);
  };
  const FakeRandomSource random(2026);
  FileSystem& fs = FileSystem::System();
  const RingIdentity ring = TestIdentity();
  const absl::Time deadline = absl::InfiniteFuture();
  KEKD_RETURN_IF_ERROR(CreateKeyFile(fs, path("key"), std::nullopt, std::nullopt, random));
  KEKD_ASSIGN_OR_RETURN(const std::shared_ptr<const RingKey> ring_key,
                        RingKey::Generate(ring.ring_uuid, random));
  Keyring::Parts parts;
  parts.identity = ring;
  parts.creation_time = At(0);
  KEKD_ASSIGN_OR_RETURN(
      Wrap wrap,
      CreateKeyFileWrapper(CreateFileSecretSource(fs, "key file", path("key"), std::nullopt),
                           "/etc/kekd/prod.key", random)
          ->WrapRingKey(*ring_key, ring));
  wrap.number = 1;
  parts.ring_key_wraps.push_back(std::move(wrap));
  parts.next_wrap_number = 2;
  parts.format = format;
  if (format > 1) KEKD_RETURN_IF_ERROR(AddFormat2(*ring_key, random, path("passphrase"), parts));
  KEKD_ASSIGN_OR_RETURN(Keyring keyring, Keyring::Create(std::move(parts)));

  const std::unique_ptr<KeyBackend> software = CreateSoftwareKeyBackend(ring_key, random);
  FakeKeyBackend device(FakeKeyBackend::NewDevice(), "pkcs11", random);
  for (uint32_t number = 1; number <= 4; ++number) {
    KEKD_ASSIGN_OR_RETURN(KeyVersion version,
                          MakeKeyVersion({ring, number}, number == 3 ? device : *software, random,
                                         At(number), deadline));
    KEKD_ASSIGN_OR_RETURN(keyring, keyring.WithNewVersion(std::move(version)));
  }
  if (format > 2) {
    const std::unique_ptr<KeyBackend> wrapping =
        CreateEnvelopeKeyBackend(CreateOneKeyDevice(random), WrapType::kPkcs11, random);
    KEKD_ASSIGN_OR_RETURN(KeyVersion version, MakeKeyVersion({ring, 5}, *wrapping, random, At(5),
                                                             deadline, Custody::kEnvelope));
    KEKD_ASSIGN_OR_RETURN(keyring, keyring.WithNewVersion(std::move(version)));
  }
  KEKD_ASSIGN_OR_RETURN(keyring, keyring.WithPromoted(1, At(10)));
  KEKD_ASSIGN_OR_RETURN(keyring, keyring.WithPromoted(2, At(20)));
  KEKD_ASSIGN_OR_RETURN(keyring, keyring.WithDestroyed(3, At(30)));
  KEKD_ASSIGN_OR_RETURN(keyring, keyring.WithCompromised(1, At(40)));
  if (format > 3) {
    RotationRecord rotation;
    rotation.to = 4;
    rotation.who = "alice@cp1";
    rotation.reason = "the yearly one";
    rotation.nodes = {"cp1", "cp2"};
    KEKD_ASSIGN_OR_RETURN(keyring, keyring.WithRotationBegun(std::move(rotation), At(50)));
    KEKD_ASSIGN_OR_RETURN(keyring, keyring.WithRotationAt(4, RotationStep::kProve, At(51)));
    KEKD_ASSIGN_OR_RETURN(keyring, keyring.WithNodeProved(4, "cp2", At(52)));
  }
  keyring = keyring.WithApplied(TestUuid(1), 2, std::string(32, 'd'))
                .WithGeneration(8)
                .WithApplied(TestUuid(2), 1, std::string(32, 'e'));
  KEKD_ASSIGN_OR_RETURN(const std::string record,
                        EncodeRecord(keyring.WithGeneration(9), *ring_key));
  WriteTestFile(path("record"), record);
  KEKD_RETURN_IF_ERROR(WriteHighWater(fs, path("high-water"), ring.ring_uuid, *ring_key,
                                      {.highest = 11, .accepted = 9}, {}));

  const KeyVersion& primary = *keyring.Primary();
  KEKD_ASSIGN_OR_RETURN(const std::shared_ptr<const BackendKey> key,
                        software->OpenKey({ring, 2}, primary.material, deadline));
  KEKD_ASSIGN_OR_RETURN(
      const std::string sealed,
      key->Encrypt(SecretFromText(kPlaintext),
                   AsBytes(CiphertextAssociatedData(ring, key->algorithm(), primary.key_id)),
                   deadline));
  WriteTestFile(path("ciphertext"), Ciphertext::Header(key->algorithm(), 2) + sealed);
  return absl::OkStatus();
}

}  // namespace
}  // namespace kekd

int main(int argc, char** argv) {
  const int format = argc == 3 ? atoi(argv[1]) : 0;
  if (format < kekd::Keyring::kOldestFormat || format > kekd::Keyring::kFormat) {
    fprintf(stderr, "usage: write_golden_files FORMAT FOLDER\n");
    return 2;
  }
  const absl::Status written = kekd::WriteGoldenFiles(static_cast<uint16_t>(format), argv[2]);
  if (!written.ok()) fprintf(stderr, "%s\n", written.ToString().c_str());
  return written.ok() ? 0 : 1;
}
