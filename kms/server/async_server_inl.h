// The body of UnaryCall. Include async_server.h instead.
#ifndef KEKD_KMS_SERVER_ASYNC_SERVER_INL_H_
#define KEKD_KMS_SERVER_ASYNC_SERVER_INL_H_

#include "kms/server/async_server.h"
#include "kms/server/grpc_status.h"

namespace kekd {

template <typename Service, typename Request, typename Response>
void UnaryCall<Service, Request, Response>::Proceed(bool ok) {
  if (begun_ || !ok) {
    delete this;  // answered, or the server shuts down
    return;
  }
  begun_ = true;
  ExpectNext(service_, expect_, queue_, handler_, cleaner_);
  Response response;
  const absl::Status status = (*handler_)(context_, request_, response);
  // Finish serialises before it returns, so the response need not outlive it.
  if (status.ok()) {
    writer_.Finish(response, grpc::Status::OK, this);
  } else {
    writer_.FinishWithError(ToGrpcStatus(status), this);
  }
  if (cleaner_ != nullptr) cleaner_(response);
}

}  // namespace kekd

#endif  // KEKD_KMS_SERVER_ASYNC_SERVER_INL_H_
