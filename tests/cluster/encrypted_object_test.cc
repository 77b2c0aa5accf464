#include "cluster/encrypted_object.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "tests/cluster/etcd_values.h"
#include "tests/support/status_matchers.h"

namespace kekd {
namespace {

using ::kekd::testing::AesKeyVector;
using ::kekd::testing::BytesField;
using ::kekd::testing::ObjectFields;
using ::kekd::testing::SeedVector;
using ::kekd::testing::StatusIs;
using ::kekd::testing::VarintField;
using ::testing::HasSubstr;

std::string MessageOf(const std::string& value) {
  return std::string(absl::StripPrefix(value, "k8s:enc:kms:v2:test:"));
}

absl::Status RefusalOf(const ObjectFields& fields) {
  return EncryptedObject::Parse(fields.Message()).status();
}

testing::StatusIsMatcher Refused(absl::string_view why) {
  return StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(std::string(why)));
}

TEST(EncryptedObjectTest, ReadsWhatAnApiServerWrites) {
  const std::string message = MessageOf(SeedVector());
  KEKD_ASSERT_OK_AND_ASSIGN(const EncryptedObject object, EncryptedObject::Parse(message));
  EXPECT_EQ(object.encrypted_data.size(), 65u);
  EXPECT_EQ(object.encrypted_data.data(), message.data() + 2) << "it is not a view";
  EXPECT_EQ(object.key_id, "kek-1");
  EXPECT_EQ(object.encrypted_dek_source, "wrapped-seed");
  EXPECT_EQ(object.dek_source_type, DekSourceType::kHkdfSha256XNonceAesGcmSeed);
  ASSERT_EQ(object.annotations.size(), 1u);
  EXPECT_EQ(object.annotations[0].key, "example.com");
  EXPECT_EQ(object.annotations[0].value, "v");
}

TEST(EncryptedObjectTest, TypeIsLeftOutByKubernetes127) {
  const std::string message = MessageOf(AesKeyVector());
  KEKD_ASSERT_OK_AND_ASSIGN(const EncryptedObject object, EncryptedObject::Parse(message));
  EXPECT_EQ(object.dek_source_type, DekSourceType::kAesGcmKey);
  EXPECT_EQ(object.encrypted_data.size(), 33u);
  EXPECT_EQ(object.encrypted_dek_source, "wrapped-key");
  EXPECT_TRUE(object.annotations.empty());
}

TEST(EncryptedObjectTest, TakesFieldsInAnyOrderAndTheLastOfEach) {
  const std::string message = absl::StrCat(
      VarintField(5, 0), BytesField(3, "first"), BytesField(2, "k1"), BytesField(1, "old"),
      BytesField(3, "second"), BytesField(2, "k2"), BytesField(1, "new"), VarintField(5, 1));
  KEKD_ASSERT_OK_AND_ASSIGN(const EncryptedObject object, EncryptedObject::Parse(message));
  EXPECT_EQ(object.encrypted_data, "new");
  EXPECT_EQ(object.key_id, "k2");
  EXPECT_EQ(object.encrypted_dek_source, "second");
  EXPECT_EQ(object.dek_source_type, DekSourceType::kHkdfSha256XNonceAesGcmSeed);
}

TEST(EncryptedObjectTest, PassesOverUnknownFields) {
  const std::string message =
      absl::StrCat(VarintField(9, 7), BytesField(1000, "later"), ObjectFields().Message(),
                   VarintField(2, 3),  // known numbers with another type are unknown too
                   BytesField(5, "x"));
  KEKD_ASSERT_OK_AND_ASSIGN(const EncryptedObject object, EncryptedObject::Parse(message));
  EXPECT_EQ(object.key_id, "kek-1");
  EXPECT_EQ(object.dek_source_type, DekSourceType::kHkdfSha256XNonceAesGcmSeed);
}

TEST(EncryptedObjectTest, SizesHaveTheApiServersLimits) {
  KEKD_EXPECT_OK(RefusalOf({.key_id = std::string(1024, 'k')}));
  KEKD_EXPECT_OK(RefusalOf({.dek_source = std::string(1024, 's')}));
  KEKD_EXPECT_OK(RefusalOf({.encrypted_data = "d"}));
  EXPECT_THAT(RefusalOf({.key_id = std::string(1025, 'k')}), Refused("the key id has 1025 bytes"));
  EXPECT_THAT(RefusalOf({.key_id = ""}), Refused("the key id has 0 bytes"));
  EXPECT_THAT(RefusalOf({.dek_source = std::string(1025, 's')}),
              Refused("the encrypted DEK source has 1025 bytes"));
  EXPECT_THAT(RefusalOf({.dek_source = ""}), Refused("the encrypted DEK source has 0 bytes"));
  EXPECT_THAT(RefusalOf({.encrypted_data = ""}), Refused("the encrypted data is empty"));
  EXPECT_THAT(EncryptedObject::Parse(""), Refused("empty"));
}

TEST(EncryptedObjectTest, KnowsTwoDekSourceTypes) {
  EXPECT_THAT(RefusalOf({.type = 2}), Refused("DEK source type 2 is not known"));
  EXPECT_THAT(RefusalOf({.type = ~uint64_t{0}}), Refused("DEK source type -1"));
  // An enum takes the low 32 bits, as Go's protobuf does.
  KEKD_EXPECT_OK(RefusalOf({.type = (uint64_t{1} << 32) + 1}));
}

TEST(EncryptedObjectTest, KeyIdIsUtf8) {
  KEKD_EXPECT_OK(RefusalOf({.key_id = "Schl\xc3\xbcssel \xe2\x82\xac \xf0\x9f\x94\x91"}));
  for (const absl::string_view bad : {"\x80", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80",
                                      "\xe2\x82", "\xff", "\xf0\x80\x80\x80"}) {
    EXPECT_THAT(RefusalOf({.key_id = absl::StrCat("kek-", bad)}),
                Refused("the key id is not UTF-8"));
  }
}

TEST(EncryptedObjectTest, AnnotationsAreNamedByDomainNames) {
  const std::string label(63, 'a');
  for (const std::string& good :
       {std::string("example.com"), std::string("example.com."), std::string("a.b"),
        std::string("1.x-y.z"), absl::StrCat(label, ".", label)}) {
    KEKD_EXPECT_OK(RefusalOf({.annotations = {{good, "v"}}})) << good;
  }
  for (const std::string& bad :
       {std::string(), std::string("."), std::string("version"), std::string("EXAMPLE.io"),
        std::string("kms.example.io/remote-kms-auditid"), std::string("a..b"),
        std::string("example.com.."), std::string("-a.b"), std::string("a-.b"),
        std::string("a_b.c"), absl::StrCat(label, "a.b"),
        absl::StrCat(label, ".", label, ".", label, ".", label, ".a")}) {
    EXPECT_THAT(RefusalOf({.annotations = {{bad, "v"}}}), Refused("no domain name")) << bad;
  }
  EXPECT_THAT(RefusalOf({.annotations = {{"\xff.com", "v"}}}), Refused("not UTF-8"));
}

TEST(EncryptedObjectTest, AnnotationsHaveALimitTogether) {
  const std::string most(32768 - 2 * 5, 'v');
  KEKD_EXPECT_OK(RefusalOf({.annotations = {{"a.com", most}, {"b.com", ""}}}));
  EXPECT_THAT(RefusalOf({.annotations = {{"a.com", most}, {"b.com", "1"}}}),
              Refused("the annotations have 32769 bytes, more than 32768"));
}

TEST(EncryptedObjectTest, OfAnAnnotationGivenTwiceTheLastCounts) {
  const std::string message =
      ObjectFields{.annotations = {{"b.com", "1"}, {"a.com", "2"}, {"b.com", "3"}}}.Message();
  KEKD_ASSERT_OK_AND_ASSIGN(const EncryptedObject object, EncryptedObject::Parse(message));
  ASSERT_EQ(object.annotations.size(), 2u);
  EXPECT_EQ(object.annotations[0].key, "a.com");
  EXPECT_EQ(object.annotations[1].key, "b.com");
  EXPECT_EQ(object.annotations[1].value, "3");
}

TEST(EncryptedObjectTest, BrokenMessageIsNone) {
  const std::string message = ObjectFields{.annotations = {{"a.com", "v"}}}.Message();
  EXPECT_THAT(EncryptedObject::Parse(message + "\x0a\x05"), Refused("no whole protobuf message"));
  EXPECT_THAT(EncryptedObject::Parse("\x0b"), Refused("no whole protobuf message"));
  EXPECT_THAT(EncryptedObject::Parse(message + BytesField(4, "\x0a\x09")),
              Refused("an annotation is no whole protobuf message"));
  // A value that lost its end never passes for one with other fields.
  const std::string vector = MessageOf(SeedVector());
  for (size_t size = 0; size < vector.size(); ++size) {
    const absl::StatusOr<EncryptedObject> cut = EncryptedObject::Parse(vector.substr(0, size));
    // Between two of the optional last fields it is a message still: without a type, or also
    // without the annotation.
    const bool between = size == vector.size() - 2 || size == vector.size() - 2 - 18;
    EXPECT_EQ(cut.ok(), between) << size;
  }
}

// Of a hostile value with as many annotations as fit the work stays small.
TEST(EncryptedObjectTest, ManyAnnotationsAreNoProblem) {
  std::string message = ObjectFields().Message();
  for (int i = 0; i < 200'000; ++i) absl::StrAppend(&message, BytesField(4, BytesField(1, "a.b")));
  KEKD_ASSERT_OK_AND_ASSIGN(const EncryptedObject object, EncryptedObject::Parse(message));
  EXPECT_EQ(object.annotations.size(), 1u);
}

}  // namespace
}  // namespace kekd
