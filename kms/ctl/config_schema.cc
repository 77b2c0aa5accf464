#include "kms/ctl/config_schema.h"

#include <rapidjson/document.h>
#include <rapidjson/schema.h>
#include <rapidjson/stringbuffer.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "base/yaml/yaml_document.h"

namespace kekd {
namespace {

using rapidjson::Value;
using Allocator = rapidjson::Document::AllocatorType;

rapidjson::SizeType SizeOf(const std::string& text) {
  return static_cast<rapidjson::SizeType>(text.size());
}

// Refers to the node's texts.
Value ToJson(const YamlNode& node, Allocator& allocator) {
  switch (node.kind) {
    case YamlNode::Kind::kNull:
      return Value(rapidjson::kNullType);
    case YamlNode::Kind::kScalar:
      return Value(rapidjson::StringRef(node.scalar.data(), SizeOf(node.scalar)));
    case YamlNode::Kind::kSequence: {
      Value list(rapidjson::kArrayType);
      for (const YamlNode& element : node.values) {
        list.PushBack(ToJson(element, allocator), allocator);
      }
      return list;
    }
    case YamlNode::Kind::kMapping:
      break;
  }
  Value mapping(rapidjson::kObjectType);
  for (size_t i = 0; i < node.keys.size(); ++i) {
    if (node.values[i].kind == YamlNode::Kind::kNull) continue;
    const std::string& key = node.keys[i].scalar;
    mapping.AddMember(rapidjson::StringRef(key.data(), SizeOf(key)),
                      ToJson(node.values[i], allocator), allocator);
  }
  return mapping;
}

// "/keyrings/0/name", or "" for the document itself.
template <typename Pointer>
std::string TextOf(const Pointer& pointer) {
  rapidjson::StringBuffer text;
  pointer.Stringify(text);
  return std::string(text.GetString(), text.GetSize());
}

}  // namespace

absl::Status CheckAgainstSchema(absl::string_view yaml, absl::string_view origin) {
  KEKD_ASSIGN_OR_RETURN(const YamlNode node, ParseYaml(yaml, origin));
  rapidjson::Document schema_json;
  const absl::string_view text = ConfigSchema();
  if (schema_json.Parse(text.data(), text.size()).HasParseError()) {
    return absl::InternalError("the schema is no JSON");
  }
  const rapidjson::SchemaDocument schema(schema_json);
  rapidjson::SchemaValidator validator(schema);
  rapidjson::Document document;
  if (ToJson(node, document.GetAllocator()).Accept(validator)) return absl::OkStatus();
  const std::string place = TextOf(validator.GetInvalidDocumentPointer());
  return absl::InvalidArgumentError(absl::StrCat(origin, ": ", place.empty() ? "the whole" : place,
                                                 " is not what the schema allows (\"",
                                                 validator.GetInvalidSchemaKeyword(), "\" of ",
                                                 TextOf(validator.GetInvalidSchemaPointer()), ")"));
}

}  // namespace kekd
