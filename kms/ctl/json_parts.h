// What every JSON output is made of. Included by .cc files only: the library's header is large.
#ifndef KEKD_KMS_CTL_JSON_PARTS_H_
#define KEKD_KMS_CTL_JSON_PARTS_H_

#include <nlohmann/json.hpp>
#include <string>

namespace kekd {

using Json = nlohmann::ordered_json;

// Bytes that are no UTF-8 are replaced: then dump throws nothing.
inline std::string Dump(const Json& json) {
  return json.dump(2, ' ', true, Json::error_handler_t::replace) + "\n";
}

inline Json TextOrNull(const std::string& text) {
  return text.empty() ? Json(nullptr) : Json(text);
}

}  // namespace kekd

#endif  // KEKD_KMS_CTL_JSON_PARTS_H_
