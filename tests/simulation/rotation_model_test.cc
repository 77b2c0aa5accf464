// That the model of rotations speaks of the steps that there are.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "keystore/rotation_record.h"

namespace kekd {
namespace {

// The names in "mtype = { a, b };".
std::vector<std::string> StepsOfModel() {
  std::ifstream file(KEKD_ROTATION_MODEL);
  std::stringstream text;
  text << file.rdbuf();
  const std::string model = text.str();
  const size_t begin = model.find("mtype = {");
  const size_t end = model.find('}', begin);
  if (begin == std::string::npos || end == std::string::npos) return {};
  std::vector<std::string> steps;
  for (const absl::string_view name :
       absl::StrSplit(model.substr(begin + 9, end - begin - 9), ',')) {
    steps.push_back(absl::StrReplaceAll(absl::StripAsciiWhitespace(name), {{"_", "-"}}));
  }
  return steps;
}

TEST(RotationModelTest, HasExactlyTheStepsOfTheCode) {
  std::vector<std::string> steps;
  for (int number = 1;; ++number) {
    const std::string name(ToString(static_cast<RotationStep>(number)));
    if (name == "?") break;
    steps.push_back(name);
  }
  EXPECT_EQ(steps.size(), 8u);
  EXPECT_THAT(StepsOfModel(), ::testing::UnorderedElementsAreArray(steps));
}

}  // namespace
}  // namespace kekd
