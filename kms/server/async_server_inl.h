// The bodies of AsyncService's templates. Include async_server.h instead.
#ifndef KEKD_KMS_SERVER_ASYNC_SERVER_INL_H_
#define KEKD_KMS_SERVER_ASYNC_SERVER_INL_H_

#include "kms/server/async_server.h"
#include "kms/server/grpc_status.h"

namespace kekd {

template <typename Request, typename Response>
class UnaryMethod final : public AsyncMethod {
 public:
  using Writer = grpc::ServerAsyncResponseWriter<Response>;
  using Expect = std::function<void(grpc::ServerContext*, Request*, Writer*,
                                    grpc::ServerCompletionQueue*, void*)>;
  using Handler = std::function<absl::Status(const CallContext&, Request&, Response&)>;
  using Cleaner = void (*)(Response&);

  UnaryMethod(Expect expect, Handler handler, Cleaner cleaner)
      : expect_(std::move(expect)), handler_(std::move(handler)), cleaner_(cleaner) {}

  void ExpectNext(grpc::ServerCompletionQueue* queue, const PeerDirectory& peers) override {
    auto* const call = new Call(*this, queue, peers);
    expect_(&call->context, &call->request, &call->writer, queue, call);
  }

 private:
  // Waits for one, puts the next place on the queue, runs the handler inline, finishes.
  struct Call final : public AsyncCall {
    Call(UnaryMethod& method_in, grpc::ServerCompletionQueue* queue_in,
         const PeerDirectory& peers_in)
        : method(method_in), queue(queue_in), peers(peers_in), writer(&context) {}

    void Proceed(bool ok) override {
      if (begun || !ok) {
        delete this;  // answered, or the server shuts down
        return;
      }
      begun = true;
      method.ExpectNext(queue, peers);
      Response response;
      const absl::Status status = method.handler_(CallContext(context, peers), request, response);
      // Finish serialises before it returns, so the response need not outlive it.
      if (status.ok()) {
        writer.Finish(response, grpc::Status::OK, this);
      } else {
        writer.FinishWithError(ToGrpcStatus(status), this);
      }
      if (method.cleaner_ != nullptr) method.cleaner_(response);
    }

    UnaryMethod& method;
    grpc::ServerCompletionQueue* const queue;
    const PeerDirectory& peers;
    grpc::ServerContext context;
    Request request;
    Writer writer;
    bool begun = false;
  };

  const Expect expect_;
  const Handler handler_;
  const Cleaner cleaner_;
};

template <typename Generated>
template <typename Base, typename Request, typename Response, typename Derived, typename Handler>
void AsyncService<Generated>::AddMethod(
    void (Base::*expect)(grpc::ServerContext*, Request*, grpc::ServerAsyncResponseWriter<Response>*,
                         grpc::CompletionQueue*, grpc::ServerCompletionQueue*, void*),
    Derived* derived, Handler Derived::*handler, void (*cleaner)(Response&)) {
  using Method = UnaryMethod<Request, Response>;
  methods_.push_back(std::make_unique<Method>(
      [this, expect](grpc::ServerContext* context, Request* request,
                     typename Method::Writer* writer, grpc::ServerCompletionQueue* queue,
                     void* tag) {
        (generated_.*expect)(context, request, writer, queue, queue, tag);
      },
      [derived, handler](const CallContext& call, Request& request, Response& response) {
        return (derived->*handler)(call, request, response);
      },
      cleaner));
}

}  // namespace kekd

#endif  // KEKD_KMS_SERVER_ASYNC_SERVER_INL_H_
