// What an HTTP/2 connection may ask of gRPC.
#ifndef KEKD_KMS_SERVER_FRAME_GUARD_H_
#define KEKD_KMS_SERVER_FRAME_GUARD_H_

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
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
// frames that carry no call, header blocks and messages without an end. It is lenient enough that
// no client which only makes calls ever meets it. Not thread-safe.
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
  static constexpr double kResets = 4000;
  static constexpr double kResetsPerSecond = 2000;
  static constexpr double kFewResets = 100;
  static constexpr double kFewResetsPerSecond = 10;
  static constexpr size_t kMaxHeaderBlock = 32 * 1024;
  // Of messages that have not ended, over all connections. A stream takes gRPC some 12 kB.
  static constexpr int64_t kMaxUnfinishedBytes = int64_t{32} << 20;
  // gRPC allows a connection half as many, but only once the client has acknowledged that.
  static constexpr size_t kMaxStreams = 256;
  static constexpr int64_t kManyStreams = 10000;  // from then on, of all connections,
  static constexpr int64_t kFewStreams = 32;      // only one with fewer is read
  // For how long nothing may happen on a connection with calls that have not ended: the client has
  // not sent all of one, or not taken the answer.
  static constexpr std::chrono::seconds kUnfinishedTimeout{10};
  static constexpr std::chrono::seconds kUnansweredTimeout{60};

  // What all connections of a process have in common. Outlives the guards.
  struct Totals {
    std::atomic<int64_t> streams{0};
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

  Totals& totals_;
  FrameScanner received_;
  FrameScanner sent_;
  std::unordered_map<uint32_t, Stream> streams_;
  uint32_t last_stream_ = 0;
  size_t unfinished_ = 0;
  size_t header_block_ = 0;
  TokenBucket idle_frames_{kIdleFrames, kIdleFramesPerSecond};
  TokenBucket resets_{kFewResets, kFewResetsPerSecond};
  Time progress_;  // when a call was sent or ended last
  absl::string_view offence_;
};

}  // namespace kekd

#endif  // KEKD_KMS_SERVER_FRAME_GUARD_H_
