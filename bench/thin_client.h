// The thinnest client that still speaks gRPC.
#ifndef KEKD_BENCH_THIN_CLIENT_H_
#define KEKD_BENCH_THIN_CLIENT_H_

#include <nghttp2/nghttp2.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/unique_fd.h"
#include "bench/kms_client.h"

namespace kekd::bench {

// ThinClient is one HTTP/2 connection on libnghttp2: one write(2) a request and as many read(2) as
// the answer comes in, no thread, no deadline. What it measures is the server and the socket, and
// next to nothing of itself. Not thread-safe.
class ThinClient final : public KmsClient {
 public:
  static absl::StatusOr<std::unique_ptr<ThinClient>> Connect(absl::string_view path);

  absl::Status Status(const ::v2::StatusRequest& request, ::v2::StatusResponse& response) override;
  absl::Status Encrypt(const ::v2::EncryptRequest& request,
                       ::v2::EncryptResponse& response) override;
  absl::Status Decrypt(const ::v2::DecryptRequest& request,
                       ::v2::DecryptResponse& response) override;

 private:
  struct SessionDeleter {
    void operator()(nghttp2_session* session) const { nghttp2_session_del(session); }
  };
  struct Callbacks;  // what libnghttp2 calls back

  // The call in flight.
  struct Exchange {
    int32_t stream = -1;
    std::string request;  // with gRPC's five bytes in front of it
    size_t sent = 0;
    std::string response;  // likewise
    std::string http_status;
    std::string grpc_status;
    std::string grpc_message;
    uint32_t error = 0;  // HTTP/2's
    bool closed = false;
  };

  explicit ThinClient(UniqueFd fd) : fd_(std::move(fd)) {}
  absl::Status OpenSession();
  absl::Status Call(absl::string_view path, const google::protobuf::MessageLite& request,
                    google::protobuf::MessageLite& response);
  absl::Status Submit(absl::string_view path);
  absl::Status Flush();
  absl::Status Receive();
  absl::Status Check(google::protobuf::MessageLite& response) const;

  const UniqueFd fd_;
  std::unique_ptr<nghttp2_session, SessionDeleter> session_;
  Exchange exchange_;
  std::string out_;
};

}  // namespace kekd::bench

#endif  // KEKD_BENCH_THIN_CLIENT_H_
