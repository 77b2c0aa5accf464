#include "cluster/rotation/api_server_keys.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "base/hex.h"
#include "base/status_macros.h"
#include "cluster/api_server/json_fields.h"
#include "keystore/digest.h"

namespace kekd {
namespace {

constexpr absl::string_view kMetric =
    "apiserver_envelope_encryption_key_id_hash_status_last_timestamp_seconds{";
constexpr char kSlicesPath[] =
    "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
    "?labelSelector=kubernetes.io%2Fservice-name%3Dkubernetes";

// The value of a label in `labels`, the text between a sample's braces. Values of these labels have
// neither quotes nor backslashes.
absl::string_view LabelOf(absl::string_view labels, absl::string_view name) {
  for (const absl::string_view label : absl::StrSplit(labels, ',')) {
    const std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(label, absl::MaxSplits('=', 1));
    if (parts.first != name) continue;
    absl::string_view value = parts.second;
    if (absl::ConsumePrefix(&value, "\"") && absl::ConsumeSuffix(&value, "\"")) return value;
  }
  return {};
}

HttpRequest Get(std::string path, std::string accept) {
  HttpRequest request;
  request.path = std::move(path);
  request.accept = std::move(accept);
  return request;
}

ApiServerKey AskOne(const std::string& address, const ConnectToApiServer& connect,
                    const std::set<std::string>& ours, const std::string& wanted,
                    absl::Time deadline) {
  ApiServerKey key{.address = address, .why = ""};
  const auto with = [&](ApiServerKey::State state, absl::string_view why) {
    key.state = state;
    key.why = std::string(why);
    return key;
  };
  const absl::StatusOr<std::unique_ptr<HttpTransport>> transport = connect(address);
  if (!transport.ok()) {
    return with(ApiServerKey::State::kUnknown, transport.status().message());
  }
  ApiClient client(**transport);
  // Asked for first: it makes the API server look at its plugins now rather than in a minute.
  const absl::StatusOr<ApiAnswer> ready = client.Call(Get("/readyz", "text/plain"), deadline);
  const absl::StatusOr<ApiAnswer> metrics = client.Call(Get("/metrics", "text/plain"), deadline);
  if (!metrics.ok()) return with(ApiServerKey::State::kUnknown, metrics.status().message());
  if (!metrics->ok()) {
    return with(ApiServerKey::State::kUnknown, ToStatus(*metrics, "get /metrics").message());
  }
  size_t providers = 0;
  for (const auto& [provider, hash] : CurrentKeyIdHashes(metrics->body)) {
    if (ours.count(hash) == 0) continue;
    ++providers;
    if (hash == wanted) continue;
    return with(ApiServerKey::State::kOther,
                absl::StrCat("its provider ", provider, " has another key still"));
  }
  if (providers == 0) {
    return with(ApiServerKey::State::kUnknown, "none of its providers uses this keyring");
  }
  // A provider that knows the new key_id and can't encrypt under it goes on with the former one.
  if (ready.ok() && !ready->ok() &&
      (absl::StrContains(ready->body, "[-]kms-provider") ||
       absl::StrContains(ready->message, "[-]kms-provider"))) {
    return with(ApiServerKey::State::kOther, "its KMS provider is not ready");
  }
  return with(ApiServerKey::State::kCurrent, "");
}

}  // namespace

absl::StatusOr<std::string> KeyIdHash(absl::string_view key_id) {
  KEKD_ASSIGN_OR_RETURN(const Sha256Digest digest, Sha256(AsBytes(key_id)));
  return absl::StrCat("sha256:", HexEncode(digest));
}

std::map<std::string, std::string> CurrentKeyIdHashes(absl::string_view metrics) {
  std::map<std::string, std::pair<double, std::string>> newest;
  for (absl::string_view line : absl::StrSplit(metrics, '\n')) {
    if (!absl::ConsumePrefix(&line, kMetric)) continue;
    const size_t end = line.find('}');
    if (end == absl::string_view::npos) continue;
    double time = 0;
    const absl::string_view value = absl::StripAsciiWhitespace(line.substr(end + 1));
    if (!absl::SimpleAtod(value, &time)) continue;
    const absl::string_view labels = line.substr(0, end);
    auto& [known_time, known_hash] = newest[std::string(LabelOf(labels, "provider_name"))];
    if (!known_hash.empty() && time < known_time) continue;
    known_time = time;
    known_hash = std::string(LabelOf(labels, "key_id_hash"));
  }
  std::map<std::string, std::string> hashes;
  for (auto& [provider, entry] : newest) hashes[provider] = std::move(entry.second);
  return hashes;
}

absl::StatusOr<std::vector<std::string>> ListApiServers(ApiClient& client, absl::Time deadline) {
  KEKD_ASSIGN_OR_RETURN(const ApiAnswer answer,
                        client.Call(Get(kSlicesPath, "application/json"), deadline));
  if (!answer.ok()) return ToStatus(answer, "list the API servers (endpointslices in default)");
  const nlohmann::json list = ParseJson(answer.body);
  std::vector<std::string> addresses;
  for (const nlohmann::json& slice : ArrayField(list, {"items"})) {
    uint64_t port = 0;
    for (const nlohmann::json& one : ArrayField(slice, {"ports"})) {
      if (TextField(one, {"name"}) == "https") port = NumberField(one, {"port"});
    }
    if (port == 0) continue;
    const bool v6 = TextField(slice, {"addressType"}) == "IPv6";
    for (const nlohmann::json& endpoint : ArrayField(slice, {"endpoints"})) {
      for (const nlohmann::json& address : ArrayField(endpoint, {"addresses"})) {
        if (!address.is_string()) continue;
        const std::string host = address.get<std::string>();
        addresses.push_back(v6 ? absl::StrCat("[", host, "]:", port)
                               : absl::StrCat(host, ":", port));
      }
    }
  }
  std::sort(addresses.begin(), addresses.end());
  addresses.erase(std::unique(addresses.begin(), addresses.end()), addresses.end());
  return addresses;
}

absl::StatusOr<std::vector<ApiServerKey>> AskApiServers(const std::vector<std::string>& addresses,
                                                        const ConnectToApiServer& connect,
                                                        const std::vector<std::string>& key_ids,
                                                        absl::string_view wanted,
                                                        absl::Duration each) {
  std::set<std::string> ours;
  for (const std::string& key_id : key_ids) {
    KEKD_ASSIGN_OR_RETURN(std::string hash, KeyIdHash(key_id));
    ours.insert(std::move(hash));
  }
  KEKD_ASSIGN_OR_RETURN(const std::string hash, KeyIdHash(wanted));
  std::vector<ApiServerKey> keys;
  keys.reserve(addresses.size());
  for (const std::string& address : addresses) {
    keys.push_back(AskOne(address, connect, ours, hash, absl::Now() + each));
  }
  return keys;
}

}  // namespace kekd
