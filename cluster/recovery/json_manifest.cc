#include "cluster/recovery/json_manifest.h"

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <utility>
#include <vector>

#include "base/secret_builder.h"

namespace kekd {
namespace {

constexpr absl::string_view kOfTheOldCluster[] = {"uid",
                                                  "resourceVersion",
                                                  "generation",
                                                  "creationTimestamp",
                                                  "selfLink",
                                                  "managedFields",
                                                  "ownerReferences",
                                                  "deletionTimestamp",
                                                  "deletionGracePeriodSeconds"};

// A member of a JSON object, as it stands there.
struct Member {
  absl::string_view name;   // between its quotes
  absl::string_view whole;  // "name": value
  absl::string_view value;
};

void SkipBlanks(absl::string_view& rest) {
  rest.remove_prefix(std::min(rest.find_first_not_of(" \t\r\n"), rest.size()));
}

bool Take(absl::string_view& rest, char c) {
  SkipBlanks(rest);
  if (rest.empty() || rest.front() != c) return false;
  rest.remove_prefix(1);
  return true;
}

// A string with its quotes; empty if there is none.
absl::string_view TakeString(absl::string_view& rest) {
  const absl::string_view begin = rest;
  if (rest.empty() || rest.front() != '"') return "";
  for (size_t i = 1; i < begin.size(); ++i) {
    if (begin[i] == '\\') {
      ++i;
    } else if (begin[i] == '"') {
      rest.remove_prefix(i + 1);
      return begin.substr(0, i + 1);
    }
  }
  return "";
}

// A value of any kind, told by its brackets and strings alone; empty if it does not end.
absl::string_view TakeValue(absl::string_view& rest) {
  SkipBlanks(rest);
  const absl::string_view begin = rest;
  size_t depth = 0;
  while (!rest.empty()) {
    const char c = rest.front();
    if (c == '"') {
      if (TakeString(rest).empty()) return "";
    } else if (c == '{' || c == '[') {
      ++depth;
      rest.remove_prefix(1);
    } else if (depth > 0 && (c == '}' || c == ']')) {
      --depth;
      rest.remove_prefix(1);
    } else if (depth == 0) {
      // A number or a word.
      rest.remove_prefix(std::min(rest.find_first_of(",}] \t\r\n"), rest.size()));
    } else {
      rest.remove_prefix(1);
      continue;
    }
    if (depth == 0) return begin.substr(0, begin.size() - rest.size());
  }
  return "";
}

std::optional<std::vector<Member>> Members(absl::string_view object) {
  std::vector<Member> members;
  if (!Take(object, '{')) return std::nullopt;
  if (Take(object, '}')) return members;
  do {
    SkipBlanks(object);
    const absl::string_view begin = object;
    const absl::string_view name = TakeString(object);
    if (name.size() < 2 || !Take(object, ':')) return std::nullopt;
    const absl::string_view value = TakeValue(object);
    if (value.empty()) return std::nullopt;
    members.push_back({.name = name.substr(1, name.size() - 2),
                       .whole = begin.substr(0, begin.size() - object.size()),
                       .value = value});
  } while (Take(object, ','));
  if (!Take(object, '}')) return std::nullopt;
  SkipBlanks(object);
  if (!object.empty()) return std::nullopt;
  return members;
}

bool IsOfTheOldCluster(const Member& member) {
  return std::find(std::begin(kOfTheOldCluster), std::end(kOfTheOldCluster), member.name) !=
         std::end(kOfTheOldCluster);
}

}  // namespace

std::optional<SecretBytes> MakeJsonManifest(absl::string_view object) {
  const std::optional<std::vector<Member>> members = Members(object);
  if (!members) return std::nullopt;
  SecretBuilder out;
  bool has_metadata = false;
  out.Append("{");
  const char* between = "";
  for (const Member& member : *members) {
    out.Append(std::exchange(between, ","));
    if (member.name != "metadata") {
      out.Append(member.whole);
      continue;
    }
    std::optional<std::vector<Member>> metadata = Members(member.value);
    if (!metadata) return std::nullopt;
    has_metadata = true;
    metadata->erase(std::remove_if(metadata->begin(), metadata->end(), IsOfTheOldCluster),
                    metadata->end());
    out.Append("\"metadata\":{");
    const char* within = "";
    for (const Member& kept : *metadata) {
      out.Append(std::exchange(within, ","));
      out.Append(kept.whole);
    }
    out.Append("}");
  }
  out.Append("}\n");
  if (!has_metadata) return std::nullopt;
  return out.Take();
}

}  // namespace kekd
