// What an HTTP/2 connection may ask of gRPC.
#ifndef KEKD_KMS_SERVER_FRAME_GUARD_H_
#define KEKD_KMS_SERVER_FRAME_GUARD_H_

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <unordered_map>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "base/bytes.h"
#include "base/mutex.h"

namespace kekd {

// The header of an HTTP/2 frame (RFC 9113, section 4.1).
struct FrameHeader {
  uint32_t size = 0;
  uint8_t type = 0;
  uint8_t flags = 0;
  uint32_t stream = 0;
};

// FrameScanner finds the frames' headers in one direction of a connection, whatever pieces its
// bytes come in. Not thread-safe.
class FrameScanner final {
 public:
  // `skip`: so many bytes come before the first frame.
  explicit FrameScanner(size_t skip) : skip_(skip) {}
  void Scan(ByteView bytes, absl::FunctionRef<void(const FrameHeader&)> found);

 private:
  static constexpr size_t kHeaderBytes = 9;
  size_t skip_;  // bytes until the next header
  std::array<uint8_t, kHeaderBytes> header_{};
  size_t filled_ = 0;
};

// TokenBucket allows so many at once, and so many a second for ever. Not thread-safe.
class TokenBucket final {
 public:
  using Time = std::chrono::steady_clock::time_point;
  TokenBucket(double capacity, double per_second)
      : capacity_(capacity), per_second_(per_second), left_(capacity) {}
  // May leave a debt.
  void Take(double count, Time now) { left_ = Left(now) - count; }
  void Give(double count);
  double Left(Time now);

 private:
  const double capacity_;
  const double per_second_;
  double left_;
  Time filled_at_;
};

// FrameGuard watches one connection, from outside gRPC, for what gRPC 1.51 has no bound of its own
// for: streams that are opened and left, streams that are reset by the ten thousand, floods of
// frames that carry no call, header blocks and messages without an end. A client that makes calls,
// takes the answers, and takes calls back when their time is up is never ended by it, whatever
// their number. Not thread-safe.
class FrameGuard final {
 public:
  using Time = std::chrono::steady_clock::time_point;
  // Of frames that carry no call a connection may send so many at once, and so many a second for
  // ever; each call that was answered allows some more.
  static constexpr double kIdleFrames = 4000;
  static constexpr double kIdleFramesPerSecond = 500;
  static constexpr double kIdleFramesPerCall = 4;
  // Calls taken back. Each still costs gRPC as much as another for a while: beyond so many at once,
  // and so many a second, of all connections, those are not read that took back more than a few.
  static constexpr double kResets = 10000;
  static constexpr double kResetsPerSecond = 10000;
  static constexpr double kFewResets = 100;
  static constexpr double kFewResetsPerSecond = 10;
  static constexpr size_t kMaxHeaderBlock = size_t{32} * 1024;
  // Calls at once on a connection, as gRPC tells the client; it may have begun twice as many before
  // it has heard that. A stream takes gRPC some 14 kB, and a connection may begin all of them
  // before it sends the rest of any.
  static constexpr size_t kCallsAtOnce = 256;
  static constexpr size_t kMaxStreams = 2 * kCallsAtOnce;
  // From so many calls on that wait for their answers, of all connections, only those are read that
  // have few. (They are answered or refused, so it goes on.)
  static constexpr int64_t kManyStreams = 8000;
  static constexpr int64_t kFewStreams = 32;
  // Calls that were begun and have not been sent whole: at most so long; and from so many on, of
  // all connections, a connection has no more than a few that are older than a moment.
  static constexpr std::chrono::seconds kUnfinishedTimeout{10};
  static constexpr int64_t kManyUnfinished = 8000;
  static constexpr size_t kFewUnfinished = 128;
  static constexpr std::chrono::seconds kUnfinishedMoment{2};
  // The bytes of those: over all connections, and what is nobody's fault.
  static constexpr int64_t kMaxUnfinishedBytes = int64_t{32} << 20;
  static constexpr int64_t kFewUnfinishedBytes = int64_t{1} << 20;
  // For how long a connection may leave answers without taking any.
  static constexpr std::chrono::seconds kUnansweredTimeout{60};

  // What all connections of a process have in common. Outlives the guards.
  struct Totals {
    std::atomic<int64_t> streams{0};
    std::atomic<int64_t> unfinished{0};
    std::atomic<int64_t> unfinished_bytes{0};
    Mutex mu;
    TokenBucket resets ABSL_GUARDED_BY(mu){kResets, kResetsPerSecond};
  };

  FrameGuard(Totals& totals, Time now);
  ~FrameGuard() { End(); }
  FrameGuard(const FrameGuard&) = delete;
  FrameGuard& operator=(const FrameGuard&) = delete;

  // Whether more may be read from the peer now.
  bool MayRead(Time now);
  // The peer's bytes, the preface first.
  void Received(ByteView bytes, Time now);
  // Bytes to the peer.
  void Sent(ByteView bytes, Time now);
  // Why the connection has to end; empty if it need not.
  absl::string_view Verdict(Time now) const;
  // The connection is no more.
  void End();

  size_t open_streams() const { return streams_.size(); }

 private:
  struct Stream {
    bool finished = false;  // by the client
    uint32_t bytes = 0;     // of an unfinished one
  };
  void OnReceived(const FrameHeader& frame, Time now);
  void OnSent(const FrameHeader& frame, Time now);
  void OnHeaderBlock(const FrameHeader& frame, Time now);
  void OnData(const FrameHeader& frame, Time now);
  void Spend(Time now) { idle_frames_.Take(1, now); }
  void OnReset(uint32_t stream, Time now);
  void Finish(Stream& stream);
  void Close(uint32_t id);
  bool IsUnfinished(uint32_t id) const;
  void ForgetFinished();

  Totals& totals_;
  FrameScanner received_;
  FrameScanner sent_;
  std::unordered_map<uint32_t, Stream> streams_;
  uint32_t last_stream_ = 0;
  struct Begun {
    uint32_t stream;
    Time at;
  };
  std::deque<Begun> begun_;  // in order; the first one is unfinished
  int64_t unfinished_ = 0;
  int64_t unfinished_bytes_ = 0;
  size_t header_block_ = 0;
  TokenBucket idle_frames_{kIdleFrames, kIdleFramesPerSecond};
  TokenBucket resets_{kFewResets, kFewResetsPerSecond};
  Time progress_;  // when an answer was taken last, or the first of those that wait was asked for
  absl::string_view offence_;
};

}  // namespace kekd

#endif  // KEKD_KMS_SERVER_FRAME_GUARD_H_
