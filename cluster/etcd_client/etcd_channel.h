// The gRPC channel to one endpoint of an etcd.
#ifndef KEKD_CLUSTER_ETCD_CLIENT_ETCD_CHANNEL_H_
#define KEKD_CLUSTER_ETCD_CLIENT_ETCD_CHANNEL_H_

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/support/status.h>

#include <cstdint>
#include <memory>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "cluster/etcd_client/etcd_endpoint.h"
#include "cluster/etcd_client/etcd_tls.h"

namespace kekd {

// EtcdChannel connects when it is first used and again after it broke. Not thread-safe.
class EtcdChannel final {
 public:
  struct Limits {
    absl::Duration dial = absl::Seconds(5);
    absl::Duration command = absl::Seconds(30);
    uint64_t message_bytes = uint64_t{64} << 20;
  };
  using Rpc = absl::FunctionRef<grpc::Status(const std::shared_ptr<grpc::Channel>& channel,
                                             grpc::ClientContext& context)>;

  // `tls` is null without TLS; it outlives the channel.
  EtcdChannel(EtcdEndpoint endpoint, const EtcdTls* tls, const Limits& limits);

  const EtcdEndpoint& endpoint() const { return endpoint_; }

  // Makes one call. An error is about this endpoint, without its name, and says what to do:
  //   Unavailable         it can't be reached or did not answer in time, or etcd said so: another
  //                       endpoint, or the same one later, may do better
  //   FailedPrecondition  it is no etcd, or a member that can't answer this
  //   Unauthenticated     one side does not trust the other, or etcd asks for a user
  //   PermissionDenied    etcd knows the user and refuses
  //   ResourceExhausted   the answer is larger than a message may be
  //   OutOfRange, Aborted the revision is not there yet, or compacted
  absl::Status Call(Rpc rpc);

 private:
  absl::Status Connect();
  std::shared_ptr<grpc::Channel> NewChannel() const;
  absl::Status Translate(const grpc::Status& status) const;

  const EtcdEndpoint endpoint_;
  const EtcdTls* const tls_;
  const Limits limits_;
  std::shared_ptr<grpc::Channel> channel_;  // null if there is none that works
};

}  // namespace kekd

#endif  // KEKD_CLUSTER_ETCD_CLIENT_ETCD_CHANNEL_H_
