#include "kms/server/async_server.h"

#include <grpc/impl/codegen/grpc_types.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/server_posix.h>
#include <pthread.h>

#include <algorithm>
#include <chrono>

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "kms/server/frame_guard.h"
#include "kms/server/guarded_sockets.h"

#ifdef __SANITIZE_THREAD__
// A late answer is finished on one thread and its end comes out of the queue on another. What
// orders the two lies in gRPC's library, which is not instrumented, while the operation's own
// fields are inline code of its headers, which is: ThreadSanitizer sees races there that are none.
extern "C" const char* __tsan_default_suppressions() {
  return "race:^grpc::internal::CallOp\n"
         "race:^grpc::internal::Interceptor\n";
}
#endif

namespace kekd {
namespace {

constexpr size_t kBufferBytes = size_t{64} << 20;

}  // namespace

absl::Time CallContext::Deadline(absl::Duration longest) const {
  return std::min(absl::FromChrono(context_.deadline()), absl::Now() + longest);
}

absl::Time CallContext::GivesUp(absl::Duration longest) const {
  const auto left = AnswerBefore(context_) - std::chrono::steady_clock::now();
  return absl::Now() + std::min(absl::FromChrono(left), longest);
}

std::chrono::steady_clock::time_point AnswerBefore(const grpc::ServerContext& context) {
  constexpr std::chrono::seconds kLongest(30);
  const auto left = std::min<std::chrono::nanoseconds>(
      context.deadline() - std::chrono::system_clock::now(), kLongest);
  const std::chrono::nanoseconds unread =
      GuardedSockets::Instance().UnreadTime(PeerDirectory::DescriptorOf(context.peer()));
  return std::chrono::steady_clock::now() + left - unread;
}

// Shuts the queue down from the queue's own thread. From another one, a call that was matched just
// before the server's end could still use the queue after it was shut, which gRPC answers by
// abort().
class AsyncServer::EndOfQueue final : public AsyncCall {
 public:
  EndOfQueue(const CallHost& host, AsyncMethods& methods) : host_(host), methods_(methods) {}
  void Proceed(bool /*ok*/) override {
    host_.calls.RunAll();
    methods_.EndLateAnswers();
    host_.queue->Shutdown();
  }

 private:
  const CallHost& host_;
  AsyncMethods& methods_;
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
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS,
                             static_cast<int>(FrameGuard::kCallsAtOnce));
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
      calls_(&std::chrono::steady_clock::now,
             [](CallQueue::Time now) { return GuardedSockets::Instance().AnyUnread(now); }),
      host_{.queue = queue_.get(), .peers = peers_, .calls = calls_},
      end_of_queue_(std::make_unique<EndOfQueue>(host_, *methods_)),
      pulse_answer_(std::make_unique<PulseAnswer>(pulse_)) {
  methods_->ExpectCalls(host_);
  thread_ = std::thread([this] { Serve(); });
  pthread_setname_np(thread_.native_handle(), options.thread_name);
}

// gRPC reads from the sockets only when its queue is empty. While calls wait in ours, we look there
// without patience, take in what has come, and go on with a turn of those that wait.
void AsyncServer::Serve() {
  constexpr std::chrono::microseconds kSurelyIdle(20);
  void* tag;
  bool ok;
  for (;;) {
    if (calls_.empty()) {
      const auto before = std::chrono::steady_clock::now();
      if (!queue_->Next(&tag, &ok)) return;
      if (std::chrono::steady_clock::now() - before > kSurelyIdle) calls_.BeginTurn();
      static_cast<AsyncCall*>(tag)->Proceed(ok);
      continue;
    }
    switch (queue_->AsyncNext(&tag, &ok, gpr_inf_past(GPR_CLOCK_MONOTONIC))) {
      case grpc::CompletionQueue::SHUTDOWN:
        return;
      case grpc::CompletionQueue::GOT_EVENT:
        static_cast<AsyncCall*>(tag)->Proceed(ok);
        if (calls_.TurnIsOver()) calls_.RunTurn();
        break;
      case grpc::CompletionQueue::TIMEOUT:
        calls_.RunTurn();
        break;
    }
  }
}

AsyncServer::~AsyncServer() { Shutdown(absl::InfinitePast()); }

void AsyncServer::Adopt(UniqueFd connection, const PeerCredentials& peer) {
  if (shut_down_.load()) return;
  UniqueFd numbered = peers_.Register(std::move(connection), peer);
  GuardedSockets::Instance().Add(numbered.get());
  grpc::AddInsecureChannelFromFd(server_.get(), numbered.Release());
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
