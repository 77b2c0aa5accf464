// The texts of URIs, for which nothing of p11-kit is needed.
#include <algorithm>
#include <cstdint>
#include <iterator>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "hsm/token/key_reference.h"
#include "hsm/token/token_uri.h"

namespace kekd {
namespace {

// RFC 3986's unreserved characters, and those that make paths legible and that RFC 7512 allows in a
// query.
bool StandsForItself(char c, absl::string_view name) {
  if (absl::ascii_isalnum(static_cast<unsigned char>(c))) return true;
  if (absl::StrContains("-._~", absl::string_view(&c, 1))) return true;
  return c == '/' && (name == "module-path" || name == "pin-source" || name == "x-kekd-for");
}

struct MechanismText {
  KeyMechanism mechanism;
  absl::string_view attribute;  // in the text of a reference
  absl::string_view name;       // for people
};

constexpr MechanismText kMechanisms[] = {
    {KeyMechanism::kGcmCallerIv, "caller", "AES-GCM with kekd's IV"},
    {KeyMechanism::kGcmTokenIv, "token", "AES-GCM with the token's IV"},
    {KeyMechanism::kGcmTokenIvAppended, "token-appended", "AES-GCM with the token's appended IV"},
    {KeyMechanism::kGcmMessage, "message", "AES-GCM messages (PKCS#11 3.0)"},
    {KeyMechanism::kAesKwp, "aes-kwp", "AES-KWP"},
    {KeyMechanism::kAesKw, "aes-kw", "AES-KW"},
    {KeyMechanism::kAesKwPad, "aes-kw-pad", "AES-KW-PAD"},
    {KeyMechanism::kAesCbcHmac, "aes-cbc-hmac", "AES-CBC with HMAC-SHA-256"},
    {KeyMechanism::kRsaOaepSha256, "rsa-oaep-sha256", "RSA-OAEP with SHA-256"},
    {KeyMechanism::kRsaOaepSha1, "rsa-oaep-sha1", "RSA-OAEP with SHA-1"},
};
static_assert(std::size(kMechanisms) == kLastKeyMechanism);

const MechanismText& TextOf(KeyMechanism mechanism) {
  return kMechanisms[std::clamp<size_t>(static_cast<size_t>(mechanism), 1, kLastKeyMechanism) - 1];
}

void AppendTokenAndKey(std::string& uri, const TokenSelector& token, const KeySelector& key) {
  AppendUriAttribute(uri, ';', "token", token.label);
  AppendUriAttribute(uri, ';', "manufacturer", token.manufacturer);
  AppendUriAttribute(uri, ';', "model", token.model);
  AppendUriAttribute(uri, ';', "serial", token.serial);
  AppendUriAttribute(uri, ';', "object", key.label);
  AppendUriAttribute(uri, ';', "id", key.id);
}

}  // namespace

absl::string_view ToString(KeyMechanism mechanism) { return TextOf(mechanism).name; }

void AppendUriAttribute(std::string& uri, char separator, absl::string_view name,
                        absl::string_view value) {
  static constexpr char kDigits[] = "0123456789ABCDEF";
  if (value.empty()) return;
  if (!uri.empty() && uri.back() != ':' && uri.back() != '?') uri.push_back(separator);
  absl::StrAppend(&uri, name, "=");
  for (const char c : value) {
    if (name != "id" && StandsForItself(c, name)) {
      uri.push_back(c);
      continue;
    }
    const auto byte = static_cast<uint8_t>(c);
    uri.push_back('%');
    uri.push_back(kDigits[byte >> 4]);
    uri.push_back(kDigits[byte & 15]);
  }
}

std::string TokenUri::ToString() const {
  std::string uri = "pkcs11:";
  AppendTokenAndKey(uri, token, key);
  if (module_path.empty() && pin_file.empty()) return uri;
  uri.push_back('?');
  AppendUriAttribute(uri, '&', "module-path", module_path);
  AppendUriAttribute(uri, '&', "pin-source", pin_file);
  return uri;
}

std::string KeyReference::ToString() const {
  std::string uri = "pkcs11:";
  AppendTokenAndKey(uri, token, key);
  uri.push_back('?');
  const bool iv = BindsAssociatedData(mechanism);
  AppendUriAttribute(uri, '&', iv ? "x-kekd-iv" : "x-kekd-wrap", TextOf(mechanism).attribute);
  AppendUriAttribute(uri, '&', iv ? "x-kekd-iv-reason" : "x-kekd-wrap-reason", mechanism_reason);
  AppendUriAttribute(uri, '&', "x-kekd-public-key",
                     absl::WebSafeBase64Escape(absl::string_view(public_key)));
  AppendUriAttribute(uri, '&', "x-kekd-origin",
                     absl::WebSafeBase64Escape(absl::string_view(origin)));
  AppendUriAttribute(uri, '&', "x-kekd-for", made_for);
  return uri;
}

}  // namespace kekd
