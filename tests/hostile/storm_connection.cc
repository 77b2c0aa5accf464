#include "tests/hostile/storm_connection.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "base/length_prefixed.h"

namespace kekd::testing {
namespace {

constexpr size_t kWriteAhead = 2048;
// Until the server has said how many streams there may be, as grpc-go does it.
constexpr uint32_t kStreamsUntilTold = 100;
// Whatever the server allows.
constexpr uint32_t kMostStreams = 100000;

UniqueFd ConnectTo(const std::string& socket_path) {
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (socket_path.size() >= sizeof(address.sun_path)) exit(2);
  memcpy(address.sun_path, socket_path.c_str(), socket_path.size() + 1);
  if (connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
    perror("kms_storm: connect");
    exit(1);
  }
  fcntl(fd.get(), F_SETFL, O_NONBLOCK);
  return fd;
}

nghttp2_nv Header(absl::string_view name, absl::string_view value) {
  // libnghttp2 does not write through these pointers; its C interface has no const there.
  return {reinterpret_cast<uint8_t*>(const_cast<char*>(name.data())),
          reinterpret_cast<uint8_t*>(const_cast<char*>(value.data())), name.size(), value.size(),
          NGHTTP2_NV_FLAG_NONE};
}

}  // namespace

struct StormConnection::Callbacks {
  static StormCall* CallOf(nghttp2_session* session, int32_t stream) {
    return static_cast<StormCall*>(nghttp2_session_get_stream_user_data(session, stream));
  }

  static int OnHeader(nghttp2_session* session, const nghttp2_frame* frame, const uint8_t* name,
                      size_t name_size, const uint8_t* value, size_t value_size, uint8_t /*flags*/,
                      void* /*user_data*/) {
    StormCall* call = CallOf(session, frame->hd.stream_id);
    const std::string text(reinterpret_cast<const char*>(value), value_size);
    if (call != nullptr && name_size == 11 && memcmp(name, "grpc-status", 11) == 0) {
      call->code = atoi(text.c_str());
    }
    return 0;
  }

  static int OnData(nghttp2_session* session, uint8_t /*flags*/, int32_t stream,
                    const uint8_t* data, size_t size, void* /*user_data*/) {
    StormCall* call = CallOf(session, stream);
    if (call != nullptr) call->response.append(reinterpret_cast<const char*>(data), size);
    return 0;
  }

  static int OnClose(nghttp2_session* session, int32_t stream, uint32_t error, void* user_data) {
    StormCall* call = CallOf(session, stream);
    if (call == nullptr) return 0;
    call->stream_error = error;
    // What grpc-go makes of a stream that ends with this code.
    if (call->code == StormCall::kLost && error == NGHTTP2_ENHANCE_YOUR_CALM) call->code = 8;
    StormConnection* self = static_cast<StormConnection*>(user_data);
    --self->in_flight_;
    self->Finish(call);
    return 0;
  }

  static int OnFrame(nghttp2_session* session, const nghttp2_frame* frame, void* user_data) {
    if (frame->hd.type == NGHTTP2_SETTINGS && (frame->hd.flags & NGHTTP2_FLAG_ACK) == 0) {
      static_cast<StormConnection*>(user_data)->most_streams_ = std::min(
          kMostStreams,
          nghttp2_session_get_remote_settings(session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS));
    }
    return 0;
  }

  static ssize_t ReadRequest(nghttp2_session* /*session*/, int32_t /*stream*/, uint8_t* buffer,
                             size_t size, uint32_t* flags, nghttp2_data_source* source,
                             void* /*user_data*/) {
    StormCall* call = static_cast<StormCall*>(source->ptr);
    const size_t n = std::min(size, call->framed.size() - call->sent);
    std::copy_n(call->framed.data() + call->sent, n, buffer);
    call->sent += n;
    if (call->sent == call->framed.size()) *flags |= NGHTTP2_DATA_FLAG_EOF;
    return static_cast<ssize_t>(n);
  }
};

StormConnection::StormConnection(const std::string& socket_path, std::chrono::milliseconds timeout)
    : fd_(ConnectTo(socket_path)), timeout_(timeout), most_streams_(kStreamsUntilTold) {
  nghttp2_session_callbacks* callbacks = nullptr;
  nghttp2_session_callbacks_new(&callbacks);
  nghttp2_session_callbacks_set_on_header_callback(callbacks, &Callbacks::OnHeader);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, &Callbacks::OnData);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, &Callbacks::OnClose);
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, &Callbacks::OnFrame);
  nghttp2_session* session = nullptr;
  nghttp2_session_client_new(&session, callbacks, this);
  nghttp2_session_callbacks_del(callbacks);
  session_.reset(session);
  nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, nullptr, 0);
}

void StormConnection::Finish(StormCall* call) {
  call->over = true;
  call->end = std::chrono::steady_clock::now();
}

void StormConnection::Submit(StormCall* call) {
  call->framed.assign(1, '\0');  // not compressed
  AppendU32(call->framed, static_cast<uint32_t>(call->request.size()));
  call->framed += call->request;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(call->start + timeout_ -
                                                                 std::chrono::steady_clock::now());
  if (left.count() <= 0) {  // its deadline has passed while it waited for a stream
    call->code = 4;
    Finish(call);
    return;
  }
  const std::string timeout = std::to_string(left.count()) + "m";
  const std::array<nghttp2_nv, 8> headers = {
      Header(":method", "POST"),         Header(":scheme", "http"),
      Header(":path", call->path),       Header(":authority", "localhost"),
      Header("te", "trailers"),          Header("content-type", "application/grpc"),
      Header("user-agent", "kms_storm"), Header("grpc-timeout", timeout)};
  nghttp2_data_provider body = {};
  body.source.ptr = call;
  body.read_callback = &Callbacks::ReadRequest;
  if (nghttp2_submit_request(session_.get(), nullptr, headers.data(), headers.size(), &body, call) <
      0) {
    Finish(call);
    return;
  }
  ++in_flight_;
}

void StormConnection::Write() {
  while (!dead_) {
    // No further ahead than the socket takes, so that a deadline is told as it is.
    while (out_.size() < kWriteAhead) {
      const uint8_t* frame = nullptr;
      const ssize_t n = nghttp2_session_mem_send(session_.get(), &frame);
      if (n < 0) dead_ = true;
      if (n > 0) {
        out_.append(reinterpret_cast<const char*>(frame), static_cast<size_t>(n));
        continue;
      }
      if (dead_ || waiting_.empty() || in_flight_ >= most_streams_) break;
      StormCall* const call = waiting_.front();
      waiting_.pop_front();
      Submit(call);
    }
    if (out_.empty()) return;
    const ssize_t n = send(fd_.get(), out_.data(), out_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN) return;
    if (n < 0) dead_ = true;
    if (n > 0) out_.erase(0, static_cast<size_t>(n));
  }
}

void StormConnection::Read() {
  std::array<uint8_t, 65536> buffer;
  while (!dead_) {
    const ssize_t n = recv(fd_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0 ||
        nghttp2_session_mem_recv(session_.get(), buffer.data(), static_cast<size_t>(n)) < 0) {
      dead_ = true;
    }
  }
}

void StormConnection::Advance() {
  Read();
  Write();
  if (dead_) GiveUp();
}

void StormConnection::GiveUp() {
  for (StormCall* call : waiting_) Finish(call);
  waiting_.clear();
  session_.reset();  // ends what is in flight without a word
  in_flight_ = 0;
  dead_ = true;
}

}  // namespace kekd::testing
