#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/bytes.h"
#include "base/hex.h"
#include "hsm/token/token_uri.h"
#include "kms/ctl/attestation_output.h"
#include "kms/ctl/table.h"
#include "kms/ctl/table_output.h"

namespace kekd {
namespace {

std::string Line(absl::string_view name, absl::string_view value) {
  return value.empty() ? "" : absl::StrFormat("%-13s %s\n", name, Printable(value));
}

std::string TokenText(const TokenSelector& token) {
  return absl::StrCat("\"", token.label, "\", serial ",
                      token.serial.empty() ? "not known" : token.serial, ", ", token.manufacturer,
                      token.manufacturer.empty() ? "" : " ", token.model);
}

std::string TokenKeyLines(const KeyReference& key) {
  TokenUri uri;
  uri.token = key.token;
  uri.key = key.key;
  return absl::StrCat(
      Line("token key",
           absl::StrCat("\"", key.key.label, "\", id ", HexEncode(AsBytes(key.key.id)))),
      Line("made on", TokenText(key.token)), Line("key URI", uri.ToString()),
      Line("seals by", ToString(key.mechanism)), Line("since", key.mechanism_reason));
}

std::string CanaryLine(const KeyShowReport& report, Colors colors) {
  if (!report.canary.has_value()) {
    return Line("canary", absl::StrCat("not tried: ", report.canary_not_tried));
  }
  if (report.canary->ok()) {
    return Line("canary",
                report.several_tokens ? "decrypted just now by every token" : "decrypted just now");
  }
  return absl::StrFormat("%-13s %s: %s\n", "canary", Painted("FAIL", Tone::kBad, colors),
                         Printable(report.canary->message()));
}

// `wraps`: what the token has is the key that wraps the version's own.
std::string AttestationText(const KeyAttestation& said, bool wraps, Colors colors) {
  std::string text = absl::StrCat("\ntoken ", Printable(said.place),
                                  wraps ? ", of the key that wraps it: " : ": ");
  if (!said.status.ok()) {
    return absl::StrCat(text, Painted("says nothing", Tone::kWarning, colors), ": ",
                        Printable(said.status.message()), "\n");
  }
  absl::StrAppend(&text, Printable(said.verdict), "\n");
  for (const KeyAttestation::Object& object : said.objects) {
    absl::StrAppend(&text, "  ", Printable(object.type), " \"", Printable(object.label), "\", id ",
                    HexEncode(AsBytes(object.id)), "\n");
    for (const KeyAttestation::Statement& each : object.statements) {
      absl::StrAppendFormat(&text, "    %-23s %-30s %s\n", each.name, each.meaning,
                            Printable(SaysOrNot(each)));
    }
  }
  return text;
}

}  // namespace

std::string KeyShowTable(const KeyShowReport& report, absl::Time now, Colors colors) {
  const admin::v1::KeyVersion& version = report.version;
  std::string text =
      absl::StrCat("key version ", version.number(), " of keyring ", Printable(report.keyring),
                   ", generation ", report.generation, "\n\n", Line("state", version.state()),
                   Line("key id", version.key_id()), Line("backend", version.backend()),
                   Line("custody", version.custody()), Line("algorithm", version.algorithm()),
                   Line("created", FormatMillisWithAge(version.created_ms(), now)),
                   Line("activated", FormatMillisWithAge(version.activated_ms(), now)),
                   Line("deactivated", FormatMillisWithAge(version.deactivated_ms(), now)),
                   Line("destroyed", FormatMillisWithAge(version.destroyed_ms(), now)),
                   Line("compromised", FormatMillisWithAge(version.compromised_ms(), now)));
  for (const admin::v1::Wrap& wrap : version.wraps()) {
    absl::StrAppend(
        &text, Line("wrapped by", absl::StrCat(wrap.type(), wrap.reference().empty() ? "" : " ",
                                               wrap.reference())));
  }
  if (report.token_key.has_value()) absl::StrAppend(&text, TokenKeyLines(*report.token_key));
  absl::StrAppend(&text, CanaryLine(report, colors));
  if (!version.problem().empty()) {
    absl::StrAppendFormat(&text, "%-13s %s\n", "problem",
                          Painted(Printable(version.problem()), Tone::kBad, colors));
  }
  if (!report.not_asked.empty()) {
    absl::StrAppend(&text, "\nno token was asked: ", Printable(report.not_asked), "\n");
  }
  for (const KeyAttestation& said : report.attestation) {
    absl::StrAppend(&text, AttestationText(said, IsWrapped(version), colors));
  }
  return text;
}

}  // namespace kekd
