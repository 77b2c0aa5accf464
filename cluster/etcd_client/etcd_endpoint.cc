#include "cluster/etcd_client/etcd_endpoint.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/status_macros.h"
#include "base/unix_socket.h"

namespace kekd {
namespace {

absl::Status Refused(absl::string_view text, absl::string_view why) {
  return absl::InvalidArgumentError(
      absl::StrCat("endpoint '", absl::Utf8SafeCHexEscape(text), "' ", why));
}

// Of a host name (an underscore is none of RFC 1123's, and is seen all the same) or an IP address.
bool IsHostCharacter(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || absl::StrContains("-._:", c);
}

absl::StatusOr<EtcdEndpoint> ParseUnix(absl::string_view text, absl::string_view path) {
  // "unix:///run/x" and "unix:/run/x" are the same; "unix://x" is a path from here to etcdctl.
  absl::ConsumePrefix(&path, "//");
  if (path.empty()) return Refused(text, "names no socket: write unix:///PATH");
  const absl::StatusOr<UnixAddress> address = UnixAddress::FromText(path);
  if (!address.ok()) return Refused(text, address.status().message());
  EtcdEndpoint endpoint;
  endpoint.text = std::string(text);
  endpoint.socket_path = std::string(path);
  return endpoint;
}

// Splits "HOST:PORT", "[IPV6]:PORT" at the colon before the port.
std::optional<std::pair<absl::string_view, absl::string_view>> SplitPort(absl::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == absl::string_view::npos) return std::nullopt;
  absl::string_view host = text.substr(0, colon);
  if (absl::ConsumePrefix(&host, "[")) {
    if (!absl::ConsumeSuffix(&host, "]")) return std::nullopt;
  } else if (absl::StrContains(host, ':')) {
    return std::nullopt;  // an IPv6 address without brackets: where the port begins can't be told
  }
  return std::make_pair(host, text.substr(colon + 1));
}

}  // namespace

absl::StatusOr<EtcdEndpoint> EtcdEndpoint::Parse(absl::string_view text, DefaultScheme scheme) {
  absl::string_view rest = text;
  if (absl::ConsumePrefix(&rest, "unix:")) return ParseUnix(text, rest);
  EtcdEndpoint endpoint;
  endpoint.text = std::string(text);
  endpoint.tls = scheme == DefaultScheme::kHttps;
  if (absl::ConsumePrefix(&rest, "https://")) {
    endpoint.tls = true;
  } else if (absl::ConsumePrefix(&rest, "http://")) {
    endpoint.tls = false;
  } else if (absl::StrContains(rest, "://")) {
    return Refused(text, "has a scheme other than https, http and unix");
  }
  absl::ConsumeSuffix(&rest, "/");
  if (rest.find_first_of("/?#@ ,%") != absl::string_view::npos) {
    return Refused(text, "has more than a host and a port: write https://HOST:PORT");
  }
  const auto parts = SplitPort(rest);
  if (!parts.has_value() || parts->second.empty()) {
    return Refused(text, "has no port (etcd's is usually 2379): write https://HOST:PORT");
  }
  uint32_t port = 0;
  if (!absl::SimpleAtoi(parts->second, &port) || port == 0 || port > 65535) {
    return Refused(text, "has a port that is no number from 1 to 65535");
  }
  if (parts->first.empty()) return Refused(text, "has no host: write https://HOST:PORT");
  if (!std::all_of(parts->first.begin(), parts->first.end(), IsHostCharacter)) {
    return Refused(text, "has a character in its host that no host has: write https://HOST:PORT");
  }
  endpoint.host = std::string(parts->first);
  endpoint.port = absl::StrCat(port);
  return endpoint;
}

std::string EtcdEndpoint::Target() const {
  if (!socket_path.empty()) return absl::StrCat("unix:", socket_path);
  return absl::StrCat("dns:///", Authority());
}

std::string EtcdEndpoint::Authority() const {
  if (!socket_path.empty()) return "localhost";
  const bool ipv6 = absl::StrContains(host, ':');
  return ipv6 ? absl::StrCat("[", host, "]:", port) : absl::StrCat(host, ":", port);
}

}  // namespace kekd
