#include "cluster/api_server/json_fields.h"

namespace kekd {

nlohmann::json ParseJson(absl::string_view text) {
  return nlohmann::json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
}

const nlohmann::json* FindField(const nlohmann::json& object,
                                std::initializer_list<const char*> path) {
  const nlohmann::json* at = &object;
  for (const char* const name : path) {
    if (!at->is_object()) return nullptr;
    const auto found = at->find(name);
    if (found == at->end()) return nullptr;
    at = &*found;
  }
  return at;
}

std::string TextField(const nlohmann::json& object, std::initializer_list<const char*> path) {
  const nlohmann::json* const field = FindField(object, path);
  return field != nullptr && field->is_string() ? field->get<std::string>() : std::string();
}

uint64_t NumberField(const nlohmann::json& object, std::initializer_list<const char*> path) {
  const nlohmann::json* const field = FindField(object, path);
  return field != nullptr && field->is_number_unsigned() ? field->get<uint64_t>() : 0;
}

const nlohmann::json& ArrayField(const nlohmann::json& object,
                                 std::initializer_list<const char*> path) {
  static const nlohmann::json& none = *new nlohmann::json(nlohmann::json::array());
  const nlohmann::json* const field = FindField(object, path);
  return field != nullptr && field->is_array() ? *field : none;
}

std::string FormatJson(const nlohmann::json& value) {
  return value.dump(-1, ' ', /*ensure_ascii=*/false, nlohmann::json::error_handler_t::replace);
}

}  // namespace kekd
