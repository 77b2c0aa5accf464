#include "cluster/etcd_client/live_etcd_source.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"
#include "cluster/etcd_client/range_scan.h"
#include "cluster/gap_list.h"

namespace kekd {
namespace {

class LiveEtcdSource final : public EtcdSource {
 public:
  explicit LiveEtcdSource(std::unique_ptr<EtcdClient> client) : client_(std::move(client)) {}

  absl::StatusOr<SourceFacts> Read(const ReadRange& range, ObjectVisitor visit,
                                   ReadProgress progress) override;

 private:
  absl::Status AskMembers();
  absl::StatusOr<EtcdPage> Count(const KeyRange& range, int64_t revision);
  absl::StatusOr<uint64_t> CountAll(int64_t revision);
  absl::Status ReadOne(const KeyRange& range, ObjectVisitor visit, ReadProgress progress);
  // Every key there is, as ranges.
  std::vector<KeyRange> Everything() const;
  // `all`: how many keys there are.
  void NoteOthers(const absl::StatusOr<uint64_t>& all);

  const std::unique_ptr<EtcdClient> client_;
  SourceFacts facts_;
  GapList gaps_;
  uint64_t keys_ = 0;  // below the prefixes
};

// Without those that others cover, so that no key is visited twice.
std::vector<std::string> Distinct(std::vector<std::string> prefixes) {
  std::sort(prefixes.begin(), prefixes.end());
  std::vector<std::string> distinct;
  for (std::string& prefix : prefixes) {
    if (distinct.empty() || !absl::StartsWith(prefix, distinct.back())) {
      distinct.push_back(std::move(prefix));
    }
  }
  return distinct;
}

std::vector<KeyRange> LiveEtcdSource::Everything() const {
  if (client_->cluster_id() != 0) return {KeyRange::WithPrefix("")};
  // kine keeps keys as a column of text, in which the end of all keys is a name like others and
  // bytes that are no text are refused; and a row of its own among them.
  return {{.first = " ", .end = "compact_rev_key"}, {.first = "compact_rev_kez", .end = "~"}};
}

absl::Status LiveEtcdSource::AskMembers() {
  KEKD_ASSIGN_OR_RETURN(const std::vector<EtcdMember> members, client_->Members());
  std::vector<std::string> endpoints;
  for (const EtcdMember& member : members) {
    endpoints.push_back(member.endpoint);
    if (facts_.version.empty()) facts_.version = member.version;
    for (const std::string& error : member.errors) {
      if (!absl::StrContains(error, "CORRUPT")) continue;
      gaps_.Add(
          {.what = "the soundness of etcd's data",
           .why = absl::StrCat(member.endpoint, " has raised an alarm: ", error),
           .cure = "find the member whose data differs (etcdctl endpoint hashkv) and replace it",
           .damaged = true});
    }
  }
  facts_.name = absl::StrJoin(endpoints, ",");
  return absl::OkStatus();
}

absl::StatusOr<EtcdPage> LiveEtcdSource::Count(const KeyRange& range, int64_t revision) {
  return client_->Range({.range = range, .revision = revision, .content = PageContent::kCountOnly});
}

absl::StatusOr<uint64_t> LiveEtcdSource::CountAll(int64_t revision) {
  uint64_t keys = 0;
  for (const KeyRange& range : Everything()) {
    KEKD_ASSIGN_OR_RETURN(const EtcdPage page, Count(range, revision));
    keys += page.count;
  }
  return keys;
}

absl::Status LiveEtcdSource::ReadOne(const KeyRange& range, ObjectVisitor visit,
                                     ReadProgress progress) {
  const uint64_t before = facts_.bytes;
  KEKD_ASSIGN_OR_RETURN(
      const RangeScanResult result,
      ScanRange(
          *client_, range, facts_.revision, gaps_,
          [&](const EtcdKeyValue& object) {
            return visit({.key = object.key,
                          .value = object.value,
                          .mod_revision = object.mod_revision,
                          .place = Place::kCurrent});
          },
          [&](const RangeScanResult& so_far) { progress(before + so_far.bytes, 0); }));
  facts_.bytes = before + result.bytes;
  keys_ += result.counted;
  return absl::OkStatus();
}

void LiveEtcdSource::NoteOthers(const absl::StatusOr<uint64_t>& all) {
  if (!all.ok()) {
    gaps_.Add({.what = "the number of keys outside of the prefixes",
               .why = std::string(all.status().message()),
               .cure = "read as a user of etcd who may read every key"});
    return;
  }
  if (*all >= keys_) {
    facts_.other_keys = *all - keys_;
    return;
  }
  gaps_.Add({.what = "keys of etcd",
             .why = absl::StrCat("etcd said that there are ", *all, " in all, and ", keys_,
                                 " of those that were asked for"),
             .cure = "run this again, or with another endpoint of etcd"});
}

absl::StatusOr<SourceFacts> LiveEtcdSource::Read(const ReadRange& range, ObjectVisitor visit,
                                                 ReadProgress progress) {
  gaps_ = GapList();
  facts_ = {.kind = "live etcd"};
  keys_ = 0;
  const std::vector<std::string> prefixes = Distinct(range.prefixes);
  if (prefixes.empty()) return absl::InvalidArgumentError("no prefix of keys to read is given");
  KEKD_RETURN_IF_ERROR(AskMembers());
  std::vector<KeyRange> ranges;
  for (const std::string& prefix : prefixes) {
    if (prefix.empty()) {
      ranges = Everything();
    } else {
      ranges.push_back(KeyRange::WithPrefix(prefix));
    }
  }
  // The one answer that most members must agree on: it fixes the revision of all that follows. It
  // is of no page, since kine names with a page a revision that may be newer than the page is.
  KEKD_ASSIGN_OR_RETURN(const EtcdPage first, Count(ranges[0], 0));
  facts_.revision = first.revision;
  const absl::StatusOr<uint64_t> all = CountAll(facts_.revision);
  if (!all.ok() && !absl::IsPermissionDenied(all.status())) return all.status();
  for (const KeyRange& one : ranges) KEKD_RETURN_IF_ERROR(ReadOne(one, visit, progress));
  NoteOthers(all);
  if (client_->cluster_id() != 0) facts_.identity = absl::StrFormat("%x", client_->cluster_id());
  if (range.history) {
    gaps_.Add({.what = "old revisions, free pages and the write-ahead log",
               .why = "etcd's API does not show them",
               .cure = "scan a snapshot or, with etcd stopped, its data folder with --history"});
  }
  facts_.gaps = gaps_.Take();
  return facts_;
}

}  // namespace

std::unique_ptr<EtcdSource> CreateLiveEtcdSource(std::unique_ptr<EtcdClient> client) {
  return std::make_unique<LiveEtcdSource>(std::move(client));
}

}  // namespace kekd
