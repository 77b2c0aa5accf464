// Writes the backups that golden_backup_test.cc reads, of the golden keyring record in the folder
// that is named, into that folder. Run once for each format of them, and kept as the description of
// what is in them.
#include <sys/stat.h>

#include <cstdio>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "keystore/backup.h"
#include "keystore/key_file.h"
#include "keystore/keyring_record.h"
#include "tests/fakes/fake_random_source.h"
#include "tests/keystore/test_ring.h"
#include "tests/support/secrets.h"
#include "tests/support/temp_directory.h"

namespace kekd {
namespace {

using ::kekd::testing::FakeRandomSource;
using ::kekd::testing::ReadTestFile;
using ::kekd::testing::RevealedText;
using ::kekd::testing::SecretFromText;
using ::kekd::testing::TempDirectory;
using ::kekd::testing::WriteTestFile;

absl::Status WriteGoldenBackups(const std::string& folder) {
  const auto path = [&](absl::string_view name) { return absl::StrCat(folder, "/", name); };
  const FakeRandomSource random(2027);
  const absl::Time now = absl::FromUnixMillis(1'767'100'000'123);
  const std::string bytes = ReadTestFile(path("keyring_v1.record"));
  KEKD_ASSIGN_OR_RETURN(const UnverifiedRecord record, UnverifiedRecord::Parse(bytes));
  // A checked out file has the rights that git gives it, which a key file must not have.
  const TempDirectory private_folder;
  const std::string key_file = private_folder.File("key");
  WriteTestFile(key_file, ReadTestFile(path("keyring_v1.key")));
  if (chmod(key_file.c_str(), 0600) != 0) return absl::InternalError("chmod failed");
  KEKD_ASSIGN_OR_RETURN(const std::shared_ptr<const RingKey> ring_key,
                        ::kekd::testing::KeyFileWrapper(key_file)->UnwrapRingKey(
                            record.ring_key_wraps()[0], record.identity(), random));

  KEKD_ASSIGN_OR_RETURN(
      const NewBackup by_shares,
      MakeBackup(AsBytes(bytes), *ring_key, ShareNumbers{2, 3}, "0.1.0", now, random));
  WriteTestFile(path("backup_v1.shares"), by_shares.bytes);
  for (const BackupShare& share : by_shares.shares) {
    KEKD_ASSIGN_OR_RETURN(const SecretBytes content, ShareFileContent(share, "prod", now));
    WriteTestFile(path(absl::StrCat("backup_v1.share-", uint32_t{share.secret.index})),
                  RevealedText(content));
  }
  KEKD_ASSIGN_OR_RETURN(const SecretBytes words, ShareWords(by_shares.shares[2]));
  WriteTestFile(path("backup_v1.share-3.words"), RevealedText(words));

  const SecretBytes passphrase = SecretFromText("a golden passphrase of some words");
  KEKD_ASSIGN_OR_RETURN(
      const NewBackup by_passphrase,
      MakeBackup(AsBytes(bytes), *ring_key, BackupPassphrase{&passphrase}, "0.1.0", now, random));
  WriteTestFile(path("backup_v1.passphrase"), by_passphrase.bytes);
  return absl::OkStatus();
}

}  // namespace
}  // namespace kekd

int main(int argc, char** argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: write_golden_backup FOLDER\n");
    return 2;
  }
  const absl::Status written = kekd::WriteGoldenBackups(argv[1]);
  if (!written.ok()) fprintf(stderr, "%s\n", written.ToString().c_str());
  return written.ok() ? 0 : 1;
}
