#include "cluster/scan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/cluster/etcd_values.h"
#include "tests/cluster/test_objects.h"
#include "tests/keystore/test_ring.h"
#include "tests/support/status_matchers.h"

namespace kekd {
namespace {

using ::kekd::testing::FakeKeyBackend;
using ::kekd::testing::ObjectFields;
using ::kekd::testing::PlaintextProtobuf;
using ::kekd::testing::TestClusterRing;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

void Visit(Scanner& scanner, absl::string_view key, absl::string_view value,
           Place place = Place::kCurrent, bool whole = true) {
  KEKD_ASSERT_OK(scanner.Visit(
      {.key = key, .value = value, .mod_revision = 7, .place = place, .whole = whole}));
}

const ScanGroup* Find(const ScanReport& report, absl::string_view resource, StorageKind kind,
                      Place place = Place::kCurrent) {
  for (const ScanGroup& group : report.groups) {
    if (group.resource == resource && group.kind == kind && group.place == place) return &group;
  }
  ADD_FAILURE() << resource << " is not in the report";
  static const ScanGroup kNone;
  return &kNone;
}

TEST(ScanTest, CountsByResourcePlaceAndProvider) {
  Scanner scanner({});
  const std::string encrypted = ObjectFields().Value();
  Visit(scanner, "/registry/secrets/a/1", encrypted);
  Visit(scanner, "/registry/secrets/a/2", encrypted);
  Visit(scanner, "/registry/secrets/a/3", PlaintextProtobuf());
  Visit(scanner, "/registry/secrets/a/1", PlaintextProtobuf(), Place::kFreeSpace);
  Visit(scanner, "/registry/deployments/a/1", "{}");
  Visit(scanner, "/registry/secrets/a/4", ObjectFields().Value("other"));
  SourceFacts facts;
  facts.revision = 99;
  const ScanReport report = std::move(scanner).Finish(facts);

  ASSERT_EQ(report.groups.size(), 5u);
  EXPECT_EQ(report.groups[0].resource, "deployments.apps");
  EXPECT_EQ(report.groups[1].resource, "secrets");
  EXPECT_EQ(report.groups[1].kind, StorageKind::kPlaintext);
  EXPECT_EQ(report.groups[2].name, "kekd");
  EXPECT_EQ(report.groups[2].key_id, "kek-1");
  EXPECT_EQ(report.groups[2].objects, 2u);
  EXPECT_EQ(report.groups[2].bytes, 2 * encrypted.size());
  EXPECT_EQ(report.groups[2].example_key, "/registry/secrets/a/1");
  EXPECT_EQ(report.groups[3].name, "other");
  EXPECT_EQ(report.groups[4].place, Place::kFreeSpace);
  EXPECT_EQ(report.facts.revision, 99);
  EXPECT_TRUE(report.complete());
  EXPECT_FALSE(report.keyrings);
  EXPECT_FALSE(report.opened);
  EXPECT_EQ(report.undecodable.total, 0u);
}

TEST(ScanTest, TellsOurKeysFromOthers) {
  const TestClusterRing ring;
  KeyCatalog catalog;
  catalog.Add(ring.keyring());
  Scanner scanner({.catalog = &catalog});
  const auto visit = [&](absl::string_view resource, absl::string_view key_id,
                         absl::string_view provider) {
    Visit(scanner, absl::StrCat("/registry/", resource, "/a/1"),
          ObjectFields{.key_id = std::string(key_id)}.Value(provider));
  };
  visit("destroyed", ring.KeyIdOf(1), "kekd");
  visit("stale", ring.KeyIdOf(2), "kekd");
  visit("primary", ring.KeyIdOf(3), "kekd");
  visit("newer", ring.KeyIdOf(4), "kekd");
  visit("unknown", "kek-1", "kekd");
  visit("lookslike", "prod.9.00112233445566778899aabbccddeeff", "other");
  visit("foreign", "kek-1", "other");
  Visit(scanner, "/registry/plain/a/1", "{}");
  Visit(scanner, "/registry/cut/a/1", ObjectFields().Value("kekd"), Place::kFreeSpace, false);
  const ScanReport report = std::move(scanner).Finish({});

  EXPECT_TRUE(report.keyrings);
  const auto of = [&](absl::string_view resource) {
    return Find(report, resource, StorageKind::kKmsV2)->freshness;
  };
  EXPECT_EQ(of("destroyed"), Freshness::kDestroyed);
  EXPECT_EQ(of("stale"), Freshness::kStale);
  EXPECT_EQ(of("primary"), Freshness::kPrimary);
  EXPECT_EQ(of("newer"), Freshness::kNewer);
  EXPECT_EQ(of("unknown"), Freshness::kUnknownKey);
  EXPECT_EQ(of("lookslike"), Freshness::kUnknownKey);
  EXPECT_EQ(of("foreign"), Freshness::kForeignProvider);
  EXPECT_EQ(Find(report, "plain", StorageKind::kPlaintext)->freshness, Freshness::kNone);
  EXPECT_EQ(Find(report, "cut", StorageKind::kKmsV2, Place::kFreeSpace)->freshness,
            Freshness::kNone);
  EXPECT_EQ(Find(report, "stale", StorageKind::kKmsV2)->key->version, 2u);
}

TEST(ScanTest, NamedProviderIsForeignUnlessItsKeyLooksLikeOurs) {
  const TestClusterRing ring;
  KeyCatalog catalog;
  catalog.Add(ring.keyring());
  Scanner scanner({.catalog = &catalog, .foreign_providers = {"kekd"}});
  Visit(scanner, "/registry/ours/a/1", ObjectFields{.key_id = ring.KeyIdOf(3)}.Value("kekd"));
  Visit(scanner, "/registry/foreign/a/1", ObjectFields().Value("kekd"));
  Visit(scanner, "/registry/newer/a/1",
        ObjectFields{.key_id = "prod.9.00112233445566778899aabbccddeeff"}.Value("kekd"));
  const ScanReport report = std::move(scanner).Finish({});
  const auto of = [&](absl::string_view resource) {
    return Find(report, resource, StorageKind::kKmsV2)->freshness;
  };
  EXPECT_EQ(of("ours"), Freshness::kPrimary);
  EXPECT_EQ(of("foreign"), Freshness::kForeignProvider);
  EXPECT_EQ(of("newer"), Freshness::kUnknownKey);
}

TEST(ScanTest, NoKeyUnderThePrefixIsAGap) {
  SourceFacts facts;
  facts.other_keys = 12;
  const auto gaps = [&](absl::Span<const Place> places) {
    Scanner scanner({.prefixes = {"/one/", "/two/"}});
    for (const Place place : places) Visit(scanner, "/one/secrets/a/1", "{}", place);
    return std::move(scanner).Finish(facts).facts.gaps;
  };
  ASSERT_EQ(gaps({}).size(), 1u);
  EXPECT_EQ(gaps({})[0].why, "no key begins with /one/ or /two/");
  EXPECT_THAT(gaps({})[0].cure, HasSubstr("--prefix"));
  EXPECT_EQ(gaps({Place::kWal}).size(), 1u);
  EXPECT_TRUE(gaps({Place::kWal, Place::kPending}).empty());
  facts.other_keys = 0;
  EXPECT_TRUE(gaps({}).empty()) << "an etcd with nothing in it";
}

TEST(ScanTest, HealthKeyOfKineIsNoPlaintextOfAnyOther) {
  Scanner scanner({});
  Visit(scanner, "/registry/health", R"({"health":"true"})");
  Visit(scanner, "/registry/health/a", "{}");
  const ScanReport report = std::move(scanner).Finish({});
  ASSERT_EQ(report.groups.size(), 2u);
  EXPECT_FALSE(report.groups[0].never_encrypted);
  EXPECT_TRUE(report.groups[1].never_encrypted);
  EXPECT_EQ(report.groups[1].example_key, "/registry/health");
}

TEST(ScanTest, TellsThePastApart) {
  Scanner scanner({});
  Visit(scanner, "/registry/secrets/a/1", "", Place::kPending);
  Visit(scanner, "/registry/secrets/a/1", "", Place::kOldRevision);
  Visit(scanner, "/registry/secrets/a/2", "", Place::kWal);
  const ScanReport report = std::move(scanner).Finish({});
  EXPECT_EQ(report.undecodable.total, 1u);
  EXPECT_EQ(report.past.total, 2u);
}

TEST(ScanTest, ListsWhatCanNotBeDecoded) {
  Scanner scanner({});
  const std::string cut = ObjectFields().Value().substr(0, 60);
  Visit(scanner, "/registry/secrets/a/cut", cut);
  Visit(scanner, "/registry/secrets/a/empty", "");
  Visit(scanner, "/registry/secrets/a/odd", "k8s:enc:kms:v3:x:y");
  // The remains of a value have no end, which is no finding.
  Visit(scanner, "/registry/secrets/a/rest", cut, Place::kFreeSpace, false);
  const ScanReport report = std::move(scanner).Finish({});
  EXPECT_EQ(report.undecodable.total, 3u);
  ASSERT_EQ(report.undecodable.first.size(), 3u);
  EXPECT_EQ(report.undecodable.first[0].key, "/registry/secrets/a/cut");
  EXPECT_EQ(report.undecodable.first[0].mod_revision, 7);
  EXPECT_THAT(report.undecodable.first[0].reason, HasSubstr("protobuf"));
  EXPECT_EQ(Find(report, "secrets", StorageKind::kKmsV2)->undecodable, 1u);
  const ScanGroup& rest = *Find(report, "secrets", StorageKind::kKmsV2, Place::kFreeSpace);
  EXPECT_EQ(rest.partial, 1u);
  EXPECT_EQ(rest.undecodable, 0u);
  EXPECT_EQ(rest.name, "kekd");
}

TEST(ScanTest, FindingsAreCountedBeyondTheirList) {
  Scanner scanner({});
  for (int i = 0; i < 3000; ++i) Visit(scanner, absl::StrCat("/registry/secrets/a/", i), "");
  const ScanReport report = std::move(scanner).Finish({});
  EXPECT_EQ(report.undecodable.total, 3000u);
  EXPECT_EQ(report.undecodable.first.size(), ScanFindings::kMaxKept);
}

TEST(ScanTest, HostileNamesFillNoMemory) {
  Scanner scanner({});
  const std::string lengthy(100'000, 'n');
  Visit(scanner, absl::StrCat("/registry/", lengthy, "/a/1"), ObjectFields().Value(lengthy));
  Visit(scanner, absl::StrCat("/registry/", lengthy, "/a/2"), ObjectFields().Value(lengthy));
  for (int i = 0; i < 30'000; ++i) {
    Visit(scanner, absl::StrCat("/registry/r", i, "/a/1"),
          ObjectFields{.key_id = absl::StrCat("key ", i)}.Value());
    Visit(scanner, absl::StrCat("/registry/r", i, "/a/2"), "{}");
  }
  Visit(scanner, "/registry/masterleases/10.0.0.1", PlaintextProtobuf());
  const ScanReport report = std::move(scanner).Finish({});
  EXPECT_EQ(report.groups.size(), Scanner::kMaxGroups + 3);
  uint64_t objects = 0;
  for (const ScanGroup& group : report.groups) objects += group.objects;
  EXPECT_EQ(objects, 60'003u);
  const ScanGroup& others = *Find(report, ScanReport::kOtherResources, StorageKind::kPlaintext);
  EXPECT_GT(others.objects, 20'000u);
  EXPECT_TRUE(Find(report, "masterleases", StorageKind::kPlaintext)->never_encrypted);
  EXPECT_FALSE(report.complete());
  EXPECT_THAT(report.facts.gaps[0].why, HasSubstr("more than 10000"));
  for (const ScanGroup& group : report.groups) {
    EXPECT_LE(group.name.size(), Scanner::kMaxNameBytes);
    EXPECT_LE(group.resource.size(), 2 * Scanner::kMaxNameBytes + 1);
    EXPECT_LE(group.example_key.size(), Scanner::kMaxKeyBytes);
    if (group.name.size() > 100) {
      EXPECT_EQ(group.objects, 2u);
      EXPECT_THAT(group.name, ::testing::EndsWith("n..."));
    }
  }
}

class ScanWithKeysTest : public ::testing::Test {
 protected:
  static std::string KeyOf(int i) { return absl::StrCat("/registry/secrets/ns/s", i); }

  void MakeThousand() {
    for (int i = 0; i < 1000; ++i) {
      values_.push_back(ring_.Value(KeyOf(i), absl::StrCat("secret ", i), 2 + i % 2));
    }
  }
  ScanReport Scan() {
    const auto sources = CreateKeyringDekSourceOpener({ring_.Open()});
    return ScanWith(*sources);
  }
  ScanReport ScanWith(const DekSourceOpener& sources) {
    ObjectOpener opener(sources);
    KeyCatalog catalog;
    catalog.Add(ring_.keyring());
    Scanner scanner({.catalog = &catalog, .opener = &opener});
    for (size_t i = 0; i < values_.size(); ++i) {
      Visit(scanner, KeyOf(static_cast<int>(i)), values_[i]);
    }
    return std::move(scanner).Finish({});
  }
  static uint64_t Count(const ScanReport& report, OpenOutcome outcome) {
    uint64_t count = 0;
    for (const ScanGroup& group : report.groups) count += group.outcome(outcome);
    return count;
  }

  TestClusterRing ring_;
  std::vector<std::string> values_;
};

TEST_F(ScanWithKeysTest, ListsExactlyTheDamagedKeys) {
  MakeThousand();
  values_[17].back() = static_cast<char>(values_[17].back() ^ 3);  // the type, one field short
  values_[17].pop_back();
  values_[404][70] = static_cast<char>(values_[404][70] ^ 1);  // in the encrypted data
  values_[998] = values_[996];                                 // moved
  const ScanReport report = Scan();
  std::vector<std::string> keys;
  for (const ScanFinding& finding : report.damaged.first) keys.push_back(finding.key);
  EXPECT_THAT(keys, ElementsAre(KeyOf(17), KeyOf(404), KeyOf(998)));
  EXPECT_EQ(report.damaged.total, 3u);
  EXPECT_EQ(report.damaged.first[0].damage, Damage::kStructure);
  EXPECT_EQ(report.damaged.first[1].damage, Damage::kObject);
  EXPECT_EQ(report.damaged.first[2].damage, Damage::kObject);
  EXPECT_EQ(report.undecodable.total, 0u) << "told twice";
  EXPECT_EQ(Count(report, OpenOutcome::kOpened), 997u);
  EXPECT_EQ(Count(report, OpenOutcome::kDamaged), 3u);
  EXPECT_TRUE(report.opened);
  EXPECT_TRUE(report.complete());
}

TEST_F(ScanWithKeysTest, WhileTheTokenIsAwayNothingIsDamaged) {
  MakeThousand();
  const auto sources = CreateKeyringDekSourceOpener({ring_.Open()});
  for (int i = 0; i < 10'000; ++i) {
    ring_.backend().QueueFailure(FakeKeyBackend::Call::kDecrypt,
                                 i % 2 == 0 ? absl::UnavailableError("token is away")
                                            : absl::InvalidArgumentError("not authentic"));
  }
  const ScanReport report = ScanWith(*sources);
  EXPECT_EQ(report.damaged.total, 0u);
  EXPECT_EQ(Count(report, OpenOutcome::kUnavailable), 1000u);
  EXPECT_EQ(report.unavailable, 1000u);
  ASSERT_FALSE(report.complete());
  EXPECT_EQ(report.facts.gaps[0].what, "the content of 1000 objects");
  EXPECT_THAT(report.facts.gaps[0].why, HasSubstr("of keyring \"prod\" can't be used"));
  EXPECT_LT(ring_.backend().CallCount(FakeKeyBackend::Call::kDecrypt), 100);
}

TEST_F(ScanWithKeysTest, TokenThatIsBackIsUsed) {
  MakeThousand();
  const auto sources = CreateKeyringDekSourceOpener({ring_.Open()});
  for (int i = 0; i < 4; ++i) {
    ring_.backend().QueueFailure(FakeKeyBackend::Call::kDecrypt,
                                 absl::UnavailableError("token is away"));
  }
  const ScanReport report = ScanWith(*sources);
  EXPECT_EQ(report.damaged.total, 0u);
  EXPECT_EQ(report.unavailable, 2u);
  EXPECT_EQ(Count(report, OpenOutcome::kOpened), 998u);
}

TEST_F(ScanWithKeysTest, OthersDataIsNotDamaged) {
  values_ = {ObjectFields().Value("other"), PlaintextProtobuf(), ring_.Value(KeyOf(2), "x", 1)};
  const ScanReport report = Scan();
  EXPECT_EQ(report.damaged.total, 0u);
  EXPECT_EQ(Count(report, OpenOutcome::kUnknownKey), 2u);
  EXPECT_EQ(Count(report, OpenOutcome::kNotTried), 0u);
  EXPECT_TRUE(report.complete());
}

TEST_F(ScanWithKeysTest, NamedForeignProvidersAreNotOpened) {
  const auto sources = CreateKeyringDekSourceOpener({ring_.Open()});
  ObjectOpener opener(*sources);
  KeyCatalog catalog;
  catalog.Add(ring_.keyring());
  Scanner scanner({.catalog = &catalog, .foreign_providers = {"other", "kekd"}, .opener = &opener});
  const std::string others = ObjectFields().Value("other");
  Visit(scanner, KeyOf(1), others);
  Visit(scanner, KeyOf(2), others.substr(0, 60));
  Visit(scanner, KeyOf(3), ring_.Value(KeyOf(3), "x", 2));
  Visit(scanner, KeyOf(4), ObjectFields().Value("third"));
  const ScanReport report = std::move(scanner).Finish({});
  EXPECT_EQ(Count(report, OpenOutcome::kNotTried), 0u);
  EXPECT_EQ(Count(report, OpenOutcome::kDamaged), 1u) << "cut off, whosever it is";
  EXPECT_EQ(Count(report, OpenOutcome::kOpened), 1u) << "ours, whatever was named";
  EXPECT_EQ(Count(report, OpenOutcome::kUnknownKey), 1u);
}

}  // namespace
}  // namespace kekd
