#include "kms/server/frame_guard.h"

#include <algorithm>

namespace kekd {
namespace {

// RFC 9113, section 6.
constexpr uint8_t kData = 0;
constexpr uint8_t kHeaders = 1;
constexpr uint8_t kRstStream = 3;
constexpr uint8_t kContinuation = 9;
constexpr uint8_t kEndStream = 0x1;
constexpr uint8_t kEndHeaders = 0x4;

constexpr size_t kPrefaceBytes = 24;

bool EndsStream(const FrameHeader& frame) {
  return (frame.type == kData || frame.type == kHeaders) && (frame.flags & kEndStream) != 0;
}

}  // namespace

void FrameScanner::Scan(ByteView bytes, absl::FunctionRef<void(const FrameHeader&)> found) {
  while (!bytes.empty()) {
    if (skip_ > 0) {
      const size_t skipped = std::min(skip_, bytes.size());
      skip_ -= skipped;
      bytes = bytes.subspan(skipped);
      continue;
    }
    const size_t taken = std::min(kHeaderBytes - filled_, bytes.size());
    std::copy_n(bytes.begin(), taken, header_.begin() + static_cast<std::ptrdiff_t>(filled_));
    filled_ += taken;
    bytes = bytes.subspan(taken);
    if (filled_ < kHeaderBytes) return;
    filled_ = 0;
    const auto& h = header_;
    const FrameHeader frame{.size = uint32_t{h[0]} << 16 | uint32_t{h[1]} << 8 | h[2],
                            .type = h[3],
                            .flags = h[4],
                            .stream = (uint32_t{h[5]} & 0x7f) << 24 | uint32_t{h[6]} << 16 |
                                      uint32_t{h[7]} << 8 | h[8]};
    skip_ = frame.size;
    found(frame);
  }
}

void TokenBucket::Give(double count) { left_ = std::min(capacity_, left_ + count); }

double TokenBucket::Left(Time now) {
  Give(std::chrono::duration<double>(now - filled_at_).count() * per_second_);
  filled_at_ = now;
  return left_;
}

FrameGuard::FrameGuard(Totals& totals, Time now)
    : totals_(totals), received_(kPrefaceBytes), sent_(0), progress_(now) {}

void FrameGuard::Received(ByteView bytes, Time now) {
  received_.Scan(bytes, [&](const FrameHeader& frame) { OnReceived(frame, now); });
  ForgetFinished();
  if (offence_.empty() && idle_frames_.Left(now) < 0) {
    offence_ = "it floods us with frames that carry no call";
  }
}

void FrameGuard::OnReceived(const FrameHeader& frame, Time now) {
  if (frame.type == kHeaders || frame.type == kContinuation) {
    OnHeaderBlock(frame, now);
  } else if (frame.type == kData) {
    OnData(frame, now);
  } else if (frame.type == kRstStream && streams_.contains(frame.stream)) {
    OnReset(frame.stream, now);
  } else {
    Spend(now);
  }
  if (!EndsStream(frame)) return;
  const auto it = streams_.find(frame.stream);
  if (it != streams_.end()) Finish(it->second);
}

// A client that gave up a call at its deadline does this too, and perhaps for thousands at once.
void FrameGuard::OnReset(uint32_t stream, Time now) {
  Close(stream);
  resets_.Take(1, now);
  MutexLock lock(&totals_.mu);
  totals_.resets.Take(1, now);
}

bool FrameGuard::MayRead(Time now) {
  // Not those of which the rest is still to be read: they would wait for ever.
  const int64_t waiting = static_cast<int64_t>(streams_.size()) - unfinished_;
  if (totals_.streams.load(std::memory_order_relaxed) >= kManyStreams && waiting >= kFewStreams) {
    return false;
  }
  if (resets_.Left(now) >= 0) return true;
  MutexLock lock(&totals_.mu);
  return totals_.resets.Left(now) >= 0;
}

void FrameGuard::OnHeaderBlock(const FrameHeader& frame, Time now) {
  if (frame.type == kHeaders && frame.stream > last_stream_) {
    last_stream_ = frame.stream;
    if (streams_.empty()) progress_ = now;
    streams_.emplace(frame.stream, Stream{});
    if (streams_.size() > kMaxStreams) offence_ = "it opens more calls at once than it may";
    begun_.push_back({frame.stream, now});
    ++unfinished_;
    totals_.streams.fetch_add(1, std::memory_order_relaxed);
    totals_.unfinished.fetch_add(1, std::memory_order_relaxed);
  } else {
    Spend(now);  // a continuation, or trailers, which a call has none of
  }
  header_block_ += frame.size;
  if (header_block_ > kMaxHeaderBlock) offence_ = "it sends a header block that is too large";
  if ((frame.flags & kEndHeaders) != 0) header_block_ = 0;
}

void FrameGuard::OnData(const FrameHeader& frame, Time now) {
  const auto it = streams_.find(frame.stream);
  if (it == streams_.end() || it->second.finished || (frame.size == 0 && !EndsStream(frame))) {
    Spend(now);
    return;
  }
  if (EndsStream(frame)) return;
  it->second.bytes += frame.size;
  unfinished_bytes_ += frame.size;
  const int64_t of_all = totals_.unfinished_bytes.fetch_add(frame.size) + frame.size;
  if (of_all > kMaxUnfinishedBytes && unfinished_bytes_ > kFewUnfinishedBytes) {
    offence_ = "it sends messages that do not end";
  }
}

void FrameGuard::Sent(ByteView bytes, Time now) {
  sent_.Scan(bytes, [&](const FrameHeader& frame) { OnSent(frame, now); });
  ForgetFinished();
}

void FrameGuard::OnSent(const FrameHeader& frame, Time now) {
  if (!EndsStream(frame) && frame.type != kRstStream) return;
  progress_ = now;
  if (EndsStream(frame)) idle_frames_.Give(kIdleFramesPerCall);
  Close(frame.stream);
}

void FrameGuard::Finish(Stream& stream) {
  if (stream.finished) return;
  stream.finished = true;
  --unfinished_;
  unfinished_bytes_ -= stream.bytes;
  totals_.unfinished.fetch_sub(1, std::memory_order_relaxed);
  totals_.unfinished_bytes.fetch_sub(stream.bytes);
  stream.bytes = 0;
}

void FrameGuard::Close(uint32_t id) {
  const auto it = streams_.find(id);
  if (it == streams_.end()) return;
  Finish(it->second);
  streams_.erase(it);
  totals_.streams.fetch_sub(1, std::memory_order_relaxed);
}

bool FrameGuard::IsUnfinished(uint32_t id) const {
  const auto it = streams_.find(id);
  return it != streams_.end() && !it->second.finished;
}

void FrameGuard::ForgetFinished() {
  while (!begun_.empty() && !IsUnfinished(begun_.front().stream)) begun_.pop_front();
}

absl::string_view FrameGuard::Verdict(Time now) const {
  if (!offence_.empty()) return offence_;
  const auto age = begun_.empty() ? Time::duration::zero() : now - begun_.front().at;
  const bool crowded = totals_.unfinished.load(std::memory_order_relaxed) > kManyUnfinished &&
                       unfinished_ > static_cast<int64_t>(kFewUnfinished);
  if (age > kUnfinishedTimeout || (crowded && age > kUnfinishedMoment)) {
    return "it began calls and did not send the rest";
  }
  if (!streams_.empty() && now - progress_ > kUnansweredTimeout) {
    return "it does not take the answers";
  }
  return {};
}

void FrameGuard::End() {
  while (!streams_.empty()) Close(streams_.begin()->first);
  begun_.clear();
}

}  // namespace kekd
