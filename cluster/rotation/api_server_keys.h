// Under which key each API server encrypts, by its own word.
#ifndef KEKD_CLUSTER_ROTATION_API_SERVER_KEYS_H_
#define KEKD_CLUSTER_ROTATION_API_SERVER_KEYS_H_

#include <functional>
#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "cluster/api_server/api_client.h"
#include "cluster/api_server/http_transport.h"

namespace kekd {

// What a KMS v2 plugin's key_id is called in metrics: "sha256:" and the SHA-256 in hex.
absl::StatusOr<std::string> KeyIdHash(absl::string_view key_id);

// The hash of the key_id that each KMS v2 provider of an API server answered last with Status, by
// the provider's name: from its metrics (apiserver_envelope_encryption_key_id_hash_status_
// last_timestamp_seconds, Kubernetes 1.28 and newer), which anybody may have written anything into.
std::map<std::string, std::string> CurrentKeyIdHashes(absl::string_view metrics);

// The addresses ("10.0.0.2:6443") of all API servers, from the EndpointSlices of the Service
// "kubernetes". Errors as ToStatus.
absl::StatusOr<std::vector<std::string>> ListApiServers(ApiClient& client, absl::Time deadline);

// A transport to one of several API servers of a cluster, by its address.
using ConnectToApiServer =
    std::function<absl::StatusOr<std::unique_ptr<HttpTransport>>(const std::string& address)>;

struct ApiServerKey {
  enum class State {
    kCurrent,  // every provider that uses the keyring encrypts under the key
    kOther,    // one of them has another key, or can't encrypt
    kUnknown,  // it could not be asked, or none of its providers uses the keyring
  };
  std::string address;
  State state = State::kUnknown;
  std::string why;  // unless it is current
};

// Asks each of them, for so long at most: one that hangs must not hide what the next one says.
// `key_ids` are all of the keyring; `wanted` is one of them.
absl::StatusOr<std::vector<ApiServerKey>> AskApiServers(const std::vector<std::string>& addresses,
                                                        const ConnectToApiServer& connect,
                                                        const std::vector<std::string>& key_ids,
                                                        absl::string_view wanted,
                                                        absl::Duration each);

}  // namespace kekd

#endif  // KEKD_CLUSTER_ROTATION_API_SERVER_KEYS_H_
