#include "kms/config/yaml_reader.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/nearest_name.h"

namespace kekd {
namespace {

// The longest piece of a file that an error repeats.
constexpr size_t kMaxShownBytes = 60;

std::string Shown(absl::string_view text) {
  return absl::StrCat("\"", absl::Utf8SafeCHexEscape(text.substr(0, kMaxShownBytes)),
                      text.size() > kMaxShownBytes ? "…" : "", "\"");
}

absl::string_view KindName(YamlNode::Kind kind) {
  switch (kind) {
    case YamlNode::Kind::kNull:
      return "nothing";
    case YamlNode::Kind::kScalar:
      return "a single value";
    case YamlNode::Kind::kSequence:
      return "a list";
    case YamlNode::Kind::kMapping:
      return "a mapping";
  }
  return "something else";
}

}  // namespace

absl::Status YamlReader::ErrorAt(const YamlNode& node, absl::string_view what) const {
  return absl::InvalidArgumentError(
      absl::StrCat(origin_, ":", node.line, ":", node.column, ": ", what));
}

absl::Status YamlReader::Error(absl::string_view what) const {
  return ErrorAt(*node_, path_.empty() ? std::string(what) : absl::StrCat(path_, ": ", what));
}

absl::Status YamlReader::ExpectFields(std::initializer_list<absl::string_view> fields) const {
  if (node_->kind != YamlNode::Kind::kMapping) {
    return Error(absl::StrCat("must be a mapping with the fields ", absl::StrJoin(fields, ", "),
                              ", and is ", KindName(node_->kind)));
  }
  for (const YamlNode& key : node_->keys) {
    if (std::find(fields.begin(), fields.end(), key.scalar) != fields.end()) continue;
    std::string message = absl::StrCat("unknown field ", Shown(key.scalar));
    if (!path_.empty()) absl::StrAppend(&message, " in ", path_);
    const absl::string_view nearest = NearestName(key.scalar, fields);
    if (nearest.empty()) {
      absl::StrAppend(&message, "; known are ", absl::StrJoin(fields, ", "));
    } else {
      absl::StrAppend(&message, "; did you mean \"", nearest, "\"?");
    }
    return ErrorAt(key, message);
  }
  return absl::OkStatus();
}

const YamlNode* YamlReader::FindField(absl::string_view field) const {
  for (size_t i = 0; i < node_->keys.size(); ++i) {
    if (node_->keys[i].scalar != field) continue;
    const YamlNode& value = node_->values[i];
    return value.kind == YamlNode::Kind::kNull ? nullptr : &value;
  }
  return nullptr;
}

YamlReader YamlReader::Field(absl::string_view field, const YamlNode& node) const {
  return YamlReader(node, origin_,
                    path_.empty() ? std::string(field) : absl::StrCat(path_, ".", field));
}

std::vector<YamlReader> YamlReader::Fields() const {
  std::vector<YamlReader> fields;
  for (size_t i = 0; i < node_->keys.size(); ++i) {
    if (node_->values[i].kind == YamlNode::Kind::kNull) continue;
    fields.push_back(Field(node_->keys[i].scalar, node_->values[i]));
  }
  return fields;
}

absl::StatusOr<YamlReader> YamlReader::RequiredField(absl::string_view field) const {
  const YamlNode* node = FindField(field);
  if (node == nullptr) return Error(absl::StrCat("the field \"", field, "\" is missing"));
  return Field(field, *node);
}

absl::StatusOr<absl::string_view> YamlReader::Text() const {
  if (node_->kind != YamlNode::Kind::kScalar) {
    return Error(absl::StrCat("must be a single value, and is ", KindName(node_->kind)));
  }
  if (node_->scalar.empty()) return Error("must not be empty");
  for (const char c : node_->scalar) {
    if (absl::ascii_iscntrl(static_cast<unsigned char>(c))) {
      return Error("must not have line ends or other control characters");
    }
  }
  return absl::string_view(node_->scalar);
}

absl::StatusOr<std::vector<YamlReader>> YamlReader::Elements() const {
  if (node_->kind != YamlNode::Kind::kSequence) {
    return Error(absl::StrCat("must be a list, and is ", KindName(node_->kind)));
  }
  std::vector<YamlReader> elements;
  elements.reserve(node_->values.size());
  for (size_t i = 0; i < node_->values.size(); ++i) {
    elements.emplace_back(node_->values[i], origin_, absl::StrCat(path_, "[", i, "]"));
  }
  return elements;
}

}  // namespace kekd
