#include "cluster/scan.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace kekd {
namespace {

constexpr absl::string_view kCutMark = "...";

std::string ToOwned(absl::string_view text) { return std::string(text.data(), text.size()); }

std::string Cut(absl::string_view text, size_t max_bytes) {
  if (text.size() <= max_bytes) return ToOwned(text);
  return absl::StrCat(text.substr(0, max_bytes - kCutMark.size()), kCutMark);
}

// What Cut keeps of a name.
absl::string_view Head(absl::string_view name) {
  if (name.size() <= Scanner::kMaxNameBytes) return name;
  return name.substr(0, Scanner::kMaxNameBytes - kCutMark.size());
}

void AddFinding(const StoredObject& object, Damage damage, absl::string_view reason,
                ScanFindings& findings) {
  ++findings.total;
  if (findings.first.size() >= ScanFindings::kMaxKept) return;
  findings.first.push_back({.key = Cut(object.key, Scanner::kMaxKeyBytes),
                            .place = object.place,
                            .mod_revision = object.mod_revision,
                            .damage = damage,
                            .reason = ToOwned(reason)});
}

Freshness FreshnessOf(const CatalogKey& key) {
  if (key.primary) return Freshness::kPrimary;
  switch (key.state) {
    case KeyState::kPreActivation:
      return Freshness::kNewer;
    case KeyState::kDestroyed:
      return Freshness::kDestroyed;
    case KeyState::kActive:
    case KeyState::kDeactivated:
      break;
  }
  return Freshness::kStale;
}

bool Before(const ScanGroup& a, const ScanGroup& b) {
  return std::tie(a.resource, a.place, a.kind, a.name, a.key_id, a.never_encrypted) <
         std::tie(b.resource, b.place, b.kind, b.name, b.key_id, b.never_encrypted);
}

}  // namespace

Scanner::Scanner(Options options) : options_(std::move(options)) {
  report_.keyrings = options_.catalog != nullptr && !options_.catalog->empty();
  report_.opened = options_.opener != nullptr;
}

absl::Status Scanner::Visit(const StoredObject& object) {
  const ObjectKey key = ParseObjectKey(object.key, options_.prefixes);
  const StorageValue value =
      object.whole ? ClassifyValue(object.value) : ClassifyBeginning(object.value);
  ScanGroup& counts = FindGroup(object, key, value);
  ++counts.objects;
  counts.bytes += object.value.size();
  if (!object.whole) {
    ++counts.partial;
    return absl::OkStatus();
  }
  // What has not the form it must have is damaged whosever it is.
  const bool to_open = options_.opener != nullptr && value.kind == StorageKind::kKmsV2 &&
                       !(value.decodable() && IsForeign(value.name, value.object.key_id));
  if (!value.decodable()) {
    ++counts.undecodable;
    if (!to_open)
      AddFinding(object, Damage::kStructure, value.defect,
                 IsPast(object.place) ? report_.past : report_.undecodable);
  }
  if (to_open) TryToOpen(object, value, counts);
  return absl::OkStatus();
}

ScanGroup& Scanner::FindGroup(const StoredObject& object, const ObjectKey& key,
                              const StorageValue& value) {
  const GroupName name = {.resource = Head(key.resource),
                          .group = Head(key.group),
                          .name = Head(value.name),
                          .key_id = value.object.key_id,
                          .place = object.place,
                          .kind = value.kind,
                          .never_encrypted = key.never_encrypted};
  // Objects mostly come by key, so that one is like the one before.
  if (last_ != nullptr && last_->name == name) return last_->counts;
  const auto found = by_name_.find(name);
  if (found != by_name_.end()) {
    last_ = found->second;
  } else if (by_name_.size() < kMaxGroups) {
    last_ = &AddGroup(object, key, value);
  } else {
    ++folded_;
    return FoldedGroup(object, key, value.kind).counts;
  }
  return last_->counts;
}

Scanner::Group& Scanner::AddGroup(const StoredObject& object, const ObjectKey& key,
                                  const StorageValue& value) {
  Group& group = groups_.emplace_back();
  ScanGroup& counts = group.counts;
  group.resource = Cut(key.resource, kMaxNameBytes);
  group.api_group = Cut(key.group, kMaxNameBytes);
  counts.resource = ResourceName({.resource = group.resource, .group = group.api_group});
  counts.place = object.place;
  counts.kind = value.kind;
  counts.name = Cut(value.name, kMaxNameBytes);
  counts.key_id = ToOwned(value.object.key_id);
  counts.never_encrypted = key.never_encrypted;
  counts.example_key = Cut(object.key, kMaxKeyBytes);
  const auto stored = [](const std::string& cut, absl::string_view whole) {
    return absl::string_view(cut).substr(0, Head(whole).size());
  };
  group.name = {.resource = stored(group.resource, key.resource),
                .group = stored(group.api_group, key.group),
                .name = stored(counts.name, value.name),
                .key_id = counts.key_id,
                .place = object.place,
                .kind = value.kind,
                .never_encrypted = key.never_encrypted};
  by_name_.emplace(group.name, &group);
  return group;
}

// A few more than kMaxGroups: one for each place and kind, and of what is never encrypted, whose
// plaintext must not look like another's, one for each resource as well.
Scanner::Group& Scanner::FoldedGroup(const StoredObject& object, const ObjectKey& key,
                                     StorageKind kind) {
  const ObjectKey folded = {
      .resource = key.never_encrypted ? key.resource : ScanReport::kOtherResources,
      .never_encrypted = key.never_encrypted};
  const auto found = by_name_.find({.resource = folded.resource,
                                    .place = object.place,
                                    .kind = kind,
                                    .never_encrypted = folded.never_encrypted});
  if (found != by_name_.end()) return *found->second;
  return AddGroup(object, folded, {.kind = kind});
}

void Scanner::TryToOpen(const StoredObject& object, const StorageValue& value, ScanGroup& counts) {
  const ObjectOpener::Result result =
      options_.opener->Open(object.key, value, options_.clock->Now() + options_.open_timeout);
  ++counts.outcomes[static_cast<size_t>(result.outcome)];
  if (result.outcome == OpenOutcome::kDamaged) {
    AddFinding(object, result.damage, result.reason.message(),
               IsPast(object.place) ? report_.past : report_.damaged);
  }
  if (result.outcome == OpenOutcome::kUnavailable && report_.unavailable++ == 0) {
    unavailable_ = result.reason;
  }
}

ScanReport Scanner::Finish(SourceFacts facts) && {
  report_.facts = std::move(facts);
  report_.groups.reserve(groups_.size());
  for (Group& group : groups_) report_.groups.push_back(std::move(group.counts));
  if (report_.keyrings) TellFreshness();
  TellGaps();
  std::sort(report_.groups.begin(), report_.groups.end(), Before);
  return std::move(report_);
}

bool Scanner::IsForeign(absl::string_view provider, absl::string_view key_id) const {
  const std::vector<std::string>& foreign = options_.foreign_providers;
  if (std::find(foreign.begin(), foreign.end(), provider) == foreign.end()) return false;
  return options_.catalog == nullptr ||
         (options_.catalog->Find(key_id) == nullptr && !options_.catalog->LooksLikeOurs(key_id));
}

void Scanner::TellFreshness() {
  absl::flat_hash_set<std::string> ours;
  for (ScanGroup& group : report_.groups) {
    const CatalogKey* const key = options_.catalog->Find(group.key_id);
    if (key == nullptr) continue;
    group.key = *key;
    group.freshness = FreshnessOf(*key);
    ours.insert(group.name);
  }
  for (ScanGroup& group : report_.groups) {
    if (group.key || group.key_id.empty()) continue;
    const bool is_ours =
        !IsForeign(group.name, group.key_id) &&
        (ours.contains(group.name) || options_.catalog->LooksLikeOurs(group.key_id));
    group.freshness = is_ours ? Freshness::kUnknownKey : Freshness::kForeignProvider;
  }
}

void Scanner::TellGaps() {
  std::vector<Gap>& gaps = report_.facts.gaps;
  if (report_.unavailable != 0) {
    gaps.insert(gaps.begin(),
                {.what = absl::StrCat("the content of ", report_.unavailable, " objects"),
                 .why = absl::StrCat("their keys can't be used: ", unavailable_.message()),
                 .cure = "run 'kekctl doctor', and scan again once the keys are back"});
  }
  const bool none_found = std::all_of(report_.groups.begin(), report_.groups.end(),
                                      [](const ScanGroup& group) { return IsPast(group.place); });
  if (none_found && report_.facts.other_keys != 0) {
    gaps.insert(
        gaps.begin(),
        {.what = absl::StrCat(report_.facts.other_keys, " keys"),
         .why = absl::StrCat("no key begins with ", absl::StrJoin(options_.prefixes, " or ")),
         .cure = "name with --prefix what they begin with (kube-apiserver's --etcd-prefix)"});
  }
  if (folded_ != 0) {
    gaps.insert(gaps.begin(),
                {.what = absl::StrCat("the providers and keys of ", folded_, " objects"),
                 .why = absl::StrCat("there are more than ", kMaxGroups,
                                     " different resources, providers and keys"),
                 .cure = ""});
  }
}

}  // namespace kekd
