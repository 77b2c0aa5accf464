#include "base/yaml/yaml_document.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/support/status_matchers.h"

namespace kekd {
namespace {

using ::kekd::testing::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

TEST(YamlDocumentTest, KeepsTextsAsTheyAreWrittenWithTheirPlaces) {
  KEKD_ASSERT_OK_AND_ASSIGN(const YamlNode root,
                            ParseYaml("mode: 0600\nlist:\n- 'a b'\n- \"c\"\nnone:\n", "f"));
  ASSERT_EQ(root.kind, YamlNode::Kind::kMapping);
  ASSERT_EQ(root.keys.size(), 3u);
  EXPECT_EQ(root.keys[0].scalar, "mode");
  EXPECT_EQ(root.values[0].scalar, "0600");
  EXPECT_EQ(root.values[0].line, 1);
  EXPECT_EQ(root.values[0].column, 7);
  ASSERT_EQ(root.values[1].values.size(), 2u);
  EXPECT_EQ(root.values[1].values[0].scalar, "a b");
  EXPECT_EQ(root.values[1].values[1].line, 4);
  EXPECT_EQ(root.values[2].kind, YamlNode::Kind::kNull);
}

TEST(YamlDocumentTest, RefusesADuplicateKeyWithBothLines) {
  EXPECT_THAT(ParseYaml("a: 1\nb: 2\na: 3\n", "f.yaml"),
              StatusIs(kInvalid,
                       AllOf(StartsWith("f.yaml:3:1: "), HasSubstr("\"a\""), HasSubstr("line 1"))));
}

TEST(YamlDocumentTest, RefusesADuplicateKeyOfAnInnerMapping) {
  EXPECT_THAT(ParseYaml("x:\n- {a: 1, a: 2}\n", "f"), StatusIs(kInvalid, StartsWith("f:2:10: ")));
}

TEST(YamlDocumentTest, RefusesASecondDocument) {
  EXPECT_THAT(ParseYaml("a: 1\n---\nb: 2\n", "f"),
              StatusIs(kInvalid, HasSubstr("second YAML document")));
}

TEST(YamlDocumentTest, TakesOneDocumentWithItsMarkers) {
  KEKD_EXPECT_OK(ParseYaml("---\na: 1\n...\n", "f"));
}

TEST(YamlDocumentTest, RefusesAnchorsAliasesMergeKeysAndTags) {
  EXPECT_THAT(ParseYaml("a: &x 1\nb: 2\n", "f"), StatusIs(kInvalid, HasSubstr("anchors")));
  EXPECT_THAT(ParseYaml("a: &x 1\nb: *x\n", "f"), StatusIs(kInvalid, StartsWith("f:1:")));
  EXPECT_THAT(ParseYaml("b: *x\n", "f"), StatusIs(kInvalid, StartsWith("f:1:")));
  EXPECT_THAT(ParseYaml("<<: {a: 1}\n", "f"), StatusIs(kInvalid, HasSubstr("merge keys")));
  EXPECT_THAT(ParseYaml("a: !!str 1\n", "f"), StatusIs(kInvalid, HasSubstr("tags")));
  EXPECT_THAT(ParseYaml("a: !!map {}\n", "f"), StatusIs(kInvalid, HasSubstr("tags")));
}

TEST(YamlDocumentTest, RefusesWhatIsNotYaml) {
  EXPECT_THAT(ParseYaml("a: [1, 2\nb: 3\n", "f"), StatusIs(kInvalid, StartsWith("f:")));
  EXPECT_THAT(ParseYaml("a: b: c\n", "f"), StatusIs(kInvalid, HasSubstr("not YAML")));
  EXPECT_THAT(ParseYaml("\ta: 1\n", "f"), StatusIs(kInvalid, StartsWith("f:1:")));
}

TEST(YamlDocumentTest, RefusesAnEmptyFile) {
  EXPECT_THAT(ParseYaml("", "f"), StatusIs(kInvalid, HasSubstr("nothing in it")));
  EXPECT_THAT(ParseYaml("# only a comment\n", "f"), StatusIs(kInvalid, StartsWith("f:1:1: ")));
}

TEST(YamlDocumentTest, RefusesKeysThatAreNoText) {
  EXPECT_THAT(ParseYaml("? [a, b]\n: 1\n", "f"), StatusIs(kInvalid, HasSubstr("plain text")));
}

TEST(YamlDocumentTest, SurvivesDeepNesting) {
  EXPECT_THAT(ParseYaml(std::string(40, '['), "f"), StatusIs(kInvalid, StartsWith("f:")));
  EXPECT_THAT(ParseYaml(std::string(100000, '['), "f"), StatusIs(kInvalid, StartsWith("f:")));
}

TEST(YamlDocumentTest, BoundsTheFieldsOfAMapping) {
  std::string yaml;
  for (int i = 0; i < 1000; ++i) yaml += "k" + std::to_string(i) + ": 1\n";
  EXPECT_THAT(ParseYaml(yaml, "f"), StatusIs(kInvalid, StartsWith("f:257:1: ")));
}

}  // namespace
}  // namespace kekd
