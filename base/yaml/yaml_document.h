// YAML, as much of it as a configuration needs.
#ifndef KEKD_BASE_YAML_YAML_DOCUMENT_H_
#define KEKD_BASE_YAML_YAML_DOCUMENT_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace kekd {

// A node of a YAML document with the place where it stands. A value.
struct YamlNode {
  enum class Kind { kNull, kScalar, kSequence, kMapping };

  Kind kind = Kind::kNull;
  int line = 0;  // from 1
  int column = 0;
  std::string scalar;            // its text, whatever it was quoted with
  std::vector<YamlNode> keys;    // of a mapping: scalars, all different
  std::vector<YamlNode> values;  // of a mapping, as many as keys; of a sequence
};

// Parses exactly one document. InvalidArgument, as "origin:line:column: why", for what is not YAML
// and for what makes a file mean something else than it seems to: duplicate keys, a second
// document, anchors, aliases, merge keys and tags.
absl::StatusOr<YamlNode> ParseYaml(absl::string_view yaml, absl::string_view origin);

}  // namespace kekd

#endif  // KEKD_BASE_YAML_YAML_DOCUMENT_H_
