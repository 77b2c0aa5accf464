#include "cluster/etcd_file/database.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/random_source.h"
#include "base/status_macros.h"
#include "cluster/etcd_file/bbolt_file.h"
#include "cluster/etcd_file/key_hash.h"
#include "cluster/etcd_file/key_value.h"
#include "cluster/etcd_file/remains.h"

namespace kekd {
namespace {

constexpr size_t kMaxVersion = 32;

bool LooksLikeVersion(absl::string_view text) {
  return !text.empty() && text.size() <= kMaxVersion &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '-';
         });
}

// etcd writes "3.6.0" whichever 3.6 it is: only these two numbers say something.
std::string MajorMinor(absl::string_view version) {
  return std::string(version.substr(0, version.rfind('.')));
}

// Takes the revisions as they come, the newest first: the first of a key is what counts.
class DatabaseVisitor final : public BboltVisitor {
 public:
  DatabaseVisitor(const RandomAccessFile& file, const ReadRange& range, Place latest,
                  const KeyHasher::Key& key, GapList& gaps, ObjectVisitor visit,
                  RemainsFinder& remains)
      : file_(file),
        range_(range),
        latest_(latest),
        hasher_(key),
        gaps_(gaps),
        visit_(visit),
        remains_(remains) {}

  void VisitBucket(absl::string_view bucket) override {
    if (bucket == "key") has_keys_ = true;
  }

  absl::Status VisitElement(absl::string_view bucket, absl::string_view key,
                            absl::string_view value) override {
    if (bucket == "key") return VisitRevision(key, value);
    if (bucket == "meta") TakeMeta(key, value);
    if (bucket == "cluster" && key == "clusterVersion" && facts_.version.empty()) {
      if (LooksLikeVersion(value)) facts_.version = MajorMinor(value);
    }
    return absl::OkStatus();
  }

  absl::Status VisitSlack(uint64_t, absl::string_view bytes) override {
    return range_.history ? remains_.Search(bytes) : absl::OkStatus();
  }

  bool has_keys() const { return has_keys_; }
  const DatabaseFacts& facts() const { return facts_; }

 private:
  void TakeMeta(absl::string_view key, absl::string_view value) {
    if (key == "consistent_index" && value.size() == 8) {
      for (const char byte : value) {
        facts_.consistent_index = facts_.consistent_index << 8 | static_cast<uint8_t>(byte);
      }
    }
    if (key == "finishedCompactRev") {
      const std::optional<Revision> revision = ParseRevision(value);
      if (revision) facts_.compacted = revision->main;
    }
    if (key == "storageVersion" && LooksLikeVersion(value)) facts_.version = MajorMinor(value);
  }

  absl::Status VisitRevision(absl::string_view key, absl::string_view value) {
    const std::optional<Revision> revision = ParseRevision(key);
    if (!revision) return AddGap("a key of the bucket 'key'", "it is no revision");
    facts_.revision = std::max(facts_.revision, revision->main);
    const std::optional<KeyValue> stored = ParseKeyValue(value);
    if (!stored) {
      return AddGap(absl::StrCat("revision ", revision->main, ".", revision->sub),
                    "its content is no etcd key with a value");
    }
    const bool is_latest = seen_.insert(hasher_.Hash(stored->key)).second;
    if (revision->tombstone) return absl::OkStatus();
    if (!HasPrefix(stored->key, range_.prefixes)) {
      if (is_latest) ++facts_.other_keys;
      return absl::OkStatus();
    }
    if (!is_latest && !range_.history) return absl::OkStatus();
    return visit_({.key = stored->key,
                   .value = stored->value,
                   .mod_revision = revision->main,
                   .place = is_latest ? latest_ : Place::kOldRevision});
  }

  absl::Status AddGap(absl::string_view what, absl::string_view why) {
    gaps_.Add({.what = absl::StrCat(what, " of ", file_.path()),
               .why = std::string(why),
               .cure = "take a new snapshot of a healthy member",
               .damaged = true});
    return absl::OkStatus();
  }

  const RandomAccessFile& file_;
  const ReadRange& range_;
  const Place latest_;
  const KeyHasher hasher_;
  GapList& gaps_;
  const ObjectVisitor visit_;
  RemainsFinder& remains_;
  absl::flat_hash_set<KeyHash> seen_;
  DatabaseFacts facts_;
  bool has_keys_ = false;
};

}  // namespace

absl::StatusOr<DatabaseFacts> ReadDatabase(const RandomAccessFile& file, uint64_t size,
                                           const ReadRange& range, Place latest, GapList& gaps,
                                           ObjectVisitor visit,
                                           absl::FunctionRef<void(uint64_t)> on_bytes) {
  const uint64_t gaps_before = gaps.count();
  KEKD_ASSIGN_OR_RETURN(BboltFile database, BboltFile::Open(file, size, gaps));
  KeyHasher::Key key;
  KEKD_RETURN_IF_ERROR(RandomSource::System().Fill(absl::MakeSpan(key)));
  RemainsFinder remains(range, Place::kFreeSpace, visit);
  DatabaseVisitor visitor(file, range, latest, key, gaps, visit, remains);
  KEKD_RETURN_IF_ERROR(database.Walk(visitor, on_bytes));
  // A damaged page may have hidden it.
  if (!visitor.has_keys() && gaps.count() == gaps_before) {
    return absl::InvalidArgumentError(
        absl::StrCat(file.path(), " is no etcd database: it has no bucket 'key'"));
  }
  if (range.history) {
    KEKD_RETURN_IF_ERROR(database.ForEachUnusedPart([&](uint64_t begin, uint64_t end) {
      return remains.SearchFile(file, begin, end, gaps, on_bytes);
    }));
  }
  return visitor.facts();
}

}  // namespace kekd
