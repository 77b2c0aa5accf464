#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "base/hex.h"
#include "base/random_source.h"
#include "base/status_macros.h"
#include "hsm/key_attestation.h"
#include "hsm/pkcs11_key_backend.h"
#include "hsm/token/key_reference.h"
#include "hsm/token_client.h"
#include "kekd/admin/v1/admin.pb.h"
#include "keystore/key_state.h"
#include "keystore/ring_key_wrapper.h"
#include "kms/admin_view/keyring_view.h"
#include "kms/ctl/attestation_output.h"
#include "kms/ctl/commands.h"
#include "kms/ctl/hsm_output.h"
#include "kms/ctl/hsm_report.h"
#include "kms/ctl/keyring_reader.h"
#include "kms/keyring/keyring_access.h"
#include "kms/keyring/token_access.h"

namespace kekd {
namespace {

constexpr uint32_t kDoctorsCalls = 100;

// A version of the keyring that lies on the token, or a wrap of the ring key by it.
struct VersionOnToken {
  uint32_t number = 0;  // 0: it is a wrap
  uint32_t wrap = 0;    // its number
  KeyReference reference;
  std::string problem;  // why it can't be used now; empty if it can
};

// One of a keyring's tokens, and what the keyring says of it.
struct Examination {
  KeyringConfig keyring;  // as if this were its only token
  std::shared_ptr<TokenClient> client;
  bool versions_known = false;
  bool canaries_tried = false;  // by this process, with the record's own canaries
  std::vector<VersionOnToken> versions;
  std::vector<VersionOnToken> wraps;
  TokenReport report;
  absl::Time deadline;

  // Null if it is none of this keyring.
  const VersionOnToken* VersionOf(const KeyDescription& key) const {
    const VersionOnToken* const version = FindIn(versions, key);
    return version != nullptr ? version : FindIn(wraps, key);
  }

  static const VersionOnToken* FindIn(const std::vector<VersionOnToken>& all,
                                      const KeyDescription& key) {
    for (const VersionOnToken& version : all) {
      const KeySelector& name = version.reference.key;
      const bool mac = version.reference.mechanism == KeyMechanism::kAesCbcHmac &&
                       !key.belongs_to.empty() && key.belongs_to == name.label &&
                       absl::StartsWith(key.selector.id, name.id);
      // An AES key and an RSA pair may share a name.
      const bool kind = IsRsa(version.reference.mechanism) == absl::StartsWith(key.type, "RSA");
      if (mac || (key.belongs_to.empty() && name == key.selector && kind)) return &version;
    }
    return nullptr;
  }
};

absl::StatusOr<std::vector<VersionOnToken>> VersionsOnToken(const admin::v1::Keyring& view) {
  std::vector<VersionOnToken> versions;
  for (const admin::v1::KeyVersion& version : view.versions()) {
    if (version.backend() != kPkcs11Backend || version.state() == ToString(KeyState::kDestroyed)) {
      continue;
    }
    VersionOnToken& found = versions.emplace_back();
    found.number = version.number();
    found.problem = version.problem();
    KEKD_ASSIGN_OR_RETURN(found.reference, KeyReference::Parse(version.key_reference()));
  }
  return versions;
}

absl::StatusOr<std::vector<VersionOnToken>> WrapsByToken(const admin::v1::Keyring& view) {
  std::vector<VersionOnToken> wraps;
  for (const admin::v1::Wrap& wrap : view.ring_key_wraps()) {
    if (wrap.type() != ToString(WrapType::kPkcs11)) continue;
    VersionOnToken& found = wraps.emplace_back();
    found.wrap = wrap.number();
    KEKD_ASSIGN_OR_RETURN(found.reference, KeyReference::Parse(wrap.reference()));
  }
  return wraps;
}

// What the keyring says of its versions, by kekd's word or the files'.
absl::Status LearnVersions(const CommandContext& context, Examination& examination) {
  KEKD_ASSIGN_OR_RETURN(
      const admin::v1::Keyring view,
      ReadKeyring(*context.fs, *context.config, examination.keyring, examination.deadline));
  KEKD_ASSIGN_OR_RETURN(examination.versions, VersionsOnToken(view));
  KEKD_ASSIGN_OR_RETURN(examination.wraps, WrapsByToken(view));
  examination.versions_known = true;
  return absl::OkStatus();
}

// The same, with every canary of the record decrypted and every wrap opened now: what kekd has open
// it may have opened long ago. Needs what opens the keyring; without it, the versions alone.
absl::Status TryCanaries(const CommandContext& context, Examination& examination) {
  const absl::StatusOr<std::shared_ptr<const OpenKeyring>> opened =
      ReadKeyringFiles(*context.fs, *context.config, examination.keyring, examination.deadline);
  if (!opened.ok()) return LearnVersions(context, examination);
  const Keyring& keyring = (*opened)->keyring();
  const admin::v1::Keyring view = KeyringToView(keyring, opened->get());
  KEKD_ASSIGN_OR_RETURN(examination.versions, VersionsOnToken(view));
  KEKD_ASSIGN_OR_RETURN(examination.wraps, WrapsByToken(view));
  const std::unique_ptr<RingKeyWrapper> token =
      MakeWrapper(*context.fs, context.config->state_directory, examination.keyring,
                  {.kind = UnlockConfig::Kind::kPkcs11}, {});
  for (VersionOnToken& wrap : examination.wraps) {
    const absl::Status unwrapped = token
                                       ->UnwrapRingKey(*keyring.FindWrap(wrap.wrap),
                                                       keyring.identity(), RandomSource::System())
                                       .status();
    if (!unwrapped.ok()) wrap.problem = std::string(unwrapped.message());
  }
  examination.versions_known = true;
  examination.canaries_tried = true;
  return absl::OkStatus();
}

// One for each token: they are looked at one by one, as if the others were not there.
absl::StatusOr<std::vector<Examination>> Begin(const CommandContext& context) {
  KEKD_ASSIGN_OR_RETURN(const KeyringConfig* const keyring,
                        context.config->FindKeyring(context.keyring));
  KEKD_ASSIGN_OR_RETURN(const std::vector<std::shared_ptr<TokenClient>> clients,
                        MakeTokenClients(*context.fs, context.config->state_directory, *keyring));
  std::vector<Examination> examinations(clients.size());
  for (size_t i = 0; i < clients.size(); ++i) {
    Examination& examination = examinations[i];
    examination.keyring = *keyring;
    examination.keyring.pkcs11->uris = {keyring->pkcs11->uris[i]};
    examination.client = clients[i];
    examination.report.keyring = keyring->name;
    examination.report.uri = keyring->pkcs11->uris[i].ToString();
  }
  return examinations;
}

// Looks at one token after the other, each in a time of its own. Of several, one that fails does
// not keep the others from being told of.
absl::StatusOr<CommandResult> ForEachToken(
    const CommandContext& context, absl::FunctionRef<absl::Status(Examination&)> examine,
    absl::FunctionRef<std::string(const std::vector<TokenReport>&)> print) {
  KEKD_ASSIGN_OR_RETURN(std::vector<Examination> examinations, Begin(context));
  CommandResult result;
  std::vector<TokenReport> reports;
  for (Examination& examination : examinations) {
    examination.deadline = absl::Now() + kVerbTime;
    const absl::Status examined = examine(examination);
    if (!examined.ok()) {
      if (examinations.size() == 1) return examined;
      examination.report.items.push_back({.name = "token", .status = examined, .detail = ""});
    }
    if (!examination.report.Passed()) {
      result.exit_code = kExitFailure;
      result.note = absl::StrCat(examinations.size() == 1 ? "the token" : "a token", " of keyring ",
                                 examination.keyring.name, " does not do what kekd needs");
    }
    reports.push_back(std::move(examination.report));
  }
  result.output = print(reports);
  return result;
}

absl::Status ListKeys(Examination& examination) {
  KEKD_ASSIGN_OR_RETURN(std::vector<KeyDescription> keys,
                        examination.client->List(examination.deadline));
  for (KeyDescription& key : keys) {
    const VersionOnToken* const version = examination.VersionOf(key);
    TokenKey& each = examination.report.keys.emplace_back();
    each.key = std::move(key);
    if (version == nullptr) continue;
    each.version = version->number;
    each.wrap = version->wrap;
    if (!each.key.belongs_to.empty()) continue;
    each.mechanism = std::string(ToString(version->reference.mechanism));
    each.mechanism_reason = version->reference.mechanism_reason;
  }
  std::stable_sort(examination.report.keys.begin(), examination.report.keys.end(),
                   [](const TokenKey& a, const TokenKey& b) {
                     return std::tie(a.version, a.wrap) < std::tie(b.version, b.wrap);
                   });
  return absl::OkStatus();
}

class Doctor final {
 public:
  explicit Doctor(Examination& examination) : examination_(examination) {}

  void Examine() {
    if (!LookAtToken()) return;
    const absl::Status probed = examination_.client->Probe(examination_.deadline);
    Note("login and sessions", probed, SessionsText());
    if (!probed.ok()) return;
    Note("mechanisms", absl::OkStatus(), MechanismsText());
    Note("what it can do", absl::OkStatus(), TrialsText());
    const absl::Status listed = ListKeys(examination_);
    Note("keys", listed, absl::StrCat(examination_.report.keys.size(), " keys"));
    if (!listed.ok()) return;
    LookAtClashes();
    for (const VersionOnToken& version : examination_.versions) LookAtVersion(version);
    for (const VersionOnToken& wrap : examination_.wraps) LookAtVersion(wrap);
    LookAtStrangers();
    if (!examination_.versions.empty()) Measure();
  }

 private:
  void Note(std::string name, absl::Status status, std::string detail = "") {
    examination_.report.items.push_back({std::move(name), std::move(status), std::move(detail)});
  }

  // Before anything that logs in.
  bool LookAtToken() {
    absl::StatusOr<TokenDescription> token = examination_.client->Describe(examination_.deadline);
    if (!token.ok()) {
      Note("module and token", token.status());
      return false;
    }
    TokenDescription& found = examination_.report.token;
    found = *std::move(token);
    Note("module and token", absl::OkStatus(),
         absl::StrCat(found.module, ", Cryptoki ", found.cryptoki));
    if (!found.pin_problem.empty()) {
      Note("PIN", absl::FailedPreconditionError(found.pin_problem));
      return false;
    }
    Note("PIN", absl::OkStatus(), found.pin_state);
    return true;
  }

  std::string SessionsText() const {
    const TokenDescription& token = examination_.report.token;
    if (token.max_sessions < 0) return "the token does not tell its limit of sessions";
    if (token.max_sessions == 0) return "no limit of sessions";
    return absl::StrCat("at most ", token.max_sessions, " sessions",
                        token.open_sessions < 0
                            ? ""
                            : absl::StrCat(", ", token.open_sessions, " open in this process"));
  }

  std::string MechanismsText() const {
    const std::vector<std::string>& listed = examination_.report.token.mechanisms;
    return listed.empty() ? "the module lists none that kekd knows"
                          : absl::StrCat("listed: ", absl::StrJoin(listed, ", "));
  }

  // By trying, with keys that end with the session.
  std::string TrialsText() const {
    const absl::StatusOr<std::vector<MechanismTrial>> trials =
        examination_.client->Try(examination_.deadline);
    if (!trials.ok()) return absl::StrCat("could not be tried: ", trials.status().message());
    std::vector<std::string> works;
    std::vector<std::string> fails;
    for (const MechanismTrial& trial : *trials) {
      const std::string name(ToString(trial.mechanism));
      if (trial.problem.empty()) {
        works.push_back(name);
      } else if (trial.listed) {
        fails.push_back(absl::StrCat(name, " (", trial.problem, ")"));
      }
    }
    return absl::StrCat(
        works.empty()
            ? "none of what kekd uses works with a new key"
            : absl::StrCat("tried with new keys, which can neither be read out nor leave: ",
                           absl::StrJoin(works, ", ")),
        fails.empty() ? "" : absl::StrCat("; listed, and not: ", absl::StrJoin(fails, ", ")));
  }

  // Tokens allow several objects of the same name; whoever looks one up may get another.
  void LookAtClashes() {
    std::map<std::string, size_t> ids;
    for (const TokenKey& each : examination_.report.keys) {
      // One that belongs to another may have its id.
      if (!each.key.selector.id.empty() && each.key.belongs_to.empty()) {
        ++ids[each.key.selector.id];
      }
    }
    std::vector<std::string> clashes;
    for (const auto& [id, count] : ids) {
      const bool ours = std::any_of(
          examination_.versions.begin(), examination_.versions.end(),
          [&id = id](const VersionOnToken& version) { return version.reference.key.id == id; });
      if (count > 1 && ours)
        clashes.push_back(absl::StrCat(HexEncode(AsBytes(id)), " (", count, " keys)"));
    }
    absl::Status status;
    if (!clashes.empty()) {
      status = absl::FailedPreconditionError(
          absl::StrCat("several keys have the same CKA_ID: ", absl::StrJoin(clashes, ", ")));
    }
    Note("no other key has a CKA_ID of ours", std::move(status));
  }

  void LookAtVersion(const VersionOnToken& version) {
    const bool is_wrap = version.number == 0;
    const std::string name = is_wrap ? absl::StrCat("wrap ", version.wrap, " of the ring key")
                                     : absl::StrCat("key version ", version.number);
    const KeyDescription* found = nullptr;
    size_t count = 0;
    for (const TokenKey& each : examination_.report.keys) {
      if (each.version != version.number || each.wrap != version.wrap ||
          !each.key.belongs_to.empty()) {
        continue;
      }
      found = &each.key;
      ++count;
    }
    if (count != 1) {
      const KeySelector& key = version.reference.key;
      return Note(name, absl::NotFoundError(absl::StrCat(
                            count, " keys on the token are labelled \"", key.label,
                            "\" with CKA_ID ", HexEncode(AsBytes(key.id)), ", not one")));
    }
    if (!found->problem.empty()) return Note(name, absl::FailedPreconditionError(found->problem));
    if (!version.problem.empty()) return Note(name, absl::DataLossError(version.problem));
    Note(name, absl::OkStatus(),
         absl::StrCat(found->type,
                      !examination_.canaries_tried
                          ? ", was not tried: the keyring's files could not be opened here"
                      : is_wrap ? ", opens the ring key"
                                : ", decrypts its canary",
                      ", ", ToString(version.reference.mechanism),
                      version.reference.mechanism_reason.empty()
                          ? ""
                          : absl::StrCat(", since ", version.reference.mechanism_reason)));
    if (!is_wrap) LookAtOrigin(version);
  }

  // What 'key show' tells of it, of each of its objects.
  void LookAtOrigin(const VersionOnToken& version) {
    std::vector<KeyDescription> objects;
    for (const bool mac : {false, true}) {
      for (const TokenKey& each : examination_.report.keys) {
        if (each.version == version.number && each.key.belongs_to.empty() != mac) {
          objects.push_back(each.key);
        }
      }
    }
    const KeyAttestation said = AttestationOf(objects);
    std::string detail = said.verdict;
    for (const KeyAttestation::Object& object : said.objects) {
      absl::StrAppend(&detail, "; ", object.type, ": ", StatementsLine(object.statements));
    }
    Note(absl::StrCat("key version ", version.number, ", says the token"), absl::OkStatus(),
         std::move(detail));
  }

  // Left over, or of another keyring; nothing is wrong with that, but somebody should know.
  void LookAtStrangers() {
    std::vector<std::string> labels;
    for (const TokenKey& each : examination_.report.keys) {
      if (!each.IsOfKeyring()) labels.push_back(absl::StrCat("\"", each.key.selector.label, "\""));
    }
    if (labels.empty() || !examination_.versions_known) return;
    Note("keys that this keyring does not know", absl::OkStatus(), absl::StrJoin(labels, ", "));
  }

  void Measure() {
    absl::StatusOr<std::vector<Measurement>> measured = examination_.client->Measure(
        examination_.versions.back().reference, kDoctorsCalls, examination_.deadline);
    if (!measured.ok()) return Note("latency", measured.status());
    examination_.report.measurements = *std::move(measured);
    std::vector<std::string> texts;
    texts.reserve(examination_.report.measurements.size());
    for (const Measurement& each : examination_.report.measurements) {
      texts.push_back(absl::StrCat(
          each.what, " ", absl::FormatDuration(absl::Nanoseconds(static_cast<int64_t>(each.p50)))));
    }
    Note("latency", absl::OkStatus(), absl::StrJoin(texts, ", "));
  }

  Examination& examination_;
};

// Which key a measurement is to use.
absl::StatusOr<KeyReference> Choose(const Examination& examination, const HsmBenchVerb& verb) {
  for (auto it = examination.versions.rbegin(); it != examination.versions.rend(); ++it) {
    if (!verb.version.has_value() || it->number == *verb.version) return it->reference;
  }
  if (verb.version.has_value()) {
    return absl::NotFoundError(absl::StrCat("key version ", *verb.version, " of keyring ",
                                            examination.keyring.name, " is none on the token"));
  }
  return absl::NotFoundError(
      absl::StrCat("no key version of keyring ", examination.keyring.name,
                   " is on the token; 'kekctl key create --backend pkcs11' makes one"));
}

// One call after the other as kekd makes them, through the worker's process.
template <typename Call>
absl::StatusOr<Measurement> MeasureCalls(std::string what, uint32_t count, const Call& call) {
  std::vector<int64_t> times;
  for (uint32_t i = 0; i < count; ++i) {
    const absl::Time begin = absl::Now();
    KEKD_RETURN_IF_ERROR(call());
    times.push_back(absl::ToInt64Nanoseconds(absl::Now() - begin));
  }
  std::sort(times.begin(), times.end());
  const auto at = [&times](size_t percent) {
    return static_cast<uint64_t>(times[std::min(times.size() - 1, times.size() * percent / 100)]);
  };
  return Measurement{.what = std::move(what), .p50 = at(50), .p99 = at(99)};
}

}  // namespace

absl::StatusOr<CommandResult> HsmList(const CommandContext& context) {
  return ForEachToken(
      context,
      [&context](Examination& examination) -> absl::Status {
        KEKD_ASSIGN_OR_RETURN(examination.report.token,
                              examination.client->Describe(examination.deadline));
        KEKD_RETURN_IF_ERROR(LearnVersions(context, examination));
        return ListKeys(examination);
      },
      [&context](const std::vector<TokenReport>& reports) {
        return context.format == OutputFormat::kJson ? HsmListJson(reports)
                                                     : HsmListTable(reports, context.colors);
      });
}

absl::StatusOr<CommandResult> HsmDoctor(const CommandContext& context) {
  std::vector<TokenSelector> seen;
  return ForEachToken(
      context,
      [&](Examination& examination) {
        const absl::Status learnt = TryCanaries(context, examination);
        examination.report.items.push_back(
            {.name = "keyring",
             .status = learnt,
             .detail = absl::StrCat(examination.versions.size(),
                                    " of its key versions should be on the token")});
        Doctor(examination).Examine();
        const TokenSelector& token = examination.report.token.token;
        if (token == TokenSelector()) return absl::OkStatus();
        if (std::find(seen.begin(), seen.end(), token) != seen.end()) {
          examination.report.items.push_back(
              {.name = "is another token than those before it",
               .status = absl::FailedPreconditionError(
                   "two URIs of the configuration name this one token, so there is none to turn to "
                   "when it fails; give each its \"serial\""),
               .detail = ""});
        }
        seen.push_back(token);
        return absl::OkStatus();
      },
      [&context](const std::vector<TokenReport>& reports) {
        return context.format == OutputFormat::kJson ? HsmDoctorJson(reports)
                                                     : HsmDoctorTable(reports, context.colors);
      });
}

namespace {

absl::Status Bench(const CommandContext& context, const HsmBenchVerb& verb,
                   Examination& examination) {
  KEKD_ASSIGN_OR_RETURN(examination.report.token,
                        examination.client->Describe(examination.deadline));
  KEKD_RETURN_IF_ERROR(LearnVersions(context, examination));
  KEKD_ASSIGN_OR_RETURN(const KeyReference key, Choose(examination, verb));
  // A slow token and many calls take their time, but not for ever.
  const absl::Time deadline =
      absl::Now() + absl::Seconds(10) + 4 * verb.count * examination.keyring.pkcs11->call_timeout;
  TokenClient& client = *examination.client;
  std::vector<Measurement>& all = examination.report.measurements;
  KEKD_ASSIGN_OR_RETURN(all, client.Measure(key, verb.count, deadline));
  const SecretBytes plaintext(32);
  const std::string associated_data = BindsAssociatedData(key.mechanism) ? "kekctl hsm bench" : "";
  KEKD_ASSIGN_OR_RETURN(const std::string sealed,
                        client.Encrypt(key, plaintext, AsBytes(associated_data), deadline));
  KEKD_ASSIGN_OR_RETURN(
      all.emplace_back(), MeasureCalls("encryption, as kekd asks for it", verb.count, [&] {
        return client.Encrypt(key, plaintext, AsBytes(associated_data), deadline).status();
      }));
  KEKD_ASSIGN_OR_RETURN(
      all.emplace_back(), MeasureCalls("decryption, as kekd asks for it", verb.count, [&] {
        return client.Decrypt(key, AsBytes(sealed), AsBytes(associated_data), deadline).status();
      }));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<CommandResult> HsmBench(const CommandContext& context, const HsmBenchVerb& verb) {
  return ForEachToken(
      context, [&](Examination& examination) { return Bench(context, verb, examination); },
      [&context](const std::vector<TokenReport>& reports) {
        return context.format == OutputFormat::kJson ? HsmBenchJson(reports)
                                                     : HsmBenchTable(reports);
      });
}

}  // namespace kekd
