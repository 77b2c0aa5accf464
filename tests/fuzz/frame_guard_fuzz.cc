// Both directions of a connection as the guard before gRPC sees them: what it counts does not
// depend on the pieces that the bytes come in, never goes below zero, and is nothing when the
// connection is.
#include <chrono>
#include <string>

#include "base/bytes.h"
#include "kms/server/frame_guard.h"
#include "tests/fuzz/choices.h"

namespace kekd {
namespace {

using ::kekd::testing::Choices;
using ::kekd::testing::Require;

// A guard and what it counts into.
struct Guarded {
  explicit Guarded(FrameGuard::Time now) : guard(totals, now) {}
  FrameGuard::Totals totals;
  FrameGuard guard;
};

// A frame with a header of small numbers, so that frames meet on one stream, or raw bytes.
std::string NextBytes(Choices& choices) {
  if (choices.Below(8) == 7) return std::string(choices.Take(choices.Below(32)));
  const uint8_t size = choices.Byte() % 24;
  std::string frame = {0, 0, static_cast<char>(size)};
  frame += static_cast<char>(choices.Below(11));
  frame += static_cast<char>(choices.Byte() & 0x5);
  frame += {0, 0, 0, static_cast<char>(choices.Below(8))};
  return frame + std::string(size, 'd');
}

void Feed(FrameGuard& guard, bool from_peer, ByteView bytes, FrameGuard::Time now) {
  if (from_peer) {
    guard.Received(bytes, now);
  } else {
    guard.Sent(bytes, now);
  }
}

void CheckSame(const Guarded& a, const Guarded& b, FrameGuard::Time now) {
  Require(a.guard.open_streams() == b.guard.open_streams());
  Require(a.totals.streams == static_cast<int64_t>(a.guard.open_streams()));
  Require(a.totals.streams == b.totals.streams);
  Require(a.totals.unfinished >= 0 && a.totals.unfinished <= a.totals.streams);
  Require(a.totals.unfinished == b.totals.unfinished);
  Require(a.totals.unfinished_bytes >= 0);
  Require(a.totals.unfinished_bytes == b.totals.unfinished_bytes);
  Require(a.guard.Verdict(now) == b.guard.Verdict(now));
}

}  // namespace
}  // namespace kekd

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace kekd;
  testing::Choices choices(AsText(ByteView(data, size)));
  FrameGuard::Time now = FrameGuard::Time() + std::chrono::hours(1);
  Guarded whole(now);
  Guarded pieces(now);
  const std::string preface(24, 'p');
  for (Guarded* const guarded : {&whole, &pieces}) {
    guarded->guard.Received(AsBytes(preface), now);
  }
  while (!choices.empty()) {
    const bool from_peer = choices.Below(4) != 3;
    if (choices.Below(16) == 15) now += std::chrono::seconds(choices.Below(70));
    const std::string bytes = NextBytes(choices);
    Feed(whole.guard, from_peer, AsBytes(bytes), now);
    const size_t step = 1 + choices.Below(12);
    for (size_t at = 0; at < bytes.size(); at += step) {
      Feed(pieces.guard, from_peer, AsBytes(bytes).subspan(at, step), now);
    }
    CheckSame(whole, pieces, now);
    testing::Require(whole.guard.MayRead(now) == pieces.guard.MayRead(now));
  }
  whole.guard.End();
  testing::Require(whole.totals.streams == 0 && whole.totals.unfinished == 0);
  testing::Require(whole.totals.unfinished_bytes == 0);
  return 0;
}
