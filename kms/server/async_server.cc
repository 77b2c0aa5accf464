#include "kms/server/async_server.h"

#include <grpc/impl/codegen/grpc_types.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/server_posix.h>
#include <pthread.h>

#include <algorithm>
#include <chrono>

#include "absl/status/status.h"
#include "absl/time/clock.h"

namespace kekd {
namespace {

// High, so that a client hears "no" instead of waiting in silence for a stream; yet a stream that
// is only opened takes some 12 kB, and kBufferBytes is what all connections of a server may take.
constexpr int kMaxConcurrentStreams = 4000;
constexpr size_t kBufferBytes = size_t{64} << 20;

}  // namespace

absl::Time CallContext::Deadline(absl::Duration longest) const {
  return std::min(absl::FromChrono(context_.deadline()), absl::Now() + longest);
}

// Shuts the queue down from the queue's own thread. From another one, a call that was matched just
// before the server's end could still use the queue after it was shut, which gRPC answers by
// abort().
class AsyncServer::EndOfQueue final : public AsyncCall {
 public:
  explicit EndOfQueue(grpc::ServerCompletionQueue* queue) : queue_(queue) {}
  void Proceed(bool /*ok*/) override { queue_->Shutdown(); }

 private:
  grpc::ServerCompletionQueue* const queue_;
};

class AsyncServer::PulseAnswer final : public AsyncCall {
 public:
  explicit PulseAnswer(ThreadPulse& pulse) : pulse_(pulse) {}
  void Proceed(bool /*ok*/) override { pulse_.Answer(); }

 private:
  ThreadPulse& pulse_;
};

absl::StatusOr<std::unique_ptr<AsyncServer>> AsyncServer::Start(
    std::unique_ptr<AsyncMethods> methods, const Options& options) {
  grpc::ServerBuilder builder;
  builder.RegisterService(&methods->service());
  builder.SetMaxReceiveMessageSize(options.max_receive_bytes);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kMaxConcurrentStreams);
  // What gRPC does beside each call and nobody here needs: statistics that no channelz service
  // shows, and pings that measure the bandwidth of a unix socket.
  builder.AddChannelArgument(GRPC_ARG_ENABLE_CHANNELZ, 0);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  builder.SetResourceQuota(grpc::ResourceQuota("kekd").Resize(kBufferBytes));
  // Nobody compresses 32 random bytes; what can't be decompressed can't be a bomb.
  builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_DEFLATE, false);
  builder.SetCompressionAlgorithmSupportStatus(GRPC_COMPRESS_GZIP, false);
  std::unique_ptr<grpc::ServerCompletionQueue> queue = builder.AddCompletionQueue();
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) {
    queue->Shutdown();
    return absl::InternalError("gRPC could not build a server");
  }
  return std::unique_ptr<AsyncServer>(
      new AsyncServer(std::move(methods), std::move(server), std::move(queue), options));
}

AsyncServer::AsyncServer(std::unique_ptr<AsyncMethods> methods,
                         std::unique_ptr<grpc::Server> server,
                         std::unique_ptr<grpc::ServerCompletionQueue> queue, const Options& options)
    : methods_(std::move(methods)),
      queue_(std::move(queue)),
      server_(std::move(server)),
      end_of_queue_(std::make_unique<EndOfQueue>(queue_.get())),
      pulse_answer_(std::make_unique<PulseAnswer>(pulse_)) {
  methods_->ExpectCalls(queue_.get(), peers_);
  thread_ = std::thread([this] {
    void* tag;
    bool ok;
    while (queue_->Next(&tag, &ok)) static_cast<AsyncCall*>(tag)->Proceed(ok);
  });
  pthread_setname_np(thread_.native_handle(), options.thread_name);
}

AsyncServer::~AsyncServer() { Shutdown(absl::InfinitePast()); }

void AsyncServer::Adopt(UniqueFd connection, const PeerCredentials& peer) {
  if (shut_down_.load()) return;
  grpc::AddInsecureChannelFromFd(server_.get(),
                                 peers_.Register(std::move(connection), peer).Release());
}

void AsyncServer::Shutdown(absl::Time deadline) {
  if (!thread_.joinable()) return;
  shut_down_.store(true);
  server_->Shutdown(absl::ToChronoTime(std::max(deadline, absl::UnixEpoch())));
  grpc::Alarm alarm;
  alarm.Set(queue_.get(), std::chrono::system_clock::now(), end_of_queue_.get());
  thread_.join();
}

absl::Duration AsyncServer::CheckPulse() {
  return pulse_.Check([this] {
    pulse_alarm_.emplace().Set(queue_.get(), std::chrono::system_clock::now(), pulse_answer_.get());
  });
}

}  // namespace kekd
