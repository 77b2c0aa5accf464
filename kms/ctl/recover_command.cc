#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "base/process.h"
#include "base/status_macros.h"
#include "cluster/dek_source_opener.h"
#include "cluster/object_key.h"
#include "cluster/object_opener.h"
#include "cluster/recovery/recovered_object.h"
#include "cluster/storage_value.h"
#include "kms/ctl/commands.h"
#include "kms/ctl/etcd_options.h"
#include "kms/ctl/json_output.h"
#include "kms/ctl/recover_report.h"
#include "kms/ctl/recovery_folder.h"
#include "kms/ctl/scan_keys.h"
#include "kms/ctl/table.h"
#include "kms/ctl/terminal.h"

namespace kekd {
namespace {

constexpr absl::Duration kOpenTime = absl::Seconds(10);

// The user, also behind sudo: the kernel keeps who logged in (audit, /proc/self/loginuid).
std::string WhoAmI(FileSystem& fs) {
  constexpr size_t kMaxBytes = 32;
  const absl::StatusOr<std::string> login = fs.ReadFile("/proc/self/loginuid", kMaxBytes);
  const bool is_set = login.ok() && !login->empty() && *login != "4294967295";
  return absl::StrCat("uid ", getuid(), is_set ? absl::StrCat(", login uid ", *login) : "");
}

std::vector<std::string> KeysOf(const std::string& object,
                                const std::vector<std::string>& prefixes) {
  if (absl::StartsWith(object, "/")) return {object};
  return EtcdKeysOf(object, prefixes);
}

// What says that no other object could be written either.
bool IsDiskTrouble(const absl::Status& status) {
  return absl::IsResourceExhausted(status) || absl::IsInternal(status) || absl::IsUnknown(status);
}

std::string Summary(const RecoverReport& report) {
  return absl::StrCat(report.recovered.size(), " objects recovered, ", report.failed.size(),
                      " not");
}

// Takes the objects that are wanted as they come, opens them and writes them.
class Recovery final {
 public:
  // `begin` is the log's first line.
  Recovery(FileSystem& fs, const RecoverVerb& verb, std::vector<std::string> prefixes,
           ObjectOpener& opener, std::string begin)
      : fs_(fs),
        verb_(verb),
        prefixes_(std::move(prefixes)),
        keys_(verb.object.empty() ? std::vector<std::string>() : KeysOf(verb.object, prefixes_)),
        opener_(opener),
        begin_(std::move(begin)) {}

  // What must be read.
  ReadRange Range() const { return {.prefixes = keys_.empty() ? prefixes_ : keys_}; }

  // Fails if something could not be written; what can't be opened is in the report.
  absl::Status Visit(const StoredObject& object) {
    const bool is_named =
        keys_.empty() || std::find(keys_.begin(), keys_.end(), object.key) != keys_.end();
    const ObjectKey key = ParseObjectKey(object.key, prefixes_);
    const std::string resource = ResourceName(key);
    const bool is_other = !verb_.resource.empty() && resource != verb_.resource;
    if (!is_named || is_other) return absl::OkStatus();
    KEKD_RETURN_IF_ERROR(Begin());
    const StorageValue value = ClassifyValue(object.value);
    absl::StatusOr<SecretBytes> plaintext = Open(object, value);
    if (!plaintext.ok()) return NoteFailure(object, plaintext.status());
    // A plaintext that is cut off is no manifest.
    const bool is_damaged = value.kind == StorageKind::kPlaintext && !value.decodable();
    const RecoveredObject recovered =
        verb_.stored || is_damaged ? RecoveredObject{RecoveredForm::kStored, *std::move(plaintext)}
                                   : MakeRecovered(*plaintext);
    const absl::StatusOr<std::string> path = Write(object, key, resource, recovered);
    if (IsDiskTrouble(path.status())) return path.status();
    if (!path.ok()) return NoteFailure(object, path.status());
    if (is_damaged) {
      return NoteFailure(
          object, absl::DataLossError(absl::StrCat("it is damaged, and was written as it is to ",
                                                   *path, ": ", value.defect)));
    }
    report_.recovered.push_back({std::string(object.key), *path});
    return folder_->Note(absl::StrCat("recovered: ", object.key, " to ", *path));
  }

  absl::StatusOr<RecoverReport> Finish() && {
    if (folder_) {
      KEKD_RETURN_IF_ERROR(folder_->Log(absl::StrCat(FormatMillis(absl::ToUnixMillis(absl::Now())),
                                                     " end of recovery: ", Summary(report_))));
    }
    return std::move(report_);
  }

 private:
  // A recovery that finds nothing leaves nothing: the folder is made for the first object, and what
  // is going on is in the log before that is opened.
  absl::Status Begin() {
    if (folder_) return absl::OkStatus();
    KEKD_ASSIGN_OR_RETURN(folder_, RecoveryFolder::Create(fs_, verb_.out));
    return folder_->Log(begin_);
  }

  absl::Status NoteFailure(const StoredObject& object, const absl::Status& status) {
    report_.failed.push_back({std::string(object.key), status});
    return folder_->Note(absl::StrCat("not recovered: ", object.key, ": ", status.message()));
  }

  absl::StatusOr<SecretBytes> Open(const StoredObject& object, const StorageValue& value) {
    if (value.kind == StorageKind::kPlaintext) {
      return SecretBytes::CopyOf(AsBytes(object.value));
    }
    if (value.kind != StorageKind::kKmsV2) {
      return absl::FailedPreconditionError(value.kind == StorageKind::kUnrecognised
                                               ? "it is nothing that kube-apiserver stores"
                                               : absl::StrCat("it is stored as ",
                                                              ToString(value.kind),
                                                              ", whose key is not kekd's"));
    }
    ObjectOpener::Result opened = opener_.Open(object.key, value, absl::Now() + kOpenTime);
    if (opened.outcome == OpenOutcome::kOpened) return std::move(opened.plaintext);
    // The reasons' codes are those of KMS v2; here it counts what they mean.
    const absl::StatusCode code = opened.outcome == OpenOutcome::kDamaged
                                      ? absl::StatusCode::kDataLoss
                                      : absl::StatusCode::kUnavailable;
    return absl::Status(code,
                        absl::StrCat(ToString(opened.outcome), ": ", opened.reason.message()));
  }

  absl::StatusOr<std::string> Write(const StoredObject& object, const ObjectKey& key,
                                    const std::string& resource, const RecoveredObject& recovered) {
    std::vector<std::string> segments = {resource};
    if (!key.namespace_name.empty()) segments.emplace_back(key.namespace_name);
    segments.emplace_back(key.name);
    const std::string ending =
        absl::StrCat(object.place == Place::kPending ? ".pending" : "", FileEnding(recovered.form));
    return folder_->Write(segments, ending, recovered.content);
  }

  FileSystem& fs_;
  const RecoverVerb& verb_;
  const std::vector<std::string> prefixes_;
  const std::vector<std::string> keys_;  // that are wanted; empty: all
  ObjectOpener& opener_;
  const std::string begin_;
  std::optional<RecoveryFolder> folder_;
  RecoverReport report_;
};

// Of what failed: damage before keys that could not be had, and these before what is not kekd's.
ExitCode GravestOf(const RecoverReport& report) {
  ExitCode gravest = kExitOk;
  for (const RecoverReport::Failed& failed : report.failed) {
    const ExitCode code = absl::IsDataLoss(failed.status)      ? kExitIntegrity
                          : absl::IsUnavailable(failed.status) ? kExitUnreachable
                                                               : kExitRefused;
    gravest = std::max(gravest, code);
  }
  return gravest;
}

std::string ReportText(const RecoverReport& report) {
  std::string text = absl::StrCat(Summary(report), "; see ", report.folder, "\n");
  for (const RecoverReport::Failed& failed : report.failed) {
    absl::StrAppend(&text, "  ", Printable(failed.key), ": ", Printable(failed.status.message()),
                    "\n");
  }
  return text;
}

std::string FirstLine(const CommandContext& context, const RecoverVerb& verb,
                      const ScanKeys& keys) {
  const std::string all = verb.resource.empty() ? "every object" : verb.resource;
  return absl::StrCat(FormatMillis(absl::ToUnixMillis(context.now)), " recovery of ",
                      verb.object.empty() ? all : verb.object, " from ",
                      absl::StrJoin(verb.etcd.endpoints, ","), verb.etcd.snapshot,
                      verb.etcd.data_folder, " with ", absl::StrJoin(keys.from, ", "), " by ",
                      WhoAmI(*context.fs), ": ", verb.reason);
}

}  // namespace

absl::StatusOr<CommandResult> Recover(const CommandContext& context, const RecoverVerb& verb) {
  KEKD_ASSIGN_OR_RETURN(const ScanKeys keys, LoadOpenKeys(context, verb.keys));
  KEKD_ASSIGN_OR_RETURN(const std::unique_ptr<EtcdSource> etcd, OpenEtcd(*context.fs, verb.etcd));
  if (context.fs->GetInfo(verb.out).ok()) {
    return absl::AlreadyExistsError(
        absl::StrCat(verb.out, " is there already; what is recovered goes to a new folder"));
  }
  const std::unique_ptr<const DekSourceOpener> sources =
      CreateKeyringDekSourceOpener(keys.keyrings);
  ObjectOpener opener(*sources);
  Recovery recovery(*context.fs, verb,
                    verb.etcd.prefixes.empty() ? ReadRange().prefixes : verb.etcd.prefixes, opener,
                    FirstLine(context, verb, keys));
  Progress progress({.what = "reading", .style = context.progress});
  const absl::StatusOr<SourceFacts> facts = etcd->Read(
      recovery.Range(), [&](const StoredObject& object) { return recovery.Visit(object); },
      [&](uint64_t done, uint64_t total) { progress.Update(done, total); });
  KEKD_ASSIGN_OR_RETURN(RecoverReport report, std::move(recovery).Finish());
  if (!facts.ok()) return facts.status();
  report.folder = verb.out;
  report.gaps = facts->gaps;
  if (report.recovered.empty() && report.failed.empty() && report.gaps.empty()) {
    return absl::NotFoundError(
        absl::StrCat("there is no ", verb.object.empty() ? "object" : Printable(verb.object),
                     verb.resource.empty() ? "" : absl::StrCat(" of ", Printable(verb.resource)),
                     " in ", facts->name,
                     "; an object's name is RESOURCE/NAMESPACE/NAME or its key in etcd, and "
                     "'kekctl scan' lists the resources"));
  }
  CommandResult result;
  result.output = context.format == OutputFormat::kJson ? RecoverJson(report) : ReportText(report);
  if (!report.gaps.empty()) {
    result.exit_code = kExitUnreachable;
    result.note = absl::StrCat("not everything could be read: ", report.gaps.front().what, ": ",
                               report.gaps.front().why);
  }
  result.exit_code = std::max(result.exit_code, GravestOf(report));
  if (absl::IsNotFound(context.fs->GetInfo("/dev/log").status())) {
    absl::StrAppend(&result.note, result.note.empty() ? "" : "\n",
                    "this system has no log at /dev/log: who did this stands in ", verb.out,
                    "/recover.log only");
  }
  return result;
}

}  // namespace kekd
