#include "cluster/storage_value.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/cluster/etcd_values.h"

namespace kekd {
namespace {

using ::kekd::testing::AesKeyVector;
using ::kekd::testing::ObjectFields;
using ::kekd::testing::PlaintextProtobuf;
using ::kekd::testing::SeedVector;
using ::testing::HasSubstr;

// Random bytes, none of which is printable.
std::string Noise(size_t size) { return std::string(size, '\x9c'); }

std::string KmsV1(absl::string_view name, size_t dek_bytes, size_t object_bytes) {
  const char length[2] = {static_cast<char>(dek_bytes >> 8), static_cast<char>(dek_bytes)};
  return absl::StrCat("k8s:enc:kms:v1:", name, ":", absl::string_view(length, 2), Noise(dek_bytes),
                      Noise(object_bytes));
}

TEST(StorageValueTest, TellsEveryProviderByItsPrefix) {
  struct Case {
    std::string value;
    StorageKind kind;
    absl::string_view name;
    size_t payload_bytes;
  };
  const std::vector<Case> cases = {
      {PlaintextProtobuf(), StorageKind::kPlaintext, "", PlaintextProtobuf().size()},
      {"{\"kind\":\"Widget\"}\n", StorageKind::kPlaintext, "", 18},
      {"\xd9\xd9\xf7\xa1\x61\x61\x01", StorageKind::kPlaintext, "", 7},
      {absl::StrCat("k8s:enc:aescbc:v1:key1:", Noise(32)), StorageKind::kAesCbc, "key1", 32},
      {absl::StrCat("k8s:enc:aesgcm:v1:key2:", Noise(29)), StorageKind::kAesGcm, "key2", 29},
      {absl::StrCat("k8s:enc:secretbox:v1:k:", Noise(41)), StorageKind::kSecretbox, "k", 41},
      {KmsV1("old", 64, 100), StorageKind::kKmsV1, "old", 166},
      {ObjectFields().Value("kekd"), StorageKind::kKmsV2, "kekd", ObjectFields().Message().size()},
      {AesKeyVector(), StorageKind::kKmsV2, "test", AesKeyVector().size() - 20},
  };
  for (const Case& c : cases) {
    const StorageValue value = ClassifyValue(c.value);
    EXPECT_EQ(value.kind, c.kind) << c.value;
    EXPECT_EQ(value.defect, "") << c.value;
    EXPECT_EQ(value.name, c.name) << c.value;
    EXPECT_EQ(value.payload.size(), c.payload_bytes) << c.value;
    EXPECT_EQ(value.payload.data() + value.payload.size(), c.value.data() + c.value.size());
  }
}

TEST(StorageValueTest, ReadsTheObjectOfKmsV2) {
  const std::string vector = SeedVector();
  const StorageValue value = ClassifyValue(vector);
  EXPECT_EQ(value.object.key_id, "kek-1");
  EXPECT_EQ(value.object.encrypted_dek_source, "wrapped-seed");
}

TEST(StorageValueTest, SaysWhyAValueCanNotBeDecoded) {
  struct Case {
    std::string value;
    StorageKind kind;
    absl::string_view defect;
  };
  const std::vector<Case> cases = {
      {"", StorageKind::kUnrecognised, "it is empty"},
      {"3", StorageKind::kUnrecognised, "neither encrypted nor an object"},
      {"k8s", StorageKind::kUnrecognised, "neither encrypted nor an object"},
      {"   ", StorageKind::kUnrecognised, "neither encrypted nor an object"},
      {"k8s:enc", StorageKind::kUnrecognised, "neither encrypted nor an object"},
      {"k8s:enc:", StorageKind::kUnknownProvider, "ends within its prefix"},
      {"k8s:enc:kms:v2", StorageKind::kUnknownProvider, "ends within its prefix"},
      {"k8s:enc:kms:v3:kekd:x", StorageKind::kUnknownProvider, "no provider that writes"},
      {"k8s:enc:kms:v2:kekd", StorageKind::kKmsV2, "ends within its prefix"},
      {"k8s:enc:kms:v2::x", StorageKind::kKmsV2, "name in its prefix is empty"},
      {"k8s:enc:kms:v2:kekd:", StorageKind::kKmsV2, "the encrypted data is empty"},
      {"k8s:enc:aescbc:v1:key1:", StorageKind::kAesCbc, "no IV and whole AES blocks"},
      {absl::StrCat("k8s:enc:aescbc:v1:key1:", Noise(16)), StorageKind::kAesCbc, "no IV and"},
      {absl::StrCat("k8s:enc:aescbc:v1:key1:", Noise(33)), StorageKind::kAesCbc, "no IV and"},
      {absl::StrCat("k8s:enc:aescbc:v1::", Noise(32)), StorageKind::kAesCbc, "name in its prefix"},
      {absl::StrCat("k8s:enc:aesgcm:v1:key1:", Noise(27)), StorageKind::kAesGcm, "too short"},
      {absl::StrCat("k8s:enc:secretbox:v1:k:", Noise(39)), StorageKind::kSecretbox, "too short"},
      {KmsV1("old", 64, 27), StorageKind::kKmsV1, "no encrypted DEK and object"},
      {KmsV1("old", 0, 64), StorageKind::kKmsV1, "no encrypted DEK and object"},
      {"k8s:enc:kms:v1:old:\x01", StorageKind::kKmsV1, "no encrypted DEK and object"},
      {std::string("k8s\0", 4), StorageKind::kPlaintext, "no whole protobuf object"},
      {"{", StorageKind::kPlaintext, "no whole JSON object"},
      {"{\"a\":", StorageKind::kPlaintext, "no whole JSON object"},
      {"\xd9\xd9\xf7", StorageKind::kPlaintext, "no CBOR map"},
      {"\xd9\xd9\xf7\x01", StorageKind::kPlaintext, "no CBOR map"},
  };
  for (const Case& c : cases) {
    const StorageValue value = ClassifyValue(c.value);
    EXPECT_EQ(value.kind, c.kind) << c.value;
    EXPECT_THAT(value.defect, HasSubstr(std::string(c.defect))) << c.value;
    EXPECT_FALSE(value.decodable());
  }
  EXPECT_EQ(ClassifyValue("k8s:enc:kms:v3:kekd:x").name, "kms:v3");
}

TEST(StorageValueTest, CutPlaintextIsNotDecodable) {
  const std::string whole = PlaintextProtobuf();
  for (size_t size = 4; size + 4 < whole.size(); ++size) {
    const StorageValue value = ClassifyValue(absl::string_view(whole).substr(0, size));
    EXPECT_EQ(value.kind, StorageKind::kPlaintext);
    // Only between two fields it can't be told.
    EXPECT_TRUE(!value.decodable() || size == 4 + 14) << size;
  }
}

TEST(StorageValueTest, NameOfKmsV1MayHoldColons) {
  for (const absl::string_view name : {"a:b", "https://kms.example.com:8443/key", "a:no:z"}) {
    // Longer than the length that "no" would be, 0x6e6f bytes.
    const std::string stored = KmsV1(name, 64, 0x8000);
    const StorageValue value = ClassifyValue(stored);
    EXPECT_EQ(value.name, name);
    EXPECT_TRUE(value.decodable());
    EXPECT_EQ(value.payload.size(), 2u + 64 + 0x8000);
  }
  // A DEK of unusual size is found too if nothing else fits.
  EXPECT_EQ(ClassifyValue(KmsV1("big", 0x3000, 64)).name, "big");
}

TEST(StorageValueTest, NameOfAnAesCbcKeyMayHoldColons) {
  const std::string stored = absl::StrCat("k8s:enc:aescbc:v1:team:2:", Noise(48));
  EXPECT_EQ(ClassifyValue(stored).name, "team:2");
  EXPECT_TRUE(ClassifyValue(stored).decodable());
}

TEST(StorageValueTest, BeginningIsToldByItsPrefixAlone) {
  struct Case {
    std::string beginning;
    StorageKind kind;
    absl::string_view name;
    bool decodable;
  };
  const std::vector<Case> cases = {
      {"k8s:enc:kms:v2:kekd:\x0a\x90\x08zz", StorageKind::kKmsV2, "kekd", true},
      {"k8s:enc:kms:v2:ke", StorageKind::kKmsV2, "ke", false},
      {"k8s:enc:aescbc:v1:key1:abc", StorageKind::kAesCbc, "key1", true},
      {"k8s:enc:km", StorageKind::kUnknownProvider, "km", false},
      {std::string("k8s\0\x0a", 5), StorageKind::kPlaintext, "", true},
      {"{\"kind\":\"Sec", StorageKind::kPlaintext, "", true},
      {"", StorageKind::kUnrecognised, "", false},
      {"zzz", StorageKind::kUnrecognised, "", false},
  };
  for (const Case& c : cases) {
    const StorageValue value = ClassifyBeginning(c.beginning);
    EXPECT_EQ(value.kind, c.kind) << c.beginning;
    EXPECT_EQ(value.name, c.name) << c.beginning;
    EXPECT_EQ(value.decodable(), c.decodable) << c.beginning;
    EXPECT_EQ(value.payload, "");
    EXPECT_EQ(value.object.key_id, "");
  }
}

}  // namespace
}  // namespace kekd
