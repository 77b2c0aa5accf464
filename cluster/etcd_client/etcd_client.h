// The v3 API of a running etcd, as far as reading goes.
#ifndef KEKD_CLUSTER_ETCD_CLIENT_ETCD_CLIENT_H_
#define KEKD_CLUSTER_ETCD_CLIENT_ETCD_CLIENT_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "base/file_system.h"
#include "cluster/etcd_client/etcd_tls.h"

namespace etcdserverpb {
class RangeRequest;
class RangeResponse;
class ResponseHeader;
}  // namespace etcdserverpb

namespace kekd {

class EtcdChannel;

// Sets gRPC up for a process that reads etcd: no lines of its own on standard error, which say less
// than our errors do and with GRPC_TRACE hold the bytes of every message, that is what a cluster
// keeps secret; and names resolved as every other program does. Changes the environment: call it
// first in main, before gRPC or a thread is used.
void PrepareGrpcForEtcd();

// As etcdctl has them.
struct EtcdClientOptions {
  std::vector<std::string> endpoints;  // see EtcdEndpoint
  EtcdTlsPaths tls;
  absl::Duration dial_timeout = absl::Seconds(5);
  absl::Duration command_timeout = absl::Seconds(30);
  // Between two rounds through the endpoints, when etcd was there before and is not now.
  absl::Duration retry_pause = absl::Milliseconds(500);
  // The largest answer that is taken; etcd's own bound on a request is 1.5 MiB unless configured.
  uint64_t max_message_bytes = uint64_t{64} << 20;
};

// The keys from `first` up to and without `end`. An empty `end`: `first` alone.
struct KeyRange {
  std::string first;
  std::string end;

  static KeyRange Of(absl::string_view key) { return {std::string(key), ""}; }
  // Every key that begins with it; every key there is if it is empty.
  static KeyRange WithPrefix(absl::string_view prefix);
  bool Contains(absl::string_view key) const;
};

struct EtcdKeyValue {
  std::string key;
  std::string value;
  int64_t create_revision = 0;
  int64_t mod_revision = 0;
};

// A part of a range.
struct EtcdPage {
  std::vector<EtcdKeyValue> objects;
  bool more = false;     // keys after the last one were left out for the limit
  uint64_t count = 0;    // keys in the whole range
  int64_t revision = 0;  // etcd's newest when it answered
};

enum class Consistency {
  kLinearizable,  // what most members agree on now
  kSerializable,  // what this member has: the same, at a revision that it has come to
};
enum class PageContent { kObjects, kKeysOnly, kCountOnly };

struct PageRequest {
  KeyRange range;
  int64_t revision = 0;  // 0: the newest
  int64_t limit = 0;     // objects; 0: all
  Consistency consistency = Consistency::kLinearizable;
  PageContent content = PageContent::kObjects;
};

// A member as it describes itself.
struct EtcdMember {
  std::string endpoint;
  absl::Status reached;     // the rest is empty unless this is OK
  std::string version;      // "3.6.16"; of kine the version that it pretends to be
  uint64_t cluster_id = 0;  // 0: kine
  bool learner = false;
  std::vector<std::string> errors;  // etcd's words: "memberID:1 alarm:CORRUPT"
};

// EtcdClient reads from one etcd at any number of endpoints. It stays with one while that answers
// and else goes on with the next; when none answers the error gives the reason of each, and is
// Unavailable unless all are of one other kind. It opens one connection at a time and has one
// request in flight. Not thread-safe.
class EtcdClient final {
 public:
  // Reads and checks the files; connects to nobody yet. InvalidArgument without an endpoint, for
  // one that is none, and as EtcdTls::Load.
  static absl::StatusOr<std::unique_ptr<EtcdClient>> Create(EtcdClientOptions options,
                                                            FileSystem& fs);
  ~EtcdClient();

  // FailedPrecondition if the endpoints turn out to belong to different clusters; Aborted if the
  // revision is compacted; ResourceExhausted if the answer is larger than max_message_bytes; else
  // the errors of EtcdChannel::Call.
  absl::StatusOr<EtcdPage> Range(const PageRequest& request);

  // NotFound if there is no such key at that revision (0: the newest).
  absl::StatusOr<EtcdKeyValue> Get(absl::string_view key, int64_t revision);

  // Asks each endpoint once, and stays with the first voting member. FailedPrecondition if they
  // belong to different clusters; a member that does not answer is no error unless none does.
  absl::StatusOr<std::vector<EtcdMember>> Members();

  // Of the first member that answered: 0 before that, and of kine, which has none.
  uint64_t cluster_id() const { return cluster_id_; }
  // The endpoint that answered last.
  const std::string& current_endpoint() const;

 private:
  explicit EtcdClient(EtcdClientOptions options);

  absl::Status RangeAt(size_t index, const etcdserverpb::RangeRequest& request,
                       etcdserverpb::RangeResponse& response);
  absl::Status CheckCluster(size_t index, uint64_t cluster_id);
  // Tries the endpoints, beginning with the current one, until one answers.
  absl::Status TryEach(absl::FunctionRef<absl::Status(size_t index)> call);
  absl::Status AllFailed(absl::Span<const absl::Status> reasons) const;
  absl::Status Named(size_t index, const absl::Status& status) const;

  const EtcdClientOptions options_;
  std::optional<EtcdTls> tls_;
  std::vector<std::unique_ptr<EtcdChannel>> channels_;
  size_t current_ = 0;
  bool answered_ = false;  // some endpoint has, once
  uint64_t cluster_id_ = 0;
  size_t cluster_of_ = 0;  // the endpoint that cluster_id_ is of
};

}  // namespace kekd

#endif  // KEKD_CLUSTER_ETCD_CLIENT_ETCD_CLIENT_H_
