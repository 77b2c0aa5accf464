// What FileKeyringStore does with copies of a keyring: check them, and take one for the newest.
#include <algorithm>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "keystore/file_keyring_store.h"
#include "keystore/ring_folder.h"

namespace kekd {

using namespace ring_folder;  // NOLINT(google-build-using-namespace): the other half of this class

absl::StatusOr<std::shared_ptr<const Keyring>> FileKeyringStore::AcceptRollback(
    const Options& options, uint64_t generation) {
  KEKD_RETURN_IF_ERROR(CheckThereIsOne(options));
  KEKD_ASSIGN_OR_RETURN(const std::unique_ptr<FileLock> lock, LockFolder(options));
  KEKD_ASSIGN_OR_RETURN(const OpenedRecord record, ReadCurrent(options, nullptr));
  const Uuid& uuid = record.keyring.identity().ring_uuid;
  if (record.keyring.generation() != generation) {
    return absl::FailedPreconditionError(
        absl::StrCat("the keyring in ", options.directory, " is of generation ",
                     record.keyring.generation(), ", not ", generation, "; nothing was accepted"));
  }
  const std::string path = HighWaterPath(options.state_directory, uuid);
  const absl::StatusOr<HighWater> before = ReadHighWater(*options.fs, path, uuid, *record.ring_key);
  // Only what is missing or damaged is made anew; what can't be read now, or by this kekd, may
  // still know of higher generations.
  if (!before.ok() && !absl::IsNotFound(before.status()) && !absl::IsDataLoss(before.status())) {
    return before.status();
  }
  if (before.ok() && before->accepted <= generation) {
    return absl::FailedPreconditionError(
        absl::StrCat("generation ", generation, " is not refused: there is no rollback to accept"));
  }
  KEKD_ASSIGN_OR_RETURN(const DurableFileOptions file_options, FileOptions(options));
  // `highest` stays: the next commit gets a number that no keyring of this ring ever had.
  KEKD_ASSIGN_OR_RETURN(
      const uint64_t highest,
      HighestGeneration(options, before.ok() ? std::max(before->highest, generation) : generation));
  KEKD_RETURN_IF_ERROR(WriteHighWater(*options.fs, path, uuid, *record.ring_key,
                                      {highest, generation}, file_options));
  return std::make_shared<const Keyring>(record.keyring);
}

absl::StatusOr<std::vector<FileKeyringStore::CopyReport>> FileKeyringStore::Verify(
    const Options& options) {
  KEKD_ASSIGN_OR_RETURN(std::vector<uint64_t> kept, KeptGenerations(options));
  std::vector<CopyReport> reports;
  CopyReport& current = reports.emplace_back();
  current.path = RecordPath(options);
  const absl::StatusOr<OpenedRecord> record = ReadCurrent(options, nullptr, &current.generation);
  current.status = record.status();
  current.is_whole = record.ok();
  if (record.ok()) {
    current.status = CheckFolders(options);
    if (current.status.ok()) {
      const absl::StatusOr<CheckedRecord> checked =
          ReadChecked(options, record->keyring.identity().ring_uuid, record->ring_key);
      current.status = checked.status();
      if (checked.ok()) current.generation = checked->keyring.generation();
    }
  }
  // The ring key is opened once, unless a copy was written under another than the first.
  std::shared_ptr<const RingKey> ring_key;
  if (record.ok()) ring_key = record->ring_key;
  std::reverse(kept.begin(), kept.end());
  for (const uint64_t generation : kept) {
    CopyReport& report = reports.emplace_back();
    report.path = GenerationPath(options, generation);
    absl::StatusOr<OpenedRecord> copy =
        ReadRecord(options, report.path, ring_key, &report.generation);
    if (!copy.ok() && ring_key != nullptr && report.generation.has_value()) {
      copy = ReadRecord(options, report.path, nullptr, &report.generation);
    }
    report.status = copy.status();
    if (!copy.ok()) continue;
    if (ring_key == nullptr) ring_key = copy->ring_key;
    if (*report.generation != generation) {
      report.status = absl::DataLossError(absl::StrCat(
          report.path, " holds generation ", *report.generation, ": the file was exchanged"));
    }
    report.is_whole = report.status.ok();
  }
  for (CopyReport& report : reports) {
    if (ring_key == nullptr || !absl::IsUnimplemented(report.status)) continue;
    absl::Status newer = CheckNewer(options, report.path, *ring_key);
    if (absl::IsDataLoss(newer)) report.status = std::move(newer);
  }
  return reports;
}

}  // namespace kekd
