#include "cluster/etcd_client/range_scan.h"

#include <string>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/status_macros.h"
#include "cluster/etcd_client/page_sizer.h"

namespace kekd {
namespace {

// RangeScan is one pass through a range.
class RangeScan final {
 public:
  RangeScan(EtcdClient& client, const KeyRange& range, int64_t revision, GapList& gaps,
            KeyValueVisitor visit)
      : client_(client), rest_(range), revision_(revision), gaps_(gaps), visit_(visit) {}

  // False when there is no next page.
  absl::StatusOr<bool> NextPage();
  const RangeScanResult& result() const { return result_; }
  // Tells a difference to what etcd counted.
  void Finish();

 private:
  absl::StatusOr<EtcdPage> Ask(int64_t limit, PageContent content);
  absl::Status Check(const EtcdKeyValue& object) const;
  absl::Status SkipOne();
  // The rest begins behind `key`.
  void GoBehind(std::string key);

  EtcdClient& client_;
  KeyRange rest_;
  const int64_t revision_;
  GapList& gaps_;
  KeyValueVisitor visit_;
  PageSizer sizer_;
  bool counted_ = false;
  uint64_t skipped_ = 0;
  RangeScanResult result_;
};

absl::StatusOr<EtcdPage> RangeScan::Ask(int64_t limit, PageContent content) {
  PageRequest request = {.range = rest_, .revision = revision_, .limit = limit, .content = content};
  // At one revision every member that has come to it has the same, so that the leader need not be
  // asked for each page. kine knows no serializable reads.
  if (client_.cluster_id() != 0) request.consistency = Consistency::kSerializable;
  absl::StatusOr<EtcdPage> page = client_.Range(request);
  if (absl::IsAborted(page.status())) {
    return absl::AbortedError(absl::StrCat(
        "etcd compacted revision ", revision_, " while it was being read (", result_.visited,
        " keys had come): run this again; an API server has etcd compacted every 5 minutes, so if "
        "the reading takes as long, read a snapshot instead (etcdctl snapshot save)"));
  }
  if (absl::IsOutOfRange(page.status())) {
    return absl::AbortedError(
        absl::StrCat(client_.current_endpoint(), " does not know revision ", revision_,
                     ", which etcd named before: was it restored from a backup? Run this again"));
  }
  return page;
}

absl::Status RangeScan::Check(const EtcdKeyValue& object) const {
  absl::string_view wrong;
  if (!rest_.Contains(object.key)) wrong = "is out of order or was not asked for";
  if (object.mod_revision > revision_) wrong = "is newer than the revision that was asked for";
  if (wrong.empty()) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat("etcd at ", client_.current_endpoint(), " answers key ",
                                          absl::CHexEscape(object.key), ", which ", wrong,
                                          ": is that an etcd, and is it sound?"));
}

void RangeScan::GoBehind(std::string key) {
  rest_.first = std::move(key);
  rest_.first.push_back('\0');
}

// An object that no answer has room for: its name must do.
absl::Status RangeScan::SkipOne() {
  KEKD_ASSIGN_OR_RETURN(EtcdPage page, Ask(1, PageContent::kKeysOnly));
  if (page.objects.empty()) {
    return absl::DataLossError(absl::StrCat("etcd at ", client_.current_endpoint(),
                                            " has no name for an object too large to be read"));
  }
  KEKD_RETURN_IF_ERROR(Check(page.objects[0]));
  gaps_.Add({.what = absl::StrCat("the value of ", absl::CHexEscape(page.objects[0].key)),
             .why = "it is too large for an answer",
             .cure = "scan a snapshot of etcd instead"});
  ++skipped_;
  GoBehind(std::move(page.objects[0].key));
  return absl::OkStatus();
}

absl::StatusOr<bool> RangeScan::NextPage() {
  absl::StatusOr<EtcdPage> page = Ask(sizer_.limit(), PageContent::kObjects);
  if (absl::IsResourceExhausted(page.status())) {
    if (!sizer_.Halve()) KEKD_RETURN_IF_ERROR(SkipOne());
    return true;
  }
  if (!page.ok()) return page.status();
  if (!counted_) result_.counted = page->count + skipped_;
  counted_ = true;
  uint64_t bytes = 0;
  for (EtcdKeyValue& object : page->objects) {
    KEKD_RETURN_IF_ERROR(Check(object));
    KEKD_RETURN_IF_ERROR(visit_(object));
    bytes += object.key.size() + object.value.size();
    ++result_.visited;
    GoBehind(std::move(object.key));
  }
  result_.bytes += bytes;
  sizer_.Came(page->objects.size(), bytes);
  if (page->more && page->objects.empty()) {
    return absl::DataLossError(absl::StrCat("etcd at ", client_.current_endpoint(),
                                            " says that there are more keys and sends none"));
  }
  return page->more;
}

void RangeScan::Finish() {
  const uint64_t came = result_.visited + skipped_;
  if (came == result_.counted) return;
  gaps_.Add({.what = absl::StrCat("the keys from ", absl::CHexEscape(rest_.first)),
             .why = absl::StrCat("etcd said that there are ", result_.counted, " keys, and ", came,
                                 " came"),
             .cure = "run this again, or with another endpoint of etcd"});
}

}  // namespace

absl::StatusOr<RangeScanResult> ScanRange(EtcdClient& client, const KeyRange& range,
                                          int64_t revision, GapList& gaps, KeyValueVisitor visit,
                                          absl::FunctionRef<void(const RangeScanResult&)> came) {
  RangeScan scan(client, range, revision, gaps, visit);
  while (true) {
    KEKD_ASSIGN_OR_RETURN(const bool more, scan.NextPage());
    came(scan.result());
    if (!more) break;
  }
  scan.Finish();
  return scan.result();
}

}  // namespace kekd
