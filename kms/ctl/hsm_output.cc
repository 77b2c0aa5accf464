#include "kms/ctl/hsm_output.h"

#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/bytes.h"
#include "base/hex.h"
#include "hsm/key_attestation.h"
#include "kms/ctl/attestation_output.h"
#include "kms/ctl/json_parts.h"
#include "kms/ctl/table.h"
#include "kms/ctl/table_output.h"

namespace kekd {
namespace {

std::string TokenLine(const TokenReport& report) {
  const TokenSelector& token = report.token.token;
  if (token == TokenSelector())
    return absl::StrCat("keyring ", report.keyring, ", ", Printable(report.uri),
                        ": no token found\n");
  return absl::StrCat("keyring ", report.keyring, ", token \"", Printable(token.label),
                      "\", serial ", Printable(token.serial), ", ", Printable(token.manufacturer),
                      " ", Printable(token.model), "\n");
}

std::string Origin(const KeyDescription& key) {
  if (!key.claims.local.has_value()) return "not told";
  if (!*key.claims.local) return key.never_extractable ? "contradictory" : "imported";
  return key.never_extractable && key.always_sensitive ? "made there, never readable"
                                                       : "made there";
}

Json TokenObject(const TokenDescription& token) {
  return Json{{"label", token.token.label},
              {"serial", token.token.serial},
              {"manufacturer", token.token.manufacturer},
              {"model", token.token.model},
              {"module", token.module},
              {"cryptoki", token.cryptoki},
              {"hardware", token.hardware},
              {"pinState", token.pin_state},
              {"pinProblem", TextOrNull(token.pin_problem)},
              {"maxSessions", token.max_sessions < 0 ? Json(nullptr) : Json(token.max_sessions)},
              {"openSessions", token.open_sessions < 0 ? Json(nullptr) : Json(token.open_sessions)},
              {"mechanisms", token.mechanisms}};
}

Json KeyObject(const TokenKey& each) {
  const KeyDescription& key = each.key;
  return Json{{"label", key.selector.label},
              {"id", HexEncode(AsBytes(key.selector.id))},
              {"version", each.version == 0 ? Json(nullptr) : Json(each.version)},
              {"ringKeyWrap", each.wrap == 0 ? Json(nullptr) : Json(each.wrap)},
              {"type", key.type},
              {"belongsTo", TextOrNull(key.belongs_to)},
              {"mechanism", TextOrNull(each.mechanism)},
              {"mechanismReason", TextOrNull(each.mechanism_reason)},
              {"sensitive", key.sensitive},
              {"alwaysSensitive", key.always_sensitive},
              {"extractable", key.extractable},
              {"neverExtractable", key.never_extractable},
              {"modifiable", key.modifiable},
              {"private", key.is_private},
              {"local", key.local},
              {"encrypt", key.encrypt},
              {"decrypt", key.decrypt},
              {"wrap", key.wrap},
              {"unwrap", key.unwrap},
              {"sign", key.sign},
              {"verify", key.verify},
              {"says", StatementsObject(StatementsOf(key.claims))},
              {"verdict", VerdictOn(key.claims)},
              {"problem", TextOrNull(key.problem)}};
}

Json Head(const TokenReport& report) {
  return Json{
      {"keyring", report.keyring}, {"uri", report.uri}, {"token", TokenObject(report.token)}};
}

Json KeysArray(const TokenReport& report) {
  Json keys = Json::array();
  for (const TokenKey& key : report.keys) keys.push_back(KeyObject(key));
  return keys;
}

Json MeasurementsArray(const TokenReport& report) {
  Json all = Json::array();
  for (const Measurement& each : report.measurements) {
    all.push_back(
        Json{{"what", each.what}, {"p50Nanoseconds", each.p50}, {"p99Nanoseconds", each.p99}});
  }
  return all;
}

std::string ItemLines(const TokenReport& report, Colors colors) {
  std::string text;
  for (const CheckReport::Item& item : report.items) absl::StrAppend(&text, ItemLine(item, colors));
  return text;
}

Json ChecksArray(const TokenReport& report) {
  Json checks = Json::array();
  for (const CheckReport::Item& item : report.items) {
    const std::string detail = item.status.ok() ? item.detail : std::string(item.status.message());
    checks.push_back(
        Json{{"name", item.name}, {"ok", item.status.ok()}, {"detail", TextOrNull(detail)}});
  }
  return checks;
}

// The texts of several tokens with a line between.
std::string Joined(const std::vector<TokenReport>& reports,
                   absl::FunctionRef<std::string(const TokenReport&)> print) {
  std::string text;
  for (const TokenReport& report : reports) {
    absl::StrAppend(&text, text.empty() ? "" : "\n", print(report));
  }
  return text;
}

// `add` adds what the command has found to what names the token.
std::string JoinedJson(const std::vector<TokenReport>& reports,
                       absl::FunctionRef<void(const TokenReport&, Json&)> add) {
  Json tokens = Json::array();
  bool passed = true;
  for (const TokenReport& report : reports) {
    Json json = Head(report);
    add(report, json);
    tokens.push_back(std::move(json));
    passed = passed && report.Passed();
  }
  if (reports.size() == 1) return Dump(tokens[0]);
  return Dump(Json{{"keyring", reports[0].keyring}, {"ok", passed}, {"tokens", std::move(tokens)}});
}

}  // namespace

std::string HsmListTable(const std::vector<TokenReport>& reports, Colors colors) {
  return Joined(reports, [colors](const TokenReport& report) {
    Table table({"VERSION", "LABEL", "ID", "TYPE", "SEALS BY", "ORIGIN", "PROBLEM"});
    for (const TokenKey& each : report.keys) {
      const KeyDescription& key = each.key;
      table.Add({each.version != 0 ? absl::StrCat(each.version)
                 : each.wrap != 0  ? absl::StrCat("wrap ", each.wrap)
                                   : "-",
                 key.selector.label, HexEncode(AsBytes(key.selector.id)), key.type,
                 !key.belongs_to.empty()  ? "HMAC of the same"
                 : each.mechanism.empty() ? "-"
                                          : each.mechanism,
                 Origin(key), key.problem.empty() ? "-" : key.problem});
      if (!key.problem.empty()) table.SetTone(6, Tone::kWarning);
    }
    return absl::StrCat(TokenLine(report), "\n", ItemLines(report, colors),
                        report.items.empty() ? table.ToString(colors) : "");
  });
}

std::string HsmListJson(const std::vector<TokenReport>& reports) {
  return JoinedJson(reports, [](const TokenReport& report, Json& json) {
    json["keys"] = KeysArray(report);
    if (!report.items.empty()) json["checks"] = ChecksArray(report);
  });
}

std::string HsmDoctorTable(const std::vector<TokenReport>& reports, Colors colors) {
  return Joined(reports, [colors](const TokenReport& report) {
    return absl::StrCat(TokenLine(report), "\n", ItemLines(report, colors));
  });
}

std::string HsmDoctorJson(const std::vector<TokenReport>& reports) {
  return JoinedJson(reports, [](const TokenReport& report, Json& json) {
    json["ok"] = report.Passed();
    json["checks"] = ChecksArray(report);
    json["keys"] = KeysArray(report);
    json["measurements"] = MeasurementsArray(report);
  });
}

std::string HsmBenchTable(const std::vector<TokenReport>& reports) {
  return Joined(reports, [](const TokenReport& report) {
    Table table({"WHAT", "P50", "P99"});
    for (const Measurement& each : report.measurements) {
      const auto format = [](uint64_t nanoseconds) {
        return FormatLatency(absl::Nanoseconds(static_cast<int64_t>(nanoseconds)));
      };
      table.Add({each.what, format(each.p50), format(each.p99)});
    }
    return absl::StrCat(TokenLine(report), "\n", ItemLines(report, Colors::kOff),
                        report.items.empty() ? table.ToString() : "");
  });
}

std::string HsmBenchJson(const std::vector<TokenReport>& reports) {
  return JoinedJson(reports, [](const TokenReport& report, Json& json) {
    json["measurements"] = MeasurementsArray(report);
    if (!report.items.empty()) json["checks"] = ChecksArray(report);
  });
}

}  // namespace kekd
