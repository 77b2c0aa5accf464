#include "cluster/scan_policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "cluster/object_key.h"
#include "tests/support/status_matchers.h"

namespace kekd {
namespace {

using ::kekd::testing::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

ScanGroup Group(absl::string_view resource, StorageKind kind, uint64_t objects = 1) {
  ScanGroup group;
  group.resource = std::string(resource);
  group.kind = kind;
  group.objects = objects;
  group.example_key = absl::StrCat("/registry/", resource, "/ns/first");
  return group;
}

ScanGroup KmsV2(absl::string_view resource, Freshness freshness) {
  ScanGroup group = Group(resource, StorageKind::kKmsV2);
  group.key_id = "prod.3.aa";
  group.freshness = freshness;
  const bool ours = freshness != Freshness::kUnknownKey &&
                    freshness != Freshness::kForeignProvider && freshness != Freshness::kNone;
  if (ours) group.key = CatalogKey{.keyring = "prod", .version = 3};
  return group;
}

ScanReport Report(std::vector<ScanGroup> groups) {
  ScanReport report;
  report.groups = std::move(groups);
  return report;
}

PolicyResult Evaluate(const std::vector<std::string>& rules, const ScanReport& report) {
  const absl::StatusOr<ScanPolicy> policy = ScanPolicy::Parse(rules);
  KEKD_EXPECT_OK(policy);
  return policy->Evaluate(report);
}

// What the first violation says, or "".
std::string Offence(const std::string& rule, const ScanGroup& group) {
  const PolicyResult result = Evaluate({rule}, Report({group}));
  EXPECT_EQ(result.verdict,
            result.violations.empty() ? PolicyVerdict::kMet : PolicyVerdict::kViolated);
  return result.violations.empty() ? "" : result.violations[0].what;
}

TEST(ScanPolicyTest, ReadsRules) {
  KEKD_ASSERT_OK_AND_ASSIGN(
      const ScanPolicy policy,
      ScanPolicy::Parse({"secrets=primary", "widgets.example.com=kms", "*=encrypted"}));
  ASSERT_EQ(policy.rules().size(), 3u);
  EXPECT_EQ(policy.rules()[1].resource, "widgets.example.com");
  EXPECT_EQ(policy.rules()[1].level, PolicyLevel::kKms);
  EXPECT_TRUE(policy.NeedsKeyrings());
  EXPECT_TRUE(ScanPolicy::Parse({"secrets=ours"})->NeedsKeyrings());
  EXPECT_FALSE(ScanPolicy::Parse({"secrets=kms", "*=encrypted"})->NeedsKeyrings());
  KEKD_EXPECT_OK(ScanPolicy::Parse({}));
}

TEST(ScanPolicyTest, RefusesWhatIsNoRule) {
  const auto refused = [](const std::vector<std::string>& rules, absl::string_view why) {
    EXPECT_THAT(ScanPolicy::Parse(rules),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(std::string(why))));
  };
  for (const char* rule : {"", "secrets", "secrets=", "secrets=best", "=kms=kms", "secrets=KMS"}) {
    refused({rule}, "write RESOURCE=LEVEL");
  }
  for (const char* rule : {"=kms", "*.*=kms", "Secrets=kms", "se crets=kms", "secrets.=kms",
                           ".apps=kms", "a..b=kms", "secrets,pods=kms"}) {
    refused({rule}, "is no resource");
  }
  refused({"masterleases=kms"}, "never encrypts masterleases");
  refused({"secrets=kms", "secrets=ours"}, "two rules for \"secrets\"");
}

TEST(ScanPolicyTest, EachLevelDemandsMore) {
  struct Case {
    ScanGroup group;
    absl::string_view encrypted;
    absl::string_view kms;
    absl::string_view ours;
    absl::string_view primary;
  };
  const absl::string_view kDestroyed =
      "under version 3 of keyring \"prod\", which has been destroyed";
  const absl::string_view kNotPrimary =
      "under version 3 of keyring \"prod\", which is not the primary";
  const absl::string_view kOther = "under a key that is in none of the keyrings";
  const absl::string_view kCbc = "encrypted by aescbc, not by KMS v2";
  const absl::string_view kV1 = "encrypted by KMS v1, not by KMS v2";
  const absl::string_view kProvider = "of a provider that is not known";
  const absl::string_view kForm = "of a form that is not known";
  const std::vector<Case> cases = {
      {KmsV2("secrets", Freshness::kPrimary), "", "", "", ""},
      {KmsV2("secrets", Freshness::kStale), "", "", "", kNotPrimary},
      {KmsV2("secrets", Freshness::kNewer), "", "", "", kNotPrimary},
      {KmsV2("secrets", Freshness::kDestroyed), "", "", kDestroyed, kDestroyed},
      {KmsV2("secrets", Freshness::kUnknownKey), "", "", kOther, kOther},
      {KmsV2("secrets", Freshness::kForeignProvider), "", "", kOther, kOther},
      {Group("secrets", StorageKind::kAesCbc), "", kCbc, kCbc, kCbc},
      {Group("secrets", StorageKind::kKmsV1), "", kV1, kV1, kV1},
      {Group("secrets", StorageKind::kPlaintext), "in clear", "in clear", "in clear", "in clear"},
      {Group("secrets", StorageKind::kUnknownProvider), kProvider, kProvider, kProvider, kProvider},
      {Group("secrets", StorageKind::kUnrecognised), kForm, kForm, kForm, kForm},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(Offence("secrets=encrypted", c.group), c.encrypted) << ToString(c.group.kind);
    EXPECT_EQ(Offence("secrets=kms", c.group), c.kms) << ToString(c.group.freshness);
    EXPECT_EQ(Offence("secrets=ours", c.group), c.ours) << ToString(c.group.freshness);
    EXPECT_EQ(Offence("secrets=primary", c.group), c.primary) << ToString(c.group.freshness);
    EXPECT_EQ(Offence("*=primary", c.group), c.primary);
    const PolicyResult others = Evaluate({"pods=primary"}, Report({c.group}));
    EXPECT_EQ(others.verdict, PolicyVerdict::kNotProven);
    EXPECT_THAT(others.violations, IsEmpty());
  }
}

TEST(ScanPolicyTest, WhatNothingCanDecodeIsEncryptedByNobody) {
  ScanGroup group = Group("secrets", StorageKind::kAesCbc, 10);
  group.undecodable = 3;
  const PolicyResult result = Evaluate({"secrets=encrypted"}, Report({group}));
  ASSERT_EQ(result.violations.size(), 1u);
  EXPECT_EQ(result.violations[0].objects, 3u);
  // A value of KMS v2 without a key id that could be read.
  ScanGroup cut = Group("secrets", StorageKind::kKmsV2, 2);
  cut.undecodable = 2;
  for (const char* rule : {"secrets=encrypted", "secrets=kms", "secrets=ours"}) {
    EXPECT_EQ(Offence(rule, cut), "damaged: nothing can decode it");
  }
}

TEST(ScanPolicyTest, OfThePastOnlyPlaintextCounts) {
  for (const Place place : {Place::kOldRevision, Place::kFreeSpace, Place::kWal}) {
    ScanGroup plain = Group("secrets", StorageKind::kPlaintext);
    plain.place = place;
    for (const char* rule : {"secrets=encrypted", "secrets=primary", "*=kms"}) {
      EXPECT_EQ(Offence(rule, plain), "in clear");
    }
    for (ScanGroup group :
         {Group("secrets", StorageKind::kAesCbc), KmsV2("secrets", Freshness::kForeignProvider)}) {
      group.place = place;
      group.undecodable = 1;
      const PolicyResult result =
          Evaluate({"secrets=primary"}, Report({group, KmsV2("secrets", Freshness::kPrimary)}));
      EXPECT_EQ(result.verdict, PolicyVerdict::kMet);
    }
  }
  ScanGroup pending = Group("secrets", StorageKind::kAesCbc);
  pending.place = Place::kPending;
  EXPECT_NE(Offence("secrets=kms", pending), "");
}

TEST(ScanPolicyTest, NamedRuleStandsForTheWildcard) {
  const ScanReport report = Report(
      {Group("configmaps", StorageKind::kPlaintext), Group("secrets", StorageKind::kAesCbc)});
  const PolicyResult result = Evaluate({"*=kms", "secrets=encrypted"}, report);
  ASSERT_EQ(result.violations.size(), 1u);
  EXPECT_EQ(result.violations[0].resource, "configmaps");
  EXPECT_EQ(result.violations[0].level, PolicyLevel::kKms);
  EXPECT_EQ(result.violations[0].example_key, "/registry/configmaps/ns/first");
}

TEST(ScanPolicyTest, WhatIsNeverEncryptedIsExempt) {
  ScanGroup leases = Group("masterleases", StorageKind::kPlaintext);
  leases.never_encrypted = true;
  const PolicyResult result =
      Evaluate({"*=encrypted"}, Report({leases, KmsV2("secrets", Freshness::kNone)}));
  EXPECT_EQ(result.verdict, PolicyVerdict::kMet);
}

TEST(ScanPolicyTest, RuleAboutNothingIsNotProven) {
  const auto none_found = [](const std::vector<std::string>& rules, const ScanReport& report) {
    const PolicyResult result = Evaluate(rules, report);
    EXPECT_EQ(result.verdict,
              result.none_found.empty() ? PolicyVerdict::kMet : PolicyVerdict::kNotProven);
    return result.none_found;
  };
  EXPECT_THAT(none_found({"*=encrypted"}, Report({})), ElementsAre("*"));
  ScanGroup leases = Group("masterleases", StorageKind::kPlaintext);
  leases.never_encrypted = true;
  EXPECT_THAT(none_found({"*=encrypted"}, Report({leases})), ElementsAre("*"));
  ScanGroup past = KmsV2("secrets", Freshness::kNone);
  past.place = Place::kOldRevision;
  EXPECT_THAT(none_found({"secrets=kms", "*=kms"}, Report({past})), ElementsAre("secrets", "*"));
  const ScanReport secrets = Report({KmsV2("secrets", Freshness::kNone)});
  EXPECT_THAT(none_found({"secret=kms"}, secrets), ElementsAre("secret"));
  EXPECT_THAT(none_found({"secrets=kms", "*=encrypted"}, secrets), IsEmpty());
}

TEST(ScanPolicyTest, KeyOfAKeyringThatIsMissingIsNoViolation) {
  for (const Freshness freshness :
       {Freshness::kNone, Freshness::kUnknownKey, Freshness::kForeignProvider}) {
    ScanReport report = Report({KmsV2("secrets", freshness)});
    report.keyrings_missing = true;
    report.facts.gaps.push_back({"keyring other", "it is locked", ""});
    for (const char* rule : {"secrets=ours", "secrets=primary"}) {
      EXPECT_EQ(Evaluate({rule}, report).verdict, PolicyVerdict::kNotProven);
    }
    report.groups.push_back(KmsV2("secrets", Freshness::kStale));
    EXPECT_EQ(Evaluate({"secrets=primary"}, report).verdict, PolicyVerdict::kViolated);
  }
}

TEST(ScanPolicyTest, RemainsThatCanNotBeToldLeaveTheirResourceUnproven) {
  for (const Place place : {Place::kOldRevision, Place::kFreeSpace, Place::kWal}) {
    ScanGroup rest = Group("secrets", StorageKind::kUnrecognised, 3);
    rest.place = place;
    const ScanReport report = Report(
        {KmsV2("secrets", Freshness::kPrimary), rest, KmsV2("configmaps", Freshness::kPrimary)});
    const PolicyResult result = Evaluate({"secrets=encrypted"}, report);
    EXPECT_EQ(result.verdict, PolicyVerdict::kNotProven);
    EXPECT_EQ(result.untold, 3u);
    EXPECT_EQ(Evaluate({"configmaps=encrypted"}, report).verdict, PolicyVerdict::kMet);
  }
}

TEST(ScanPolicyTest, PlaintextOfWhichTheKeyIsLostMayBeOfAnyResource) {
  ScanGroup remains = Group(kUnknownResource, StorageKind::kPlaintext, 4);
  remains.place = Place::kFreeSpace;
  const ScanReport report = Report({KmsV2("secrets", Freshness::kPrimary), remains});
  const PolicyResult result = Evaluate({"secrets=encrypted"}, report);
  EXPECT_EQ(result.verdict, PolicyVerdict::kNotProven);
  EXPECT_EQ(result.untold, 4u);
  EXPECT_EQ(Evaluate({"*=encrypted"}, report).verdict, PolicyVerdict::kViolated);
}

TEST(ScanPolicyTest, SaysWhatItDidNotFind) {
  const PolicyResult result = Evaluate({"pods=kms", "secrets=kms", "*=encrypted"},
                                       Report({KmsV2("secrets", Freshness::kNone)}));
  EXPECT_EQ(result.verdict, PolicyVerdict::kNotProven);
  EXPECT_THAT(result.none_found, ElementsAre("pods"));
}

TEST(ScanPolicyTest, GapLeavesItUnproven) {
  ScanReport report = Report({KmsV2("secrets", Freshness::kPrimary)});
  report.facts.gaps.push_back({"page 12", "it is torn", ""});
  EXPECT_EQ(Evaluate({"secrets=primary"}, report).verdict, PolicyVerdict::kNotProven);
  report.groups.push_back(Group("secrets", StorageKind::kPlaintext));
  EXPECT_EQ(Evaluate({"secrets=primary"}, report).verdict, PolicyVerdict::kViolated);
}

TEST(ScanPolicyTest, FoldedGroupsAreNotTakenForForeign) {
  ScanReport report = Report({Group(ScanReport::kOtherResources, StorageKind::kKmsV2)});
  report.facts.gaps.push_back({"the keys of 7 objects", "there are too many", ""});
  EXPECT_EQ(Evaluate({"*=primary"}, report).verdict, PolicyVerdict::kNotProven);
}

TEST(ScanPolicyTest, GroupsOfOneOffenceAreOneViolation) {
  ScanGroup one = Group("secrets", StorageKind::kAesCbc, 2);
  one.name = "key1";
  ScanGroup two = Group("secrets", StorageKind::kAesCbc, 3);
  two.name = "key2";
  const PolicyResult result = Evaluate({"secrets=kms"}, Report({one, two}));
  ASSERT_EQ(result.violations.size(), 1u);
  EXPECT_EQ(result.violations[0].objects, 5u);
  EXPECT_THAT(result.none_found, IsEmpty());
}

}  // namespace
}  // namespace kekd
