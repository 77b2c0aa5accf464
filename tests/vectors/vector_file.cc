#include "tests/vectors/vector_file.h"

#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "tests/support/secrets.h"

namespace kekd::testing {
namespace {

[[noreturn]] void Die(const std::string& why) {
  std::fprintf(stderr, "%s\n", why.c_str());
  std::abort();
}

}  // namespace

const std::string& PublishedVector::Text(absl::string_view name) const {
  const auto field = fields_.find(std::string(name));
  if (field == fields_.end()) Die(absl::StrCat("a vector has no '", name, "'"));
  return field->second;
}

std::string PublishedVector::Bytes(absl::string_view name) const { return FromHex(Text(name)); }

SecretBytes PublishedVector::Secret(absl::string_view name) const {
  return SecretFromHex(Text(name));
}

uint32_t PublishedVector::Number(absl::string_view name) const {
  uint32_t number = 0;
  if (!absl::SimpleAtoi(Text(name), &number)) Die(absl::StrCat("'", name, "' is no number"));
  return number;
}

bool PublishedVector::IsValid() const {
  const std::string& result = Text("result");
  if (result != "valid" && result != "invalid") Die(absl::StrCat("unknown result ", result));
  return result == "valid";
}

std::vector<PublishedVector> ReadVectors(absl::string_view name, size_t count) {
  const std::string path = absl::StrCat(KEKD_TEST_VECTORS, "/", name);
  std::ifstream file(path);
  if (!file) Die(absl::StrCat("the published vectors are missing: ", path));
  std::vector<PublishedVector> vectors;
  bool inside = false;
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#') {
      inside = false;
      continue;
    }
    if (!inside) vectors.emplace_back();
    inside = true;
    const size_t sign = line.find(" =");
    if (sign == std::string::npos) Die(absl::StrCat(path, ": a line without ' =': ", line));
    vectors.back().fields_[line.substr(0, sign)] =
        std::string(absl::StripAsciiWhitespace(absl::string_view(line).substr(sign + 2)));
  }
  if (vectors.size() != count) {
    Die(absl::StrCat(path, " has ", vectors.size(), " vectors instead of ", count));
  }
  return vectors;
}

}  // namespace kekd::testing
