#include "cluster/object_opener.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "base/bytes.h"
#include "tests/cluster/etcd_values.h"
#include "tests/cluster/test_objects.h"
#include "tests/support/status_matchers.h"

namespace kekd {
namespace {

using ::kekd::testing::AesKeyVector;
using ::kekd::testing::CountingBytes;
using ::kekd::testing::FakeDekSourceOpener;
using ::kekd::testing::kVectorKey;
using ::kekd::testing::ObjectFields;
using ::kekd::testing::SealUnderKey;
using ::kekd::testing::SealUnderSeed;
using ::kekd::testing::SeedVector;
using ::testing::HasSubstr;

constexpr absl::string_view kKey = "/registry/secrets/ns/s";

class ObjectOpenerTest : public ::testing::Test {
 protected:
  ObjectOpener::Result Open(const std::string& value, absl::string_view key = kKey) {
    return opener_.Open(key, ClassifyValue(value), absl::InfiniteFuture());
  }
  static std::string TextOf(const ObjectOpener::Result& result) {
    const absl::string_view text = AsText(result.plaintext.Reveal(SecretAccessToken()));
    return std::string(text.data(), text.size());
  }
  ObjectFields Fields() const {
    return {.encrypted_data = SealUnderSeed(CountingBytes(0, 32), kKey, "k8s secret")};
  }

  absl::StatusOr<SecretBytes> Answer(absl::string_view source, absl::string_view) {
    if (!failure_.ok()) return failure_;
    return source == "short" ? CountingBytes(0, 31) : CountingBytes(0, source_bytes_);
  }

  absl::Status failure_;
  size_t source_bytes_ = 32;
  FakeDekSourceOpener sources_{
      [this](absl::string_view source, absl::string_view id) { return Answer(source, id); }};
  ObjectOpener opener_{sources_, 2};
};

TEST_F(ObjectOpenerTest, OpensWhatAnApiServerWrote) {
  for (const std::string& vector : {SeedVector(), AesKeyVector()}) {
    const ObjectOpener::Result result = Open(vector, kVectorKey);
    EXPECT_EQ(result.outcome, OpenOutcome::kOpened) << result.reason;
    EXPECT_EQ(TextOf(result), "hello");
    KEKD_EXPECT_OK(result.reason);
    const ObjectOpener::Result moved = Open(vector, "/registry/secrets/default/other");
    EXPECT_EQ(moved.outcome, OpenOutcome::kDamaged);
    EXPECT_EQ(moved.damage, Damage::kObject);
    EXPECT_TRUE(moved.plaintext.empty());
  }
}

TEST_F(ObjectOpenerTest, OpensEveryKeySizeOfAes) {
  const std::string value =
      ObjectFields{.encrypted_data = SealUnderKey(CountingBytes(0, 32), kKey, "x"), .type = 0}
          .Value();
  EXPECT_EQ(Open(value).outcome, OpenOutcome::kOpened);
  // Of 16 and 24 bytes: another key, and yet one.
  for (const size_t size : {16, 24}) {
    source_bytes_ = size;
    ObjectFields fields{.encrypted_data = SealUnderKey(CountingBytes(0, 32), kKey, "x"),
                        .dek_source = absl::StrCat("of ", size),
                        .type = 0};
    EXPECT_EQ(Open(fields.Value()).damage, Damage::kObject);
  }
  source_bytes_ = 33;
  const ObjectOpener::Result odd = Open(ObjectFields{.dek_source = "of 33", .type = 0}.Value());
  EXPECT_EQ(odd.damage, Damage::kStructure);
  EXPECT_THAT(std::string(odd.reason.message()), HasSubstr("the DEK has 33 bytes"));
}

TEST_F(ObjectOpenerTest, SeedMayBeLongerThanItMustBe) {
  source_bytes_ = 64;
  const std::string value =
      ObjectFields{.encrypted_data = SealUnderSeed(CountingBytes(0, 64), kKey, "x")}.Value();
  EXPECT_EQ(Open(value).outcome, OpenOutcome::kOpened);
  const ObjectOpener::Result shorter = Open(ObjectFields{.dek_source = "short"}.Value());
  EXPECT_EQ(shorter.damage, Damage::kStructure);
  EXPECT_THAT(std::string(shorter.reason.message()), HasSubstr("the DEK seed has 31 bytes"));
}

TEST_F(ObjectOpenerTest, EveryAlteredBitIsDamage) {
  const ObjectFields good = Fields();
  ASSERT_EQ(Open(good.Value()).outcome, OpenOutcome::kOpened);
  for (size_t at = 0; at < good.encrypted_data.size(); ++at) {
    ObjectFields altered = good;
    altered.encrypted_data[at] = static_cast<char>(altered.encrypted_data[at] ^ 0x10);
    const ObjectOpener::Result result = Open(altered.Value());
    EXPECT_EQ(result.outcome, OpenOutcome::kDamaged) << at;
    EXPECT_EQ(result.damage, Damage::kObject) << at;
  }
  for (size_t size = 1; size < good.encrypted_data.size(); ++size) {
    ObjectFields cut = good;
    cut.encrypted_data.resize(size);
    EXPECT_EQ(Open(cut.Value()).damage, size < 60 ? Damage::kStructure : Damage::kObject) << size;
  }
}

TEST_F(ObjectOpenerTest, ValueThatIsNoObjectIsDamaged) {
  const std::string value = Fields().Value();
  const ObjectOpener::Result result = Open(value.substr(0, value.size() - 5));
  EXPECT_EQ(result.outcome, OpenOutcome::kDamaged);
  EXPECT_EQ(result.damage, Damage::kStructure);
  EXPECT_EQ(sources_.calls(), 0);
}

TEST_F(ObjectOpenerTest, TellsAlteredSourcesFromUnknownAndAbsentKeys) {
  struct Case {
    absl::Status failure;
    OpenOutcome outcome;
    Damage damage;
  };
  for (const Case& c :
       {Case{absl::InvalidArgumentError("x"), OpenOutcome::kDamaged, Damage::kDekSource},
        Case{absl::NotFoundError("x"), OpenOutcome::kUnknownKey, Damage::kNone},
        Case{absl::UnavailableError("x"), OpenOutcome::kUnavailable, Damage::kNone},
        Case{absl::DataLossError("x"), OpenOutcome::kUnavailable, Damage::kNone},
        Case{absl::InternalError("x"), OpenOutcome::kUnavailable, Damage::kNone},
        Case{absl::UnimplementedError("x"), OpenOutcome::kUnavailable, Damage::kNone}}) {
    failure_ = c.failure;
    ObjectFields fields = Fields();
    fields.dek_source = c.failure.ToString();
    const ObjectOpener::Result result = Open(fields.Value());
    EXPECT_EQ(result.outcome, c.outcome) << c.failure;
    EXPECT_EQ(result.damage, c.damage) << c.failure;
    EXPECT_EQ(result.reason, c.failure);
  }
}

TEST_F(ObjectOpenerTest, WhatIsNotOfKmsV2IsNotTried) {
  for (const std::string& value :
       {testing::PlaintextProtobuf(), std::string("k8s:enc:aescbc:v1:key1:") + std::string(32, 'x'),
        std::string("k8s:enc:kms:v3:x:y"), std::string()}) {
    EXPECT_EQ(Open(value).outcome, OpenOutcome::kNotTried) << value;
  }
  EXPECT_EQ(sources_.calls(), 0);
}

TEST_F(ObjectOpenerTest, AsksForEachSourceOnceWhileItIsKept) {
  ObjectFields fields = Fields();
  const auto open = [&](const std::string& source) {
    fields.dek_source = source;
    EXPECT_EQ(Open(fields.Value()).outcome, OpenOutcome::kOpened);
    return sources_.calls();
  };
  EXPECT_EQ(open("a"), 1);
  EXPECT_EQ(open("a"), 1);
  EXPECT_EQ(open("b"), 2);
  EXPECT_EQ(open("a"), 2);
  EXPECT_EQ(open("c"), 3) << "two are kept: b goes";
  EXPECT_EQ(open("a"), 3);
  EXPECT_EQ(open("b"), 4);
  // The same source under another key id or with annotations is another question.
  fields.key_id = "kek-2";
  EXPECT_EQ(open("b"), 5);
  fields.annotations = {{"a.com", ""}};
  EXPECT_EQ(open("b"), 6);
}

TEST_F(ObjectOpenerTest, AlteredSourceIsAskedForOnce) {
  failure_ = absl::InvalidArgumentError("altered");
  for (int i = 0; i < 10; ++i) EXPECT_EQ(Open(Fields().Value()).damage, Damage::kDekSource);
  EXPECT_EQ(sources_.calls(), 1);
}

TEST_F(ObjectOpenerTest, KeyThatIsAwayIsGivenUp) {
  failure_ = absl::UnavailableError("token is away");
  for (int i = 0; i < 100; ++i) {
    const ObjectOpener::Result result = Open(Fields().Value());
    EXPECT_EQ(result.outcome, OpenOutcome::kUnavailable);
    EXPECT_EQ(result.reason, failure_);
  }
  EXPECT_EQ(sources_.calls(), ObjectOpener::kMaxFailuresInARow);
  // Others are asked for all the same.
  failure_ = absl::OkStatus();
  ObjectFields other = Fields();
  other.key_id = "kek-2";
  EXPECT_EQ(Open(other.Value()).outcome, OpenOutcome::kOpened);
}

TEST_F(ObjectOpenerTest, FailuresThatAreNotInARowAreForgotten) {
  ObjectFields fields = Fields();
  for (int i = 0; i < 3 * ObjectOpener::kMaxFailuresInARow; ++i) {
    failure_ = absl::UnavailableError("now and then");
    EXPECT_EQ(Open(fields.Value()).outcome, OpenOutcome::kUnavailable);
    failure_ = absl::OkStatus();
    EXPECT_EQ(Open(fields.Value()).outcome, OpenOutcome::kOpened);
    fields.dek_source = absl::StrCat("source ", i);
  }
}

}  // namespace
}  // namespace kekd
