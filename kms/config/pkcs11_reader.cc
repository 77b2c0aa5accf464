#include "kms/config/pkcs11_reader.h"

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace kekd {
namespace {

constexpr absl::Duration kShortestTimeout = absl::Milliseconds(100);
// kube-apiserver gives up after 3 s by default.
constexpr absl::Duration kLongestTimeout = absl::Seconds(10);

absl::StatusOr<TokenUri> ReadUri(const YamlReader& reader) {
  KEKD_ASSIGN_OR_RETURN(const absl::string_view text, reader.Text());
  absl::StatusOr<TokenUri> uri = TokenUri::Parse(text);
  if (!uri.ok()) return reader.Error(uri.status().message());
  if (uri->module_path.empty()) {
    return reader.Error("needs \"?module-path=/…\", the PKCS#11 library of the token");
  }
  if (uri->token == TokenSelector()) {
    return reader.Error("needs \"token=…\" or \"serial=…\": which token of the module is meant");
  }
  if (!uri->key.id.empty()) {
    return reader.Error("\"id\" is no part of it: every key version has its own");
  }
  return uri;
}

// "uri" of one token or "uris" of several.
absl::StatusOr<std::vector<TokenUri>> ReadUris(const YamlReader& reader) {
  std::vector<TokenUri> uris;
  const YamlNode* const several = reader.FindField("uris");
  if (several == nullptr) {
    KEKD_ASSIGN_OR_RETURN(const YamlReader one, reader.RequiredField("uri"));
    KEKD_ASSIGN_OR_RETURN(uris.emplace_back(), ReadUri(one));
    return uris;
  }
  const YamlReader list = reader.Field("uris", *several);
  if (reader.FindField("uri") != nullptr) {
    return list.Error("\"uri\" is given too; name one token with \"uri\", or all with \"uris\"");
  }
  KEKD_ASSIGN_OR_RETURN(const std::vector<YamlReader> elements, list.Elements());
  if (elements.size() < 2 || elements.size() > Pkcs11Config::kMostTokens) {
    return list.Error(absl::StrCat("must name 2 to ", Pkcs11Config::kMostTokens,
                                   " tokens that hold the same keys, and names ", elements.size(),
                                   "; one token is \"uri\""));
  }
  for (const YamlReader& element : elements) {
    KEKD_ASSIGN_OR_RETURN(TokenUri uri, ReadUri(element));
    if (!uris.empty() && !uri.key.label.empty()) {
      return element.Error(
          "\"object\" is for the first of them alone: it is where new keys are made");
    }
    for (const TokenUri& other : uris) {
      if (other.token == uri.token && other.module_path == uri.module_path) {
        return element.Error("is the same token as one before it");
      }
    }
    uris.push_back(std::move(uri));
  }
  return uris;
}

absl::StatusOr<bool> ReadBool(const YamlReader& reader) {
  KEKD_ASSIGN_OR_RETURN(const absl::string_view text, reader.Text());
  if (text == "true") return true;
  if (text == "false") return false;
  return reader.Error(absl::StrCat("must be true or false, and is \"", text, "\""));
}

absl::StatusOr<uint32_t> ReadSessions(const YamlReader& reader) {
  KEKD_ASSIGN_OR_RETURN(const absl::string_view text, reader.Text());
  uint32_t sessions = 0;
  if (absl::SimpleAtoi(text, &sessions) && sessions >= 1 &&
      sessions <= Pkcs11Config::kMaxSessions) {
    return sessions;
  }
  return reader.Error(absl::StrCat("must be a number from 1 to ", Pkcs11Config::kMaxSessions,
                                   ", and is \"", text, "\""));
}

absl::StatusOr<absl::Duration> ReadTimeout(const YamlReader& reader) {
  KEKD_ASSIGN_OR_RETURN(const absl::string_view text, reader.Text());
  absl::Duration timeout;
  if (absl::ParseDuration(text, &timeout) && timeout >= kShortestTimeout &&
      timeout <= kLongestTimeout) {
    return timeout;
  }
  return reader.Error(absl::StrCat("must be a time from ", absl::FormatDuration(kShortestTimeout),
                                   " to ", absl::FormatDuration(kLongestTimeout),
                                   ", as \"2s\", and "
                                   "is \"",
                                   text, "\""));
}

}  // namespace

absl::StatusOr<std::string> ReadCredentialName(const YamlReader& reader) {
  KEKD_ASSIGN_OR_RETURN(const absl::string_view name, reader.Text());
  if (name == "." || name == ".." || name.size() > 255 ||
      name.find('/') != absl::string_view::npos) {
    return reader.Error(absl::StrCat("\"", name, "\" can't be the name of a credential"));
  }
  return std::string(name);
}

absl::StatusOr<Pkcs11Config> ReadPkcs11(const YamlReader& reader) {
  KEKD_RETURN_IF_ERROR(reader.ExpectFields(
      {"uri", "uris", "pinCredential", "initArguments", "sessions", "sessionCopy", "callTimeout"}));
  Pkcs11Config config;
  KEKD_ASSIGN_OR_RETURN(config.uris, ReadUris(reader));
  if (const YamlNode* node = reader.FindField("pinCredential")) {
    const YamlReader credential = reader.Field("pinCredential", *node);
    if (std::none_of(config.uris.begin(), config.uris.end(),
                     [](const TokenUri& uri) { return uri.pin_file.empty(); })) {
      return credential.Error(config.uris.size() == 1
                                  ? "the URI has a pin-source already; give one of the two"
                                  : "every URI has a pin-source already; it is for those without");
    }
    KEKD_ASSIGN_OR_RETURN(config.pin_credential, ReadCredentialName(credential));
  }
  if (const YamlNode* node = reader.FindField("initArguments")) {
    KEKD_ASSIGN_OR_RETURN(const absl::string_view text,
                          reader.Field("initArguments", *node).Text());
    config.init_arguments = std::string(text);
  }
  if (const YamlNode* node = reader.FindField("sessions")) {
    KEKD_ASSIGN_OR_RETURN(config.sessions, ReadSessions(reader.Field("sessions", *node)));
  }
  if (const YamlNode* node = reader.FindField("sessionCopy")) {
    KEKD_ASSIGN_OR_RETURN(config.session_copy, ReadBool(reader.Field("sessionCopy", *node)));
  }
  if (const YamlNode* node = reader.FindField("callTimeout")) {
    KEKD_ASSIGN_OR_RETURN(config.call_timeout, ReadTimeout(reader.Field("callTimeout", *node)));
  }
  return config;
}

}  // namespace kekd
