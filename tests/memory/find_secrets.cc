// find_secrets SECRETS PLACE...: looks for secrets, a line "KIND HEX" each in the file SECRETS, in
// dumps that dump_memory made and in plain files. Prints what it found as JSON: for each place,
// each mapping that has any, how many bytes of secrets of which kind it has, of how many secrets,
// and the longest piece.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/bytes.h"
#include "base/hex.h"
#include "base/status_macros.h"
#include "tests/memory/secret_index.h"

namespace kekd::testing {
namespace {

struct Finding {
  uint64_t bytes = 0;  // of memory that are part of a secret
  uint64_t longest = 0;
  std::set<size_t> secrets;
  uint64_t first = 0;  // where the first one lies in its mapping
};
// By kind and form.
using Findings = std::map<std::pair<std::string, std::string>, Finding>;

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return absl::NotFoundError(absl::StrCat(path, " can't be read"));
  return std::string(std::istreambuf_iterator<char>(file), {});
}

absl::StatusOr<SecretIndex> ReadSecrets(const std::string& path) {
  SecretIndex index;
  KEKD_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  std::istringstream lines(text);
  std::string kind;
  std::string hex;
  while (lines >> kind >> hex) {
    std::string secret(hex.size() / 2, '\0');
    if (!HexDecode(hex, AsWritableBytes(secret))) {
      return absl::InvalidArgumentError(absl::StrCat(path, ": ", hex, " is not hexadecimal"));
    }
    index.Add(kind, AsBytes(secret));
  }
  index.Build();
  return index;
}

Findings Search(const SecretIndex& index, ByteView memory) {
  struct Run {
    size_t begin = 0;
    size_t end = 0;
  };
  std::map<std::pair<std::string, std::string>, Run> runs;
  Findings findings;
  index.Search(memory, [&](size_t offset, size_t size, const SecretIndex::Pattern& pattern) {
    const std::pair<std::string, std::string> key(pattern.kind, std::string(pattern.form));
    Finding& finding = findings[key];
    Run& run = runs[key];
    if (finding.bytes == 0) finding.first = offset;
    if (offset > run.end || run.end == 0) run = {offset, offset};
    finding.bytes += offset + size - std::max(run.end, offset);
    run.end = std::max(run.end, offset + size);
    finding.longest = std::max<uint64_t>(finding.longest, run.end - run.begin);
    finding.secrets.insert(pattern.secret);
  });
  return findings;
}

// JSON of one place: nothing in it needs an escape, but for what a file may be called.
std::string ToJson(const std::string& name, const std::string& type, uint64_t size,
                   uint64_t readable, const Findings& findings) {
  std::string escaped;
  for (const char c : name) {
    if (c == '"' || c == '\\') escaped += '\\';
    escaped += c;
  }
  std::string json =
      absl::StrCat("{\"name\": \"", escaped, "\", \"type\": \"", type, "\", \"bytes\": ", size,
                   ", \"readable\": ", readable, ", \"found\": [");
  const char* separator = "";
  for (const auto& [key, finding] : findings) {
    absl::StrAppend(&json, separator, "{\"kind\": \"", key.first, "\", \"form\": \"", key.second,
                    "\", \"bytes\": ", finding.bytes, ", \"secrets\": ", finding.secrets.size(),
                    ", \"longest\": ", finding.longest, ", \"first\": ", finding.first, "}");
    separator = ", ";
  }
  return absl::StrCat(json, "]}");
}

// The mappings of a dump, or the one place that a file is.
absl::StatusOr<std::vector<std::string>> SearchPlace(const SecretIndex& index,
                                                     const std::string& place) {
  std::ifstream mappings(place + "/mappings");
  if (!mappings) {
    KEKD_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(place));
    return std::vector<std::string>{
        ToJson(place, "file", bytes.size(), bytes.size(), Search(index, AsBytes(bytes)))};
  }
  KEKD_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(place + "/bytes"));
  std::vector<std::string> found;
  uint64_t begin;
  uint64_t size;
  uint64_t readable;
  std::string type;
  std::string name;
  while (mappings >> begin >> size >> readable >> type && std::getline(mappings >> std::ws, name)) {
    const Findings findings = Search(index, AsBytes(bytes).subspan(begin, readable));
    found.push_back(ToJson(name, type, size, readable, findings));
  }
  return found;
}

absl::Status Run(const std::string& secrets, const std::vector<std::string>& places) {
  KEKD_ASSIGN_OR_RETURN(const SecretIndex index, ReadSecrets(secrets));
  std::vector<std::string> found;
  for (const std::string& place : places) {
    KEKD_ASSIGN_OR_RETURN(const std::vector<std::string> some, SearchPlace(index, place));
    found.insert(found.end(), some.begin(), some.end());
  }
  std::cout << "{\"secrets\": " << index.secrets() << ", \"places\": [\n"
            << absl::StrJoin(found, ",\n") << "\n]}\n";
  return absl::OkStatus();
}

}  // namespace
}  // namespace kekd::testing

int main(int argc, char** argv) {
  if (argc < 3) {
    std::cerr << "usage: find_secrets SECRETS PLACE...\n";
    return 2;
  }
  const absl::Status status = kekd::testing::Run(argv[1], {argv + 2, argv + argc});
  if (status.ok()) return EXIT_SUCCESS;
  std::cerr << "find_secrets: " << status << "\n";
  return EXIT_FAILURE;
}
