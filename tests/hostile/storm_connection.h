// One HTTP/2 connection with as many gRPC calls in flight as the server lets it have.
#ifndef KEKD_TESTS_HOSTILE_STORM_CONNECTION_H_
#define KEKD_TESTS_HOSTILE_STORM_CONNECTION_H_

#include <nghttp2/nghttp2.h>

#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "base/unique_fd.h"

namespace kekd::testing {

// A call as its maker sees it: the deadline runs from the moment it is wanted, whether or not a
// stream is free then, as it does in grpc-go.
struct StormCall {
  using Time = std::chrono::steady_clock::time_point;
  static constexpr int kLost = -1;  // the connection or the stream ended without an answer

  std::string path;
  std::string request;  // the message
  Time start;
  Time end;  // once it is over
  int code = kLost;
  bool over = false;
  std::string response;  // with gRPC's five bytes in front of it
  // While it is in flight:
  std::string framed;
  size_t sent = 0;
  uint32_t stream_error = 0;
};

// Not thread-safe; owned by a loop that polls fd(). A failure of the connection ends all its calls
// as lost.
class StormConnection final {
 public:
  // Exits the process if there is no connection to be had: it is a tool of tests.
  StormConnection(const std::string& socket, std::chrono::milliseconds timeout);

  int fd() const { return fd_.get(); }
  // `call` outlives its end.
  void Add(StormCall* call) { waiting_.push_back(call); }
  // Ends every call that nothing has been heard of.
  void GiveUp();
  bool WantsWrite() const { return !out_.empty(); }
  bool idle() const { return waiting_.empty() && in_flight_ == 0; }
  // Writes and reads what there is without blocking.
  void Advance();

 private:
  struct Callbacks;
  struct SessionDeleter {
    void operator()(nghttp2_session* session) const { nghttp2_session_del(session); }
  };
  void Submit(StormCall* call);
  void Finish(StormCall* call);
  void Write();
  void Read();

  UniqueFd fd_;
  const std::chrono::milliseconds timeout_;
  std::unique_ptr<nghttp2_session, SessionDeleter> session_;
  std::deque<StormCall*> waiting_;  // for a stream
  uint32_t most_streams_;
  size_t in_flight_ = 0;
  std::string out_;
  bool dead_ = false;
};

}  // namespace kekd::testing

#endif  // KEKD_TESTS_HOSTILE_STORM_CONNECTION_H_
