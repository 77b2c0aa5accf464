// Reading of JSON that somebody else wrote: what is missing or of another type is nothing.
#ifndef KEKD_CLUSTER_API_SERVER_JSON_FIELDS_H_
#define KEKD_CLUSTER_API_SERVER_JSON_FIELDS_H_

#include <cstdint>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/string_view.h"

namespace kekd {

// Discarded (is_discarded()) if it is no JSON.
nlohmann::json ParseJson(absl::string_view text);

// The value at a path of fields; null if there is none.
const nlohmann::json* FindField(const nlohmann::json& object,
                                std::initializer_list<const char*> path);
// Empty if there is none or if it is no string.
std::string TextField(const nlohmann::json& object, std::initializer_list<const char*> path);
// 0 if there is none or if it is no whole number from 0 on.
uint64_t NumberField(const nlohmann::json& object, std::initializer_list<const char*> path);
// An empty array if there is none or if it is something else.
const nlohmann::json& ArrayField(const nlohmann::json& object,
                                 std::initializer_list<const char*> path);

// In one line; what is no UTF-8 is replaced.
std::string FormatJson(const nlohmann::json& value);

}  // namespace kekd

#endif  // KEKD_CLUSTER_API_SERVER_JSON_FIELDS_H_
