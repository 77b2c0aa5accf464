#include "cluster/recovery/recovered_object.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/str_cat.h"

namespace kekd {
namespace {

using Json = nlohmann::json;

// A length-delimited field (protobuf.dev, "Encoding"); numbers below 16, up to 127 bytes.
std::string Field(int number, const std::string& content) {
  return absl::StrCat(std::string(1, static_cast<char>(number << 3 | 2)),
                      std::string(1, static_cast<char>(content.size())), content);
}

std::string MapEntry(int number, const std::string& key, const std::string& value) {
  return Field(number, Field(1, key) + Field(2, value));
}

std::string Stored(const std::string& version, const std::string& kind, const std::string& raw) {
  return std::string("k8s\0", 4) + Field(1, Field(1, version) + Field(2, kind)) + Field(2, raw);
}

RecoveredObject Recover(const std::string& stored) {
  return MakeRecovered(SecretBytes::CopyOf(AsBytes(stored)));
}

std::string Shown(const RecoveredObject& object) {
  return std::string(AsText(object.content.Reveal(SecretAccessToken())));
}

TEST(RecoveredObjectTest, MakesAManifestOfASecret) {
  const std::string metadata = Field(1, "db") + Field(3, "default") + Field(5, "some-uid") +
                               Field(6, "1234") + MapEntry(11, "app", "x\"y") + Field(14, "a/b");
  const RecoveredObject object =
      Recover(Stored("v1", "Secret",
                     Field(1, metadata) + MapEntry(2, "password", std::string("\0\xff", 2)) +
                         Field(3, "Opaque") + "\x28\x01"));
  EXPECT_EQ(object.form, RecoveredForm::kManifest);
  EXPECT_EQ(Json::parse(Shown(object)),
            Json::parse(
                R"({"apiVersion":"v1","kind":"Secret","metadata":{"name":"db","namespace":"default",
              "labels":{"app":"x\"y"},"finalizers":["a/b"]},"type":"Opaque","immutable":true,
              "data":{"password":"AP8="}})"));
}

TEST(RecoveredObjectTest, MakesAManifestOfAConfigMap) {
  const RecoveredObject object = Recover(
      Stored("v1", "ConfigMap",
             Field(1, Field(1, "c") + MapEntry(12, "note", "n")) + MapEntry(2, "a", "line\n") +
                 MapEntry(2, "b", "") + MapEntry(3, "bin", "x")));
  EXPECT_EQ(
      Json::parse(Shown(object)),
      Json::parse(
          R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c","annotations":{"note":"n"}},
              "data":{"a":"line\n","b":""},"binaryData":{"bin":"eA=="}})"));
}

TEST(RecoveredObjectTest, TakesWhatBelongsToTheOldClusterOutOfJson) {
  const RecoveredObject object = Recover(
      R"({"kind":"Widget", "metadata" : {"uid":"1","name":"a","ownerReferences":[{"uid":"2"}],
          "managedFields":[{"f":{"}":"]"}}],"annotations":{"uid":"stays\"}"} , "generation": 12},
          "spec":{"uid":"stays","list":[1,{"metadata":{"uid":"stays"}}],"t":true,"n":null}}
)");
  EXPECT_EQ(object.form, RecoveredForm::kManifest);
  EXPECT_EQ(
      Json::parse(Shown(object)),
      Json::parse(R"({"kind":"Widget","metadata":{"name":"a","annotations":{"uid":"stays\"}"}},
          "spec":{"uid":"stays","list":[1,{"metadata":{"uid":"stays"}}],"t":true,"n":null}})"));
  EXPECT_EQ(Shown(Recover(R"({"metadata":{}})")), "{\"metadata\":{}}\n");
}

// Of whatever no manifest can be made, the bytes come back as they are.
TEST(RecoveredObjectTest, GivesAnythingElseAsStored) {
  const std::string metadata = Field(1, Field(1, "n"));
  for (const std::string& stored :
       {Stored("v1", "ServiceAccount", metadata), Stored("v2", "Secret", metadata),
        Stored("v1", "Secret", ""),                                      // no name
        Stored("v1", "Secret", Field(1, "\x0a\x7f")),                    // a field cut short
        Stored("v1", "Secret", Field(1, Field(1, "\xff"))),              // a name that is no text
        Stored("v1", "ConfigMap", metadata + MapEntry(2, "a", "\xc3")),  // a text that is none
        std::string("k8s\0\x0a", 5), std::string("k8s\0", 4), std::string(),
        std::string("\xd9\xd9\xf7\xa0"), std::string("anything"),
        std::string(R"({"kind":"Widget"})"), std::string(R"({"metadata":{"name":"a"})"),
        std::string(R"({"metadata":{"name":"a"}} x)"), std::string(R"({"metadata":7})"),
        std::string("{"), std::string(R"({"metadata":{"name":"a},)"),
        std::string(R"({"a" "b"})")}) {
    const RecoveredObject object = Recover(stored);
    EXPECT_EQ(object.form, RecoveredForm::kStored);
    EXPECT_EQ(Shown(object), stored);
  }
}

}  // namespace
}  // namespace kekd
