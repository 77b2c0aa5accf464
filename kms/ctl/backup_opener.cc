#include "kms/ctl/backup_opener.h"

#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/random_source.h"
#include "base/status_macros.h"
#include "kms/keyring/keyring_access.h"

namespace kekd {

absl::StatusOr<std::vector<BackupShare>> ReadShares(FileSystem& fs,
                                                    const std::vector<std::string>& paths) {
  std::vector<BackupShare> shares;
  for (const std::string& path : paths) {
    const std::unique_ptr<SecretSource> source =
        CreateFileSecretSource(fs, "share file", path, std::nullopt);
    KEKD_ASSIGN_OR_RETURN(const SecretBytes content, source->Read());
    KEKD_ASSIGN_OR_RETURN(shares.emplace_back(),
                          ParseShare(content.Reveal(SecretAccessToken()), source->Describe()));
  }
  return shares;
}

absl::StatusOr<std::string> ReadBackupFile(FileSystem& fs, const std::string& path) {
  absl::StatusOr<std::string> bytes = fs.ReadFile(path, kMaxBackupBytes);
  if (absl::IsOutOfRange(bytes.status())) {
    return absl::DataLossError(
        absl::StrCat(path, " is no backup of a keyring: it is larger than ", "the largest"));
  }
  return bytes;
}

absl::StatusOr<OpenedBackup> OpenBackupFile(FileSystem& fs, const std::string& path,
                                            const BackupOpening& opening) {
  KEKD_ASSIGN_OR_RETURN(const std::string bytes, ReadBackupFile(fs, path));
  // Before anybody is asked for a passphrase.
  const absl::Status whole = ParseBackup(AsBytes(bytes)).status();
  if (!whole.ok()) return WithContext(whole, path);
  absl::StatusOr<OpenedBackup> opened;
  if (!opening.shares.empty()) {
    KEKD_ASSIGN_OR_RETURN(const std::vector<BackupShare> shares, ReadShares(fs, opening.shares));
    opened = OpenBackup(AsBytes(bytes), absl::MakeConstSpan(shares), RandomSource::System());
  } else {
    const std::unique_ptr<SecretSource> source = MakeSecretSource(
        fs, opening.passphrase, absl::StrCat("backup ", path), AskTwice::kNo, std::nullopt);
    opened = OpenBackup(AsBytes(bytes), source.get(), RandomSource::System());
  }
  if (!opened.ok()) return WithContext(opened.status(), path);
  return opened;
}

}  // namespace kekd
