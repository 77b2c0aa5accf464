// Strict reading of YAML nodes as fields of a known shape.
#ifndef KEKD_KMS_CONFIG_YAML_READER_H_
#define KEKD_KMS_CONFIG_YAML_READER_H_

#include <initializer_list>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/yaml/yaml_document.h"

namespace kekd {

// YamlReader is a node with its path from the document's root ("keyrings[0].socket"), which every
// error names, beside "origin:line:column". All errors are InvalidArgument. Refers to the document,
// which outlives it.
class YamlReader final {
 public:
  YamlReader(const YamlNode& node, absl::string_view origin, absl::string_view path)
      : node_(&node), origin_(origin), path_(path) {}

  const std::string& path() const { return path_; }

  // An error at this place: "origin:line:column: path: what".
  absl::Status Error(absl::string_view what) const;

  // Refuses anything but a mapping with no other fields than these; an unknown one with the known
  // one that it resembles.
  absl::Status ExpectFields(std::initializer_list<absl::string_view> fields) const;
  // Null if the field is not there, or there without a value.
  const YamlNode* FindField(absl::string_view field) const;
  absl::StatusOr<YamlReader> RequiredField(absl::string_view field) const;
  // For a field that FindField found.
  YamlReader Field(absl::string_view field, const YamlNode& node) const;

  // Of a mapping, those that have a value.
  std::vector<YamlReader> Fields() const;

  // The text of a scalar that is not empty and has no control characters; a view into the document.
  absl::StatusOr<absl::string_view> Text() const;
  // The elements of a sequence.
  absl::StatusOr<std::vector<YamlReader>> Elements() const;

 private:
  absl::Status ErrorAt(const YamlNode& node, absl::string_view what) const;

  const YamlNode* node_;
  std::string origin_;
  std::string path_;  // empty for the root
};

}  // namespace kekd

#endif  // KEKD_KMS_CONFIG_YAML_READER_H_
