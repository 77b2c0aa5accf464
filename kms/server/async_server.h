// One gRPC server on one thread.
#ifndef KEKD_KMS_SERVER_ASYNC_SERVER_H_
#define KEKD_KMS_SERVER_ASYNC_SERVER_H_

#include <grpcpp/alarm.h>
#include <grpcpp/grpcpp.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/unique_fd.h"
#include "base/unix_socket.h"
#include "kms/server/call_queue.h"
#include "kms/server/peer_directory.h"
#include "kms/server/thread_pulse.h"

namespace kekd {

// What a handler may know of the call that it answers.
class CallContext final {
 public:
  CallContext(const grpc::ServerContext& context, const PeerDirectory& peers)
      : context_(context), peers_(peers) {}

  // The client's deadline, and `longest` from now if that is sooner.
  absl::Time Deadline(absl::Duration longest) const;
  // When the client gives up, as far as we know (AnswerBefore), and `longest` from now if that is
  // sooner.
  absl::Time GivesUp(absl::Duration longest) const;
  // Who calls.
  std::optional<PeerCredentials> Peer() const { return peers_.Find(context_.peer()); }

 private:
  const grpc::ServerContext& context_;
  const PeerDirectory& peers_;
};

// A call, or a place for the next one, on the completion queue.
class AsyncCall {
 public:
  virtual ~AsyncCall() = default;
  // The operation that carried this call as its tag has ended; `ok` as the queue tells it. Deletes
  // the call when it is over.
  virtual void Proceed(bool ok) = 0;
};

// The answer to a call whose handler went on without it.
template <typename Response>
class LateAnswer {
 public:
  // Answers the call. Once, from any thread, before AsyncMethods::EndLateAnswers returns; the call
  // and this are gone then.
  virtual void Answer(const absl::Status& status, const Response& response) = 0;

 protected:
  ~LateAnswer() = default;
};

// What the calls of a server share. All of it outlives them.
struct CallHost {
  grpc::ServerCompletionQueue* queue;
  const PeerDirectory& peers;
  CallQueue& calls;
};

// When the client of a call gives up, as far as we know: the time that the call lay unread in its
// socket is counted.
std::chrono::steady_clock::time_point AnswerBefore(const grpc::ServerContext& context);

// One method of a service with the function that answers it.
class AsyncMethod {
 public:
  virtual ~AsyncMethod() = default;
  // Puts a place for the next call on the queue.
  virtual void ExpectNext(const CallHost& host) = 0;
};

// The methods of one service. A service derives from AsyncService<Generated>, where Generated is
// protoc's AsyncService, and adds its methods in its constructor:
//
//   AddMethod(&Generated::RequestStatus, this, &KmsService::Status);
class AsyncMethods {
 public:
  virtual ~AsyncMethods() = default;
  AsyncMethods(const AsyncMethods&) = delete;
  AsyncMethods& operator=(const AsyncMethods&) = delete;
  virtual grpc::Service& service() = 0;
  // The server ends: answers every call that is owed a late answer, now. On the server's thread.
  virtual void EndLateAnswers() {}
  // Calls that were refused by the service itself, for want of time.
  virtual uint64_t refused_calls() const { return 0; }
  void ExpectCalls(const CallHost& host) {
    for (const auto& method : methods_) method->ExpectNext(host);
  }

 protected:
  AsyncMethods() = default;
  std::vector<std::unique_ptr<AsyncMethod>> methods_;
};

template <typename Generated>
class AsyncService : public AsyncMethods {
 public:
  grpc::Service& service() final { return generated_; }

 protected:
  // `handler` fills the response, or fails. Or, if it takes a LateAnswer<Response>& as well and
  // returns std::optional<absl::Status>: it returns nothing, keeps that, and answers later. It may
  // alter the request: it wipes what is secret in
  // it. `wiper` does that for a request that is refused without its handler.
  template <typename Base, typename Request, typename Response, typename Derived, typename Handler>
  void AddMethod(void (Base::*expect)(grpc::ServerContext*, Request*,
                                      grpc::ServerAsyncResponseWriter<Response>*,
                                      grpc::CompletionQueue*, grpc::ServerCompletionQueue*, void*),
                 Derived* derived, Handler Derived::*handler, void (*wiper)(Request&) = nullptr);

 private:
  Generated generated_;
};

// AsyncServer is a gRPC server without a listening port: connections come in by Adopt. One
// completion queue, one thread, handlers inline; for work in memory nothing is faster, and nothing
// grows with the number of callers. Thread-safe.
class AsyncServer final {
 public:
  struct Options {
    const char* thread_name = "kekd-rpc";  // as the system shows it; at most 15 bytes
    int max_receive_bytes = 64 * 1024;
  };
  static absl::StatusOr<std::unique_ptr<AsyncServer>> Start(std::unique_ptr<AsyncMethods> methods,
                                                            const Options& options);
  ~AsyncServer();  // Shutdown without patience
  AsyncServer(const AsyncServer&) = delete;
  AsyncServer& operator=(const AsyncServer&) = delete;

  // Serves a connected, non-blocking stream socket. After Shutdown it is closed.
  void Adopt(UniqueFd connection, const PeerCredentials& peer);
  // Tells the clients to go away, lets calls that have begun end until `deadline`, cancels the rest
  // and ends the thread. More than once is fine.
  void Shutdown(absl::Time deadline);

  // For how long the thread has not come round although it was asked to; zero if it has. Asks
  // again, so the answer is of the time between two calls of this. Called by one thread, and not
  // during or after Shutdown.
  absl::Duration CheckPulse();

  // Calls that could not be answered in time and were told so, since the start.
  uint64_t refused_calls() const { return calls_.refused() + methods_->refused_calls(); }

 private:
  class EndOfQueue;
  class PulseAnswer;

  AsyncServer(std::unique_ptr<AsyncMethods> methods, std::unique_ptr<grpc::Server> server,
              std::unique_ptr<grpc::ServerCompletionQueue> queue, const Options& options);
  void Serve();

  const std::unique_ptr<AsyncMethods> methods_;  // first: all below calls it
  PeerDirectory peers_;
  const std::unique_ptr<grpc::ServerCompletionQueue> queue_;
  const std::unique_ptr<grpc::Server> server_;
  CallQueue calls_;
  const CallHost host_;
  // What the thread will see is there before it.
  const std::unique_ptr<AsyncCall> end_of_queue_;
  ThreadPulse pulse_;
  const std::unique_ptr<AsyncCall> pulse_answer_;
  std::optional<grpc::Alarm> pulse_alarm_;
  std::atomic<bool> shut_down_{false};
  std::thread thread_;
};

}  // namespace kekd

#include "kms/server/async_server_inl.h"

#endif  // KEKD_KMS_SERVER_ASYNC_SERVER_H_
