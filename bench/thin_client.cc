#include "bench/thin_client.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/bytes.h"
#include "base/length_prefixed.h"
#include "base/status_macros.h"
#include "bench/unix_socket.h"

namespace kekd::bench {
namespace {

constexpr size_t kFramePrefixBytes = 5;  // gRPC's: compressed or not, length

nghttp2_nv Header(absl::string_view name, absl::string_view value) {
  // libnghttp2 does not write through these pointers; its C interface has no const there. Nor need
  // it copy: all of them are literals.
  return {reinterpret_cast<uint8_t*>(const_cast<char*>(name.data())),
          reinterpret_cast<uint8_t*>(const_cast<char*>(value.data())), name.size(), value.size(),
          NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE};
}

absl::Status Nghttp2Error(absl::string_view what, int64_t code) {
  return absl::InternalError(absl::StrCat(what, ": ", nghttp2_strerror(static_cast<int>(code))));
}

}  // namespace

struct ThinClient::Callbacks {
  static Exchange& ExchangeOf(void* user_data) {
    return static_cast<ThinClient*>(user_data)->exchange_;
  }

  static int OnHeader(nghttp2_session* /*session*/, const nghttp2_frame* frame, const uint8_t* name,
                      size_t name_size, const uint8_t* value, size_t value_size, uint8_t /*flags*/,
                      void* user_data) {
    Exchange& exchange = ExchangeOf(user_data);
    if (frame->hd.stream_id != exchange.stream) return 0;
    const absl::string_view key = AsText(ByteView(name, name_size));
    const absl::string_view text = AsText(ByteView(value, value_size));
    if (key == ":status") exchange.http_status.assign(text.data(), text.size());
    if (key == "grpc-status") exchange.grpc_status.assign(text.data(), text.size());
    if (key == "grpc-message") exchange.grpc_message.assign(text.data(), text.size());
    return 0;
  }

  static int OnData(nghttp2_session* /*session*/, uint8_t /*flags*/, int32_t stream,
                    const uint8_t* data, size_t size, void* user_data) {
    Exchange& exchange = ExchangeOf(user_data);
    if (stream == exchange.stream) {
      exchange.response.append(reinterpret_cast<const char*>(data), size);
    }
    return 0;
  }

  static int OnClose(nghttp2_session* /*session*/, int32_t stream, uint32_t error,
                     void* user_data) {
    Exchange& exchange = ExchangeOf(user_data);
    if (stream == exchange.stream) {
      exchange.error = error;
      exchange.closed = true;
    }
    return 0;
  }

  static ssize_t ReadRequest(nghttp2_session* /*session*/, int32_t /*stream*/, uint8_t* buffer,
                             size_t size, uint32_t* flags, nghttp2_data_source* source,
                             void* /*user_data*/) {
    Exchange& exchange = *static_cast<Exchange*>(source->ptr);
    const size_t n = std::min(size, exchange.request.size() - exchange.sent);
    std::copy_n(exchange.request.begin() + static_cast<std::ptrdiff_t>(exchange.sent), n, buffer);
    exchange.sent += n;
    if (exchange.sent == exchange.request.size()) *flags |= NGHTTP2_DATA_FLAG_EOF;
    return static_cast<ssize_t>(n);
  }
};

absl::StatusOr<std::unique_ptr<ThinClient>> ThinClient::Connect(absl::string_view path) {
  KEKD_ASSIGN_OR_RETURN(UniqueFd fd, ConnectUnix(path));
  std::unique_ptr<ThinClient> client(new ThinClient(std::move(fd)));
  KEKD_RETURN_IF_ERROR(client->OpenSession());
  return client;
}

absl::Status ThinClient::OpenSession() {
  nghttp2_session_callbacks* callbacks = nullptr;
  if (nghttp2_session_callbacks_new(&callbacks) != 0) {
    return absl::InternalError("nghttp2_session_callbacks_new");
  }
  nghttp2_session_callbacks_set_on_header_callback(callbacks, &Callbacks::OnHeader);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, &Callbacks::OnData);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, &Callbacks::OnClose);
  nghttp2_session* session = nullptr;
  const int made = nghttp2_session_client_new(&session, callbacks, this);
  nghttp2_session_callbacks_del(callbacks);
  if (made != 0) return Nghttp2Error("nghttp2_session_client_new", made);
  session_.reset(session);
  const int submitted = nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, nullptr, 0);
  if (submitted != 0) return Nghttp2Error("nghttp2_submit_settings", submitted);
  return absl::OkStatus();
}

absl::Status ThinClient::Status(const ::v2::StatusRequest& request,
                                ::v2::StatusResponse& response) {
  return Call("/v2.KeyManagementService/Status", request, response);
}

absl::Status ThinClient::Encrypt(const ::v2::EncryptRequest& request,
                                 ::v2::EncryptResponse& response) {
  return Call("/v2.KeyManagementService/Encrypt", request, response);
}

absl::Status ThinClient::Decrypt(const ::v2::DecryptRequest& request,
                                 ::v2::DecryptResponse& response) {
  return Call("/v2.KeyManagementService/Decrypt", request, response);
}

absl::Status ThinClient::Call(absl::string_view path, const google::protobuf::MessageLite& request,
                              google::protobuf::MessageLite& response) {
  exchange_.request.assign(1, '\0');  // not compressed
  AppendU32(exchange_.request, static_cast<uint32_t>(request.ByteSizeLong()));
  if (!request.AppendToString(&exchange_.request)) {
    return absl::InternalError("the request can't be serialised");
  }
  exchange_.sent = 0;
  exchange_.response.clear();
  exchange_.http_status.clear();
  exchange_.grpc_status.clear();
  exchange_.grpc_message.clear();
  exchange_.error = 0;
  exchange_.closed = false;
  KEKD_RETURN_IF_ERROR(Submit(path));
  // Acknowledgements and window updates that an answer provokes wait for the next request, so that
  // a call is one write.
  while (!exchange_.closed) {
    if (exchange_.sent < exchange_.request.size()) KEKD_RETURN_IF_ERROR(Flush());
    KEKD_RETURN_IF_ERROR(Receive());
  }
  return Check(response);
}

absl::Status ThinClient::Submit(absl::string_view path) {
  const std::array<nghttp2_nv, 7> headers = {
      Header(":method", "POST"),
      Header(":scheme", "http"),
      Header(":path", path),
      Header(":authority", "localhost"),
      Header("te", "trailers"),
      Header("content-type", "application/grpc"),
      Header("user-agent", "kekd-bench"),
  };
  nghttp2_data_provider body = {};
  body.source.ptr = &exchange_;
  body.read_callback = &Callbacks::ReadRequest;
  exchange_.stream = nghttp2_submit_request(session_.get(), nullptr, headers.data(), headers.size(),
                                            &body, nullptr);
  if (exchange_.stream < 0) return Nghttp2Error("nghttp2_submit_request", exchange_.stream);
  return absl::OkStatus();
}

absl::Status ThinClient::Flush() {
  out_.clear();
  for (;;) {
    const uint8_t* frame = nullptr;
    const ssize_t n = nghttp2_session_mem_send(session_.get(), &frame);
    if (n < 0) return Nghttp2Error("nghttp2_session_mem_send", n);
    if (n == 0) return WriteAll(fd_.get(), AsBytes(out_));
    out_.append(reinterpret_cast<const char*>(frame), static_cast<size_t>(n));
  }
}

absl::Status ThinClient::Receive() {
  std::array<uint8_t, 16384> buffer;
  KEKD_ASSIGN_OR_RETURN(const size_t n, ReadSome(fd_.get(), absl::MakeSpan(buffer)));
  const ssize_t taken = nghttp2_session_mem_recv(session_.get(), buffer.data(), n);
  if (taken < 0) return Nghttp2Error("nghttp2_session_mem_recv", taken);
  return absl::OkStatus();
}

absl::Status ThinClient::Check(google::protobuf::MessageLite& response) const {
  if (exchange_.error != 0 || exchange_.http_status != "200") {
    return absl::InternalError(absl::StrCat("HTTP status \"", exchange_.http_status, "\", error ",
                                            nghttp2_http2_strerror(exchange_.error)));
  }
  if (exchange_.grpc_status != "0") {
    return absl::InternalError(
        absl::StrCat("gRPC status \"", exchange_.grpc_status, "\": ", exchange_.grpc_message));
  }
  const ByteView frame = AsBytes(exchange_.response);
  if (frame.size() < kFramePrefixBytes || frame[0] != 0 ||
      ReadU32(frame.data() + 1) != frame.size() - kFramePrefixBytes) {
    return absl::InternalError("the answer is not one uncompressed gRPC message");
  }
  const ByteView message = frame.subspan(kFramePrefixBytes);
  if (!response.ParseFromArray(message.data(), static_cast<int>(message.size()))) {
    return absl::InternalError("the answer can't be parsed");
  }
  return absl::OkStatus();
}

}  // namespace kekd::bench
