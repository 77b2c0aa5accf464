#include "kms/config/config.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace kekd {
namespace {

// kube-apiserver takes the endpoint as a URL (RFC 3986) and uses its decoded path.
bool StandsForItselfInUrlPath(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
         absl::string_view("-._~/@+,=:").find(c) != absl::string_view::npos;
}

}  // namespace

std::string SocketConfig::Endpoint() const {
  std::string url = absl::StartsWith(path, "@") ? "unix:///" : "unix://";
  for (const char c : path) {
    if (StandsForItselfInUrlPath(c)) {
      url.push_back(c);
    } else {
      absl::StrAppendFormat(&url, "%%%02X", static_cast<unsigned char>(c));
    }
  }
  return url;
}

absl::StatusOr<const KeyringConfig*> Config::FindKeyring(absl::string_view name) const {
  if (name.empty() && keyrings.size() == 1) return &keyrings.front();
  std::string names;
  for (const KeyringConfig& keyring : keyrings) {
    if (keyring.name == name) return &keyring;
    absl::StrAppend(&names, names.empty() ? "" : ", ", keyring.name);
  }
  if (name.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("there are several keyrings; choose one with --keyring: ", names));
  }
  return absl::NotFoundError(
      absl::StrCat("the configuration has no keyring \"", name, "\"; it has: ", names));
}

}  // namespace kekd
