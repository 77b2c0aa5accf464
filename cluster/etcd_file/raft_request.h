// What an entry of etcd's write-ahead log asks for.
#ifndef KEKD_CLUSTER_ETCD_FILE_RAFT_REQUEST_H_
#define KEKD_CLUSTER_ETCD_FILE_RAFT_REQUEST_H_

#include <cstdint>
#include <optional>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace kekd {

// A raftpb.Entry (etcd's raft/raftpb/raft.proto).
struct RaftEntry {
  bool is_normal = true;  // else it changes the members
  uint64_t index = 0;
  absl::string_view data;
};

std::optional<RaftEntry> ParseRaftEntry(absl::string_view message);

// Hands over the key and value of every put in the data of a normal entry, an InternalRaftRequest
// (etcd's api/etcdserverpb/raft_internal.proto): one of its own, and those in either branch of a
// transaction, since which one was taken can't be told from the log. There is none in a request of
// etcd's second API, in which a 3.4 still announces its members. DataLoss if the data is no
// request; else as `visit`.
absl::Status ForEachPut(
    absl::string_view data,
    absl::FunctionRef<absl::Status(absl::string_view key, absl::string_view value)> visit);

}  // namespace kekd

#endif  // KEKD_CLUSTER_ETCD_FILE_RAFT_REQUEST_H_
