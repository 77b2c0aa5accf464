// Backups as an earlier kekd wrote them (write_golden_backup.cc). They are never made again: a
// backup may lie in a safe for years, and a reader takes every format it ever wrote.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "keystore/backup.h"
#include "tests/keystore/test_ring.h"
#include "tests/support/secrets.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_directory.h"

namespace kekd {
namespace {

using ::kekd::testing::ReadTestFile;
using ::kekd::testing::RevealedText;
using ::kekd::testing::SecretFromText;
using ::kekd::testing::TestIdentity;

std::string Golden(absl::string_view name) {
  return ReadTestFile(absl::StrCat(KEKD_TEST_DATA, "/", name));
}

class GoldenPassphrase final : public SecretSource {
 public:
  std::string Describe() const override { return "the golden passphrase"; }
  absl::StatusOr<SecretBytes> Read() const override {
    return SecretFromText("a golden passphrase of some words");
  }
};

void ExpectGoldenKeyring(const OpenedBackup& opened) {
  EXPECT_EQ(opened.record, Golden("keyring_v1.record"));
  EXPECT_EQ(opened.header.ring, TestIdentity());
  EXPECT_EQ(opened.header.generation, 9u);
  EXPECT_EQ(opened.header.highest_version, 4u);
  EXPECT_EQ(opened.header.record_format, 1u);
  EXPECT_EQ(opened.header.creation_time, absl::FromUnixMillis(1'767'100'000'123));
  EXPECT_EQ(opened.header.kekd_version, "0.1.0");
  const std::vector<VersionProof> proofs = ProveBackup(opened, absl::InfiniteFuture());
  ASSERT_EQ(proofs.size(), 3u);  // version 3 is destroyed
  for (const VersionProof& proof : proofs) KEKD_EXPECT_OK(proof.status);
}

TEST(GoldenBackupTest, PassphraseStillOpensIt) {
  const GoldenPassphrase passphrase;
  const std::string bytes = Golden("backup_v1.passphrase");
  KEKD_ASSERT_OK_AND_ASSIGN(const OpenedBackup opened,
                            OpenBackup(AsBytes(bytes), &passphrase, RandomSource::System()));
  ExpectGoldenKeyring(opened);
  const auto& kdf = std::get<KdfParameters>(opened.header.protection);
  EXPECT_EQ(kdf.function, KdfFunction::kScrypt);
  EXPECT_EQ(kdf.log2_n, 17u);
}

TEST(GoldenBackupTest, SharesStillOpenIt) {
  const std::string bytes = Golden("backup_v1.shares");
  for (const char* const third : {"backup_v1.share-3", "backup_v1.share-3.words"}) {
    std::vector<BackupShare> shares;
    for (const std::string& name : {std::string("backup_v1.share-1"), std::string(third)}) {
      KEKD_ASSERT_OK_AND_ASSIGN(BackupShare share, ParseShare(AsBytes(Golden(name)), name));
      shares.push_back(std::move(share));
    }
    KEKD_ASSERT_OK_AND_ASSIGN(
        const OpenedBackup opened,
        OpenBackup(AsBytes(bytes), absl::MakeConstSpan(shares), RandomSource::System()));
    ExpectGoldenKeyring(opened);
    EXPECT_EQ(std::get<ShareNumbers>(opened.header.protection), (ShareNumbers{2, 3}));
  }
}

TEST(GoldenBackupTest, ShareIsWrittenAgainByteForByte) {
  KEKD_ASSERT_OK_AND_ASSIGN(const BackupShare share,
                            ParseShare(AsBytes(Golden("backup_v1.share-3.words")), "words"));
  KEKD_ASSERT_OK_AND_ASSIGN(
      const SecretBytes content,
      ShareFileContent(share, "prod", absl::FromUnixMillis(1'767'100'000'123)));
  // But for the line for people, whose text may change.
  const auto share_line = [](const std::string& text) { return text.substr(text.find('\n')); };
  EXPECT_EQ(share_line(RevealedText(content)), share_line(Golden("backup_v1.share-3")));
  KEKD_ASSERT_OK_AND_ASSIGN(const SecretBytes words, ShareWords(share));
  EXPECT_EQ(RevealedText(words), Golden("backup_v1.share-3.words"));
}

TEST(GoldenBackupTest, HeaderIsWrittenAgainByteForByte) {
  for (const char* const name : {"backup_v1.shares", "backup_v1.passphrase"}) {
    const std::string bytes = Golden(name);
    KEKD_ASSERT_OK_AND_ASSIGN(const SealedBackup sealed, ParseBackup(AsBytes(bytes)));
    KEKD_ASSERT_OK_AND_ASSIGN(const std::string head,
                              EncodeBackupHead(sealed.header, sealed.payload.size()));
    EXPECT_EQ(head, AsText(sealed.authenticated));
  }
}

}  // namespace
}  // namespace kekd
