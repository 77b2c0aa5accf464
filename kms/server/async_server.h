// One gRPC server on one thread.
#ifndef KEKD_KMS_SERVER_ASYNC_SERVER_H_
#define KEKD_KMS_SERVER_ASYNC_SERVER_H_

#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/unique_fd.h"

namespace kekd {

// A call, or a place for the next one, on the completion queue.
class AsyncCall {
 public:
  virtual ~AsyncCall() = default;
  // The operation that carried this call as its tag has ended; `ok` as the queue tells it. Deletes
  // the call when it is over.
  virtual void Proceed(bool ok) = 0;
};

// AsyncServer is a gRPC server without a listening port: connections come in by Adopt. One
// completion queue, one thread, handlers inline; for work in memory nothing is faster, and nothing
// grows with the number of callers. Thread-safe.
class AsyncServer final {
 public:
  struct Options {
    grpc::Service* service = nullptr;  // outlives the server
    int max_receive_bytes = 64 * 1024;
    // Puts one call of each method on the queue, before the first connection.
    std::function<void(grpc::ServerCompletionQueue*)> expect_calls;
  };
  static absl::StatusOr<std::unique_ptr<AsyncServer>> Start(const Options& options);
  ~AsyncServer();  // Shutdown without patience
  AsyncServer(const AsyncServer&) = delete;
  AsyncServer& operator=(const AsyncServer&) = delete;

  // Serves a connected, non-blocking stream socket.
  void Adopt(UniqueFd connection);
  // Tells the clients to go away, lets calls that have begun end until `deadline`, cancels the rest
  // and ends the thread. More than once is fine.
  void Shutdown(absl::Time deadline);

 private:
  AsyncServer(std::unique_ptr<grpc::Server> server,
              std::unique_ptr<grpc::ServerCompletionQueue> queue);

  const std::unique_ptr<grpc::ServerCompletionQueue> queue_;
  const std::unique_ptr<grpc::Server> server_;
  const std::unique_ptr<AsyncCall> end_of_queue_;  // before the thread that will see it
  std::thread thread_;
};

// A unary call of method `Service::Request…`: waits for one, puts the next place on the queue, runs
// the handler inline, finishes.
template <typename Service, typename Request, typename Response>
class UnaryCall final : public AsyncCall {
 public:
  using Expect = void (Service::*)(grpc::ServerContext*, Request*,
                                   grpc::ServerAsyncResponseWriter<Response>*,
                                   grpc::CompletionQueue*, grpc::ServerCompletionQueue*, void*);
  // Fills the response, or fails. May alter the request: it wipes what is secret in it.
  using Handler = std::function<absl::Status(const grpc::ServerContext&, Request&, Response&)>;
  // Wipes what is secret in a response that has been sent.
  using Cleaner = void (*)(Response&);

  // Expects the next call. `service` and `handler` outlive the queue.
  static void ExpectNext(Service* service, Expect expect, grpc::ServerCompletionQueue* queue,
                         const Handler* handler, Cleaner cleaner) {
    auto* call = new UnaryCall(service, expect, queue, handler, cleaner);
    (service->*expect)(&call->context_, &call->request_, &call->writer_, queue, queue, call);
  }

  void Proceed(bool ok) override;

 private:
  UnaryCall(Service* service, Expect expect, grpc::ServerCompletionQueue* queue,
            const Handler* handler, Cleaner cleaner)
      : service_(service),
        expect_(expect),
        queue_(queue),
        handler_(handler),
        cleaner_(cleaner),
        writer_(&context_) {}

  Service* const service_;
  const Expect expect_;
  grpc::ServerCompletionQueue* const queue_;
  const Handler* const handler_;
  const Cleaner cleaner_;
  grpc::ServerContext context_;
  Request request_;
  grpc::ServerAsyncResponseWriter<Response> writer_;
  bool begun_ = false;
};

}  // namespace kekd

#include "kms/server/async_server_inl.h"

#endif  // KEKD_KMS_SERVER_ASYNC_SERVER_H_
