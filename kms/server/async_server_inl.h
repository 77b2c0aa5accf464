// The bodies of AsyncService's templates. Include async_server.h instead.
#ifndef KEKD_KMS_SERVER_ASYNC_SERVER_INL_H_
#define KEKD_KMS_SERVER_ASYNC_SERVER_INL_H_

#include <optional>
#include <type_traits>

#include "kms/server/async_server.h"
#include "kms/server/grpc_status.h"

namespace kekd {

template <typename Request, typename Response>
class UnaryMethod final : public AsyncMethod {
 public:
  using Writer = grpc::ServerAsyncResponseWriter<Response>;
  using Expect = std::function<void(grpc::ServerContext*, Request*, Writer*,
                                    grpc::ServerCompletionQueue*, void*)>;
  using Handler = std::function<std::optional<absl::Status>(const CallContext&, Request&, Response&,
                                                            LateAnswer<Response>&)>;
  using Wiper = void (*)(Request&);

  UnaryMethod(size_t lane, Expect expect, Handler handler, Wiper wiper)
      : lane_(lane), expect_(std::move(expect)), handler_(std::move(handler)), wiper_(wiper) {}

  void ExpectNext(const CallHost& host) override {
    auto* const call = new Call(*this, host);
    expect_(&call->context, &call->request, &call->writer, host.queue, call);
  }

 private:
  // Waits for one, puts the next place on the queue, runs the handler inline or in its turn,
  // finishes.
  struct Call final : public AsyncCall, public QueuedCall, public LateAnswer<Response> {
    Call(UnaryMethod& method_in, const CallHost& host_in)
        : method(method_in), host(host_in), writer(&context) {}

    void Proceed(bool ok) override {
      if (begun || !ok) {
        delete this;  // answered, or the server shuts down
        return;
      }
      begun = true;
      method.ExpectNext(host);
      host.calls.Offer(method.lane_, this, [this] { return AnswerBefore(context); });
    }

    void Run() override {
      Response response;
      const std::optional<absl::Status> status =
          method.handler_(CallContext(context, host.peers), request, response, *this);
      if (status.has_value()) Answer(*status, response);  // else this may be gone already
    }

    void Answer(const absl::Status& status, const Response& response) override {
      // Finish serialises before it returns, so the response need not outlive it.
      if (status.ok()) {
        writer.Finish(response, grpc::Status::OK, this);
      } else {
        writer.FinishWithError(ToGrpcStatus(status), this);
      }
    }

    void Refuse() override {
      if (method.wiper_ != nullptr) method.wiper_(request);
      writer.FinishWithError(
          grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED,
                       "there are more calls than can be answered before their deadlines; 'kekctl "
                       "status' counts them: see what takes the CPU, or calls without need"),
          this);
    }

    UnaryMethod& method;
    const CallHost& host;
    grpc::ServerContext context;
    Request request;
    Writer writer;
    bool begun = false;
  };

  const size_t lane_;
  const Expect expect_;
  const Handler handler_;
  const Wiper wiper_;
};

template <typename Generated>
template <typename Base, typename Request, typename Response, typename Derived, typename Handler>
void AsyncService<Generated>::AddMethod(
    void (Base::*expect)(grpc::ServerContext*, Request*, grpc::ServerAsyncResponseWriter<Response>*,
                         grpc::CompletionQueue*, grpc::ServerCompletionQueue*, void*),
    Derived* derived, Handler Derived::*handler, void (*wiper)(Request&)) {
  using Method = UnaryMethod<Request, Response>;
  methods_.push_back(std::make_unique<Method>(
      methods_.size(),
      [this, expect](grpc::ServerContext* context, Request* request,
                     typename Method::Writer* writer, grpc::ServerCompletionQueue* queue,
                     void* tag) {
        (generated_.*expect)(context, request, writer, queue, queue, tag);
      },
      [derived, handler](const CallContext& call, Request& request, Response& response,
                         LateAnswer<Response>& late) -> std::optional<absl::Status> {
        if constexpr (std::is_invocable_v<Handler Derived::*, Derived*, const CallContext&,
                                          Request&, Response&, LateAnswer<Response>&>) {
          return (derived->*handler)(call, request, response, late);
        } else {
          return (derived->*handler)(call, request, response);
        }
      },
      wiper));
}

}  // namespace kekd

#endif  // KEKD_KMS_SERVER_ASYNC_SERVER_INL_H_
