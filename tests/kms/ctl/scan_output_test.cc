#include "kms/ctl/scan_output.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_split.h"

namespace kekd {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

ScanGroup Group(const std::string& resource, StorageKind kind, uint64_t objects) {
  ScanGroup group;
  group.resource = resource;
  group.kind = kind;
  group.objects = objects;
  group.example_key = "/registry/" + resource + "/default/a";
  return group;
}

ScanGroup Ours(Freshness freshness, uint32_t version, uint64_t objects) {
  ScanGroup group = Group("secrets", StorageKind::kKmsV2, objects);
  group.name = "kekd";
  group.key_id = "prod.1.0123456789abcdef0123456789abcdef";
  group.freshness = freshness;
  group.key = CatalogKey{.keyring = "prod", .version = version};
  return group;
}

ScanOutcome Outcome(std::vector<ScanGroup> groups) {
  ScanOutcome outcome;
  outcome.report.groups = std::move(groups);
  outcome.report.keyrings = true;
  outcome.report.facts.kind = "snapshot";
  outcome.report.facts.name = "/backup/etcd.db";
  outcome.report.facts.revision = 1234;
  return outcome;
}

ScanOutcome Usual() {
  return Outcome({Group("configmaps", StorageKind::kPlaintext, 12), Ours(Freshness::kStale, 1, 3),
                  Ours(Freshness::kPrimary, 2, 4000)});
}

TEST(ScanTableTest, SaysHowEachResourceIsStored) {
  const std::string text = ScanTable(Usual(), Colors::kOff);
  EXPECT_THAT(text, AllOf(HasSubstr("snapshot /backup/etcd.db, revision 1234"),
                          HasSubstr("configmaps  12       plaintext  -               plaintext"),
                          HasSubstr("secrets     3        KMS v2     prod version 1  stale"),
                          HasSubstr("secrets     4000     KMS v2     prod version 2  primary"),
                          Not(HasSubstr("WHERE")), Not(HasSubstr("OPENED"))));
}

TEST(ScanTableTest, ListsDamageWithTheWaysOut) {
  ScanOutcome outcome = Usual();
  outcome.report.opened = true;
  outcome.report.groups[2].outcomes[static_cast<size_t>(OpenOutcome::kDamaged)] = 1;
  outcome.report.damaged.total = 1;
  outcome.report.damaged.first.push_back(
      {.key = "/registry/secrets/a\nb", .damage = Damage::kObject, .reason = "altered"});
  EXPECT_EQ(DamagedObjects(outcome.report), 1u);
  EXPECT_THAT(ScanTable(outcome, Colors::kOff),
              AllOf(HasSubstr("damaged: 1\n  /registry/secrets/a\\x0ab: altered"),
                    HasSubstr("ways out"), HasSubstr("1 DAMAGED")));
}

TEST(ScanTableTest, SaysWhatEtcdRemembersAndHowItForgets) {
  ScanGroup remains = Group("secrets", StorageKind::kPlaintext, 50);
  remains.place = Place::kFreeSpace;
  const ScanOutcome outcome = Outcome({remains});
  EXPECT_EQ(DamagedObjects(outcome.report), 0u);
  EXPECT_THAT(ScanTable(outcome, Colors::kOff),
              AllOf(HasSubstr("WHERE"), HasSubstr("50 plaintext values in the free space"),
                    HasSubstr("etcdctl defrag")));
}

TEST(ScanTableTest, ShowsGapsAndThePolicy) {
  ScanOutcome outcome = Usual();
  outcome.report.facts.gaps.push_back(
      {.what = "page 7", .why = "is no page", .cure = "take another"});
  const std::vector<std::string> rules = {"configmaps=encrypted", "pods=kms"};
  outcome.policy = *ScanPolicy::Parse(rules);
  outcome.result = outcome.policy->Evaluate(outcome.report);
  EXPECT_THAT(ScanTable(outcome, Colors::kOff),
              AllOf(HasSubstr("not read\n  page 7: is no page; take another"),
                    HasSubstr("policy violated"), HasSubstr("configmaps must be encrypted: 12 "),
                    HasSubstr("there are no pods: is the name right?")));
}

TEST(ScanJsonTest, HasWhatTheTableHas) {
  ScanOutcome outcome = Usual();
  outcome.begin = absl::FromUnixSeconds(1);
  outcome.end = absl::FromUnixSeconds(2);
  const nlohmann::json json = nlohmann::json::parse(ScanJson(outcome));
  EXPECT_EQ(json["format"], "kekd.dev/scan-report/v1");
  EXPECT_EQ(json["begin"], "1970-01-01T00:00:01Z");
  EXPECT_EQ(json["source"]["revision"], 1234);
  EXPECT_EQ(json["groups"].size(), 3u);
  EXPECT_EQ(json["groups"][1]["version"], 1);
  EXPECT_EQ(json["groups"][1]["state"], "stale");
  EXPECT_EQ(json["complete"], true);
  EXPECT_EQ(json["policy"], nullptr);
}

std::vector<std::string> Lines(const std::string& text) {
  return absl::StrSplit(text, '\n', absl::SkipEmpty());
}

TEST(ScanTableTest, DamageOfThePastAdvisesNoDeletion) {
  ScanGroup past = Ours(Freshness::kPrimary, 2, 1);
  past.place = Place::kOldRevision;
  past.outcomes[static_cast<size_t>(OpenOutcome::kDamaged)] = 1;
  ScanOutcome outcome = Outcome({past});
  outcome.report.opened = true;
  outcome.report.past.total = 1;
  outcome.report.past.first.push_back({.key = "/registry/secrets/a/b",
                                       .place = Place::kOldRevision,
                                       .damage = Damage::kObject,
                                       .reason = "altered"});
  EXPECT_EQ(DamagedObjects(outcome.report), 0u);
  EXPECT_THAT(ScanTable(outcome, Colors::kOff),
              AllOf(HasSubstr("in what etcd remembers, which nobody reads: 1\n"),
                    HasSubstr("/registry/secrets/a/b (old revision): altered"),
                    Not(HasSubstr("ways out")), Not(HasSubstr("delete"))));
  EXPECT_EQ(nlohmann::json::parse(ScanJson(outcome))["past"]["total"], 1);
}

TEST(ScanMetricsTest, EscapesWhatComesFromEtcd) {
  ScanGroup group = Group("a\"b\\c\nd\xff", StorageKind::kKmsV2, 5);
  const std::string text = ScanMetrics(Outcome({group}));
  EXPECT_THAT(text, HasSubstr(R"(resource="a\\\"b\\\\c\\nd\\xff",place="current",)"
                              R"(stored_as="KMS v2",provider="",key_id="",state=""} 5)"));
  for (const std::string& line : Lines(text)) {
    EXPECT_TRUE(line[0] == '#' || line.rfind("kekd_scan_", 0) == 0) << line;
  }
}

TEST(ScanMetricsTest, NoTwoSeriesAreTheSame) {
  std::vector<ScanGroup> groups;
  for (const char* name : {"\xff", "\xfe", "?", "\\xff", "a\x1b", "\xc3\xa4", "twice", "twice"}) {
    groups.push_back(Ours(Freshness::kPrimary, 1, 5));
    groups.back().name = name;
  }
  std::vector<std::string> lines;
  for (const std::string& line : Lines(ScanMetrics(Outcome(groups)))) {
    if (line.rfind("kekd_scan_objects{", 0) == 0) lines.push_back(line);
  }
  EXPECT_EQ(lines.size(), 7u);
  EXPECT_EQ(std::set<std::string>(lines.begin(), lines.end()).size(), 7u);
  EXPECT_THAT(lines,
              ::testing::Contains(AllOf(HasSubstr("\"twice\""), ::testing::EndsWith(" 10"))));
}

TEST(ScanMetricsTest, CountsGapsBeyondTheirList) {
  ScanOutcome outcome = Usual();
  outcome.report.facts.gaps = {{.what = "page 7", .why = "torn"},
                               {.what = "41 more", .why = "only so many", .count = 41}};
  EXPECT_THAT(ScanMetrics(outcome), HasSubstr("kekd_scan_gaps 42\n"));
}

TEST(UntriedObjectsTest, CountsEveryObjectWhosesoeverKeyItIs) {
  ScanGroup foreign = Ours(Freshness::kForeignProvider, 0, 7);
  foreign.outcomes[static_cast<size_t>(OpenOutcome::kUnknownKey)] = 7;
  ScanGroup unknown = Ours(Freshness::kUnknownKey, 0, 2);
  unknown.outcomes[static_cast<size_t>(OpenOutcome::kUnknownKey)] = 2;
  ScanGroup away = Ours(Freshness::kPrimary, 2, 4);
  away.outcomes[static_cast<size_t>(OpenOutcome::kUnavailable)] = 4;
  ScanGroup past = foreign;
  past.place = Place::kWal;
  past.outcomes[static_cast<size_t>(OpenOutcome::kOpened)] = 1;
  ScanOutcome outcome = Outcome({foreign, unknown, away, past});
  EXPECT_EQ(UntriedObjects(outcome.report), 13u);
  EXPECT_EQ(OpenedObjects(outcome.report), 0u);
}

TEST(ScanJsonTest, ThatOpenedNothingIsNotComplete) {
  ScanOutcome outcome = Usual();
  outcome.report.opened = true;
  EXPECT_EQ(nlohmann::json::parse(ScanJson(outcome))["complete"], false);
  outcome.report.groups[2].outcomes[static_cast<size_t>(OpenOutcome::kOpened)] = 1;
  EXPECT_EQ(nlohmann::json::parse(ScanJson(outcome))["complete"], true);
}

}  // namespace
}  // namespace kekd
