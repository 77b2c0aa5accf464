#include "hsm/token/token_uri.h"

#include <p11-kit/pkcs11.h>
#include <p11-kit/uri.h>

#include <cstddef>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/status_macros.h"

namespace kekd {
namespace {

constexpr absl::string_view kScheme = "pkcs11:";

absl::Status Refused(absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("the PKCS#11 URI ", why));
}

absl::Status CheckAttributes(absl::string_view part, char separator,
                             const std::set<absl::string_view>& known) {
  if (part.empty()) return absl::OkStatus();
  std::set<absl::string_view> seen;
  for (const absl::string_view attribute : absl::StrSplit(part, separator)) {
    const size_t equals = attribute.find('=');
    if (attribute.empty())
      return Refused(
          absl::StrCat("has an empty attribute; drop one '", std::string(1, separator), "'"));
    if (equals == absl::string_view::npos) {
      return Refused("has an attribute without a value; attributes are name=value");
    }
    const absl::string_view name = attribute.substr(0, equals);
    if (name == "pin-value") {
      return Refused(
          "has pin-value, and a PIN must not stand in a configuration; write it to a file that "
          "only "
          "kekd can read and name that with pin-source=file:/…");
    }
    if (absl::StartsWith(name, "slot-")) {
      return Refused(
          absl::StrCat("has ", name, ", which modules renumber; name the token: token=, serial="));
    }
    if (name == "module-name" || absl::StartsWith(name, "library-")) {
      return Refused(absl::StrCat("has ", name, "; give the module's file: module-path=/…"));
    }
    if (known.count(name) == 0) {
      return Refused(absl::StrCat("has an attribute that kekd does not know, or not ",
                                  separator == '&' ? "after" : "before",
                                  " its '?'; there, it knows ", absl::StrJoin(known, ", ")));
    }
    if (!seen.insert(name).second) return Refused(absl::StrCat("has ", name, " twice"));
    // An empty value asks for an empty attribute (RFC 7512, section 2.3), which no token has that
    // could be told from others by it.
    if (equals + 1 == attribute.size()) {
      return Refused(absl::StrCat("has ", name, " without a value; leave it out to match any"));
    }
  }
  return absl::OkStatus();
}

// A field of CK_TOKEN_INFO: padded with spaces, not terminated.
template <size_t N>
std::string Unpadded(const unsigned char (&field)[N]) {
  absl::string_view text(reinterpret_cast<const char*>(field), N);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\0')) text.remove_suffix(1);
  return std::string(text);
}

std::string AttributeValue(P11KitUri* uri, CK_ATTRIBUTE_TYPE type) {
  const CK_ATTRIBUTE* attribute = p11_kit_uri_get_attribute(uri, type);
  if (attribute == nullptr || attribute->pValue == nullptr) return "";
  return std::string(static_cast<const char*>(attribute->pValue), attribute->ulValueLen);
}

absl::StatusOr<std::string> PinFile(absl::string_view source) {
  if (absl::StartsWith(source, "|")) {
    return Refused("has a pin-source that is a command, which kekd runs none of; name a file");
  }
  if (absl::ConsumePrefix(&source, "file:") && absl::StartsWith(source, "///")) {
    source.remove_prefix(2);  // RFC 8089: an empty authority
  }
  if (!absl::StartsWith(source, "/") || absl::StartsWith(source, "//")) {
    return Refused("has a pin-source that is no absolute path; write pin-source=file:/…");
  }
  return std::string(source);
}

struct UriDeleter {
  void operator()(P11KitUri* uri) const { p11_kit_uri_free(uri); }
};

}  // namespace

absl::StatusOr<TokenUri> TokenUri::Parse(absl::string_view text) {
  static const auto& path_attributes = *new std::set<absl::string_view>{
      "token", "manufacturer", "model", "serial", "object", "id", "type"};
  static const auto& query_attributes =
      *new std::set<absl::string_view>{"module-path", "pin-source"};
  // p11-kit skips white space wherever it is.
  for (const char c : text) {
    if (c <= ' ' || c > '~' || c == '#') {
      return Refused(
          "has a space, a '#' or a character that is not ASCII; percent-encode it (%20)");
    }
  }
  absl::string_view rest = text;
  if (!absl::ConsumePrefix(&rest, kScheme)) return Refused("does not begin with \"pkcs11:\"");
  const std::pair<absl::string_view, absl::string_view> parts =
      absl::StrSplit(rest, absl::MaxSplits('?', 1));
  KEKD_RETURN_IF_ERROR(CheckAttributes(parts.first, ';', path_attributes));
  KEKD_RETURN_IF_ERROR(CheckAttributes(parts.second, '&', query_attributes));
  // p11-kit gives these as strings of C, which would end there.
  if (absl::StrContains(parts.second, "%00")) return Refused("has a zero byte in a path");

  const std::unique_ptr<P11KitUri, UriDeleter> uri(p11_kit_uri_new());
  if (uri == nullptr) return absl::InternalError("p11_kit_uri_new failed");
  const int parsed = p11_kit_uri_parse(std::string(text).c_str(), P11_KIT_URI_FOR_ANY, uri.get());
  if (parsed != P11_KIT_URI_OK) {
    const char* reason = p11_kit_uri_message(parsed);
    return Refused(absl::StrCat("is none: ", reason == nullptr ? "unknown error" : reason));
  }
  if (p11_kit_uri_any_unrecognized(uri.get()) != 0) {
    return Refused("has a value that no token can have: a type that is unknown, or one too long");
  }
  if (const CK_ATTRIBUTE* type = p11_kit_uri_get_attribute(uri.get(), CKA_CLASS); type != nullptr) {
    const CK_OBJECT_CLASS wanted = CKO_SECRET_KEY;
    if (AttributeValue(uri.get(), CKA_CLASS) !=
        absl::string_view(reinterpret_cast<const char*>(&wanted), sizeof(wanted))) {
      return Refused("has another type than secret-key, which is what a key-encryption key is");
    }
  }

  TokenUri result;
  const CK_TOKEN_INFO* token = p11_kit_uri_get_token_info(uri.get());
  result.token.label = Unpadded(token->label);
  result.token.manufacturer = Unpadded(token->manufacturerID);
  result.token.model = Unpadded(token->model);
  result.token.serial = Unpadded(token->serialNumber);
  // Spaces at the end are padding: of a value of nothing else nothing would be left, and any token
  // would match.
  for (const auto& [name, value] :
       {std::pair<absl::string_view, const std::string&>{"token", result.token.label},
        {"manufacturer", result.token.manufacturer},
        {"model", result.token.model},
        {"serial", result.token.serial}}) {
    if (value.empty() &&
        absl::StrContains(absl::StrCat(";", parts.first), absl::StrCat(";", name, "="))) {
      return Refused(absl::StrCat("has ", name, " of spaces alone; leave it out to match any"));
    }
  }
  result.key.label = AttributeValue(uri.get(), CKA_LABEL);
  result.key.id = AttributeValue(uri.get(), CKA_ID);
  if (const char* module = p11_kit_uri_get_module_path(uri.get()); module != nullptr) {
    result.module_path = module;
    if (!absl::StartsWith(result.module_path, "/")) {
      return Refused("has a module-path that is no absolute path");
    }
  }
  if (const char* source = p11_kit_uri_get_pin_source(uri.get()); source != nullptr) {
    KEKD_ASSIGN_OR_RETURN(result.pin_file, PinFile(source));
  }
  return result;
}

}  // namespace kekd
