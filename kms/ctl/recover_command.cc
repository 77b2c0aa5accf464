#include <unistd.h>

#include <cstdint>
#include <memory>
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

// The keys in etcd that an object's name may stand for.
std::vector<std::string> KeysOf(const std::string& object,
                                const std::vector<std::string>& prefixes) {
  if (absl::StartsWith(object, "/")) return {object};
  std::vector<std::string> keys;
  for (const std::string& prefix : prefixes) {
    keys.push_back(absl::StrCat(prefix, object));
    const size_t slash = object.find('/');
    const size_t dot = object.find('.');
    if (dot == std::string::npos || slash == std::string::npos || dot > slash) continue;
    // "widgets.example.com/ns/name": with its group before it, and of built-in ones without.
    const std::string plural = object.substr(0, dot);
    const std::string group = object.substr(dot + 1, slash - dot - 1);
    const std::string rest = object.substr(slash);
    keys.push_back(absl::StrCat(prefix, group, "/", plural, rest));
    keys.push_back(absl::StrCat(prefix, plural, rest));
  }
  return keys;
}

// Takes the objects that are wanted as they come, opens them and writes them.
class Recovery final {
 public:
  Recovery(const RecoverVerb& verb, std::vector<std::string> prefixes, ObjectOpener& opener,
           RecoveryFolder& folder)
      : verb_(verb),
        prefixes_(std::move(prefixes)),
        keys_(verb.object.empty() ? std::vector<std::string>() : KeysOf(verb.object, prefixes_)),
        opener_(opener),
        folder_(folder) {}

  // What must be read.
  ReadRange Range() const { return {.prefixes = keys_.empty() ? prefixes_ : keys_}; }

  // Fails if something could not be written; what can't be opened is in the report.
  absl::Status Visit(const StoredObject& object) {
    const bool is_named =
        keys_.empty() || std::find(keys_.begin(), keys_.end(), object.key) != keys_.end();
    const ObjectKey key = ParseObjectKey(object.key, prefixes_);
    const std::string resource = ResourceName(key);
    if (!is_named || (!verb_.resource.empty() && resource != verb_.resource))
      return absl::OkStatus();
    const absl::StatusOr<SecretBytes> plaintext = Open(object);
    if (!plaintext.ok()) {
      report_.failed.push_back({std::string(object.key), plaintext.status()});
      return folder_.Note(
          absl::StrCat("not recovered: ", object.key, ": ", plaintext.status().message()));
    }
    return Write(object, key, resource, *plaintext);
  }

  RecoverReport Finish() && { return std::move(report_); }

 private:
  absl::StatusOr<SecretBytes> Open(const StoredObject& object) {
    const StorageValue value = ClassifyValue(object.value);
    if (value.kind == StorageKind::kPlaintext) {
      return SecretBytes::CopyOf(AsBytes(object.value));
    }
    if (value.kind != StorageKind::kKmsV2) {
      return absl::FailedPreconditionError(
          absl::StrCat("it is stored as ", ToString(value.kind), ", whose key is not kekd's"));
    }
    ObjectOpener::Result opened = opener_.Open(object.key, value, absl::Now() + kOpenTime);
    if (opened.outcome == OpenOutcome::kOpened) return std::move(opened.plaintext);
    if (!opened.reason.ok()) return opened.reason;
    return absl::FailedPreconditionError(ToString(opened.outcome));
  }

  absl::Status Write(const StoredObject& object, const ObjectKey& key, const std::string& resource,
                     const SecretBytes& plaintext) {
    const RecoveredObject recovered =
        verb_.stored ? RecoveredObject{RecoveredForm::kStored, plaintext.Clone()}
                     : MakeRecovered(plaintext);
    std::vector<std::string> segments = {resource};
    if (!key.namespace_name.empty()) segments.emplace_back(key.namespace_name);
    segments.emplace_back(key.name);
    const std::string ending =
        absl::StrCat(object.place == Place::kPending ? ".pending" : "", FileEnding(recovered.form));
    KEKD_ASSIGN_OR_RETURN(const std::string path,
                          folder_.Write(segments, ending, recovered.content));
    report_.recovered.push_back({std::string(object.key), path});
    return folder_.Note(absl::StrCat("recovered: ", object.key, " to ", path));
  }

  const RecoverVerb& verb_;
  const std::vector<std::string> prefixes_;
  const std::vector<std::string> keys_;  // that are wanted; empty: all
  ObjectOpener& opener_;
  RecoveryFolder& folder_;
  RecoverReport report_;
};

std::string Summary(const RecoverReport& report) {
  return absl::StrCat(report.recovered.size(), " objects recovered, ", report.failed.size(),
                      " not");
}

std::string ReportText(const RecoverReport& report) {
  std::string text = absl::StrCat(Summary(report), "; see ", report.folder, "\n");
  for (const RecoverReport::Failed& failed : report.failed) {
    absl::StrAppend(&text, "  ", Printable(failed.key), ": ", Printable(failed.status.message()),
                    "\n");
  }
  return text;
}

}  // namespace

absl::StatusOr<CommandResult> Recover(const CommandContext& context, const RecoverVerb& verb) {
  KEKD_ASSIGN_OR_RETURN(const ScanKeys keys, LoadOpenKeys(context, verb.keys));
  KEKD_ASSIGN_OR_RETURN(const std::unique_ptr<EtcdSource> etcd, OpenEtcd(*context.fs, verb.etcd));
  KEKD_ASSIGN_OR_RETURN(RecoveryFolder folder, RecoveryFolder::Create(*context.fs, verb.out));
  KEKD_RETURN_IF_ERROR(folder.Log(absl::StrCat(
      FormatMillis(absl::ToUnixMillis(context.now)), " recovery of ",
      verb.object.empty() ? (verb.resource.empty() ? "every object" : verb.resource) : verb.object,
      " from ", verb.etcd.files.empty() ? absl::StrJoin(verb.etcd.endpoints, ",") : verb.etcd.files,
      " with ", absl::StrJoin(keys.from, ", "), " by ", WhoAmI(*context.fs), ": ", verb.reason)));
  const std::unique_ptr<const DekSourceOpener> sources =
      CreateKeyringDekSourceOpener(keys.keyrings);
  ObjectOpener opener(*sources);
  Recovery recovery(verb, verb.etcd.prefixes.empty() ? ReadRange().prefixes : verb.etcd.prefixes,
                    opener, folder);
  Progress progress({.what = "reading", .style = context.progress});
  const absl::StatusOr<SourceFacts> facts = etcd->Read(
      recovery.Range(), [&](const StoredObject& object) { return recovery.Visit(object); },
      [&](uint64_t done, uint64_t total) { progress.Update(done, total); });
  RecoverReport report = std::move(recovery).Finish();
  report.folder = verb.out;
  KEKD_RETURN_IF_ERROR(folder.Log(absl::StrCat(FormatMillis(absl::ToUnixMillis(absl::Now())),
                                               " end of recovery: ", Summary(report))));
  if (!facts.ok()) return facts.status();
  report.gaps = facts->gaps;

  if (!verb.object.empty() && report.recovered.empty() && report.failed.empty()) {
    return absl::NotFoundError(
        absl::StrCat("there is no object ", Printable(verb.object), " in ", facts->name,
                     "; name it as RESOURCE/NAMESPACE/NAME, or by its key in etcd"));
  }
  CommandResult result;
  result.output = context.format == OutputFormat::kJson ? RecoverJson(report) : ReportText(report);
  if (!report.gaps.empty()) {
    result.exit_code = kExitUnreachable;
    result.note = absl::StrCat("not everything could be read: ", report.gaps.front().what, ": ",
                               report.gaps.front().why);
  }
  if (!report.failed.empty()) {
    result.exit_code = ExitCodeOf(report.failed.front().status);
    if (result.exit_code == kExitUsage) result.exit_code = kExitIntegrity;
  }
  return result;
}

}  // namespace kekd
