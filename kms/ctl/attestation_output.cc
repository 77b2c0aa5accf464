#include "kms/ctl/attestation_output.h"

#include <cstdint>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/bytes.h"
#include "base/hex.h"

namespace kekd {

std::string SaysOrNot(const KeyAttestation::Statement& statement) {
  return statement.says.empty() ? "the token does not say" : statement.says;
}

std::string StatementsLine(const std::vector<KeyAttestation::Statement>& statements) {
  return absl::StrJoin(statements, ", ",
                       [](std::string* out, const KeyAttestation::Statement& statement) {
                         absl::StrAppend(out, statement.name, " ",
                                         statement.says.empty() ? "not said" : statement.says);
                       });
}

Json StatementsObject(const std::vector<KeyAttestation::Statement>& statements) {
  Json object = Json::object();
  for (const KeyAttestation::Statement& each : statements) {
    uint64_t number = 0;
    if (each.says.empty()) {
      object[each.name] = nullptr;
    } else if (each.says == "yes" || each.says == "no") {
      object[each.name] = each.says == "yes";
    } else if (absl::SimpleAtoi(each.says, &number)) {
      object[each.name] = number;
    } else {
      object[each.name] = each.says;
    }
  }
  return object;
}

Json AttestationObject(const KeyAttestation& attestation) {
  Json objects = Json::array();
  for (const KeyAttestation::Object& object : attestation.objects) {
    objects.push_back(Json{{"type", object.type},
                           {"label", object.label},
                           {"id", HexEncode(AsBytes(object.id))},
                           {"says", StatementsObject(object.statements)}});
  }
  return {{"token", TextOrNull(attestation.place)},
          {"error", attestation.status.ok() ? Json(nullptr)
                                            : Json(std::string(attestation.status.message()))},
          {"verdict", TextOrNull(attestation.verdict)},
          {"objects", std::move(objects)}};
}

}  // namespace kekd
