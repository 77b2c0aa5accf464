#include "kms/server/frame_guard.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

namespace kekd::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr uint8_t kData = 0, kHeaders = 1, kReset = 3, kSettings = 4, kPing = 6, kContinuation = 9;
constexpr uint8_t kEndStream = 1, kEndHeaders = 4;

std::string Frame(uint8_t type, uint8_t flags, uint32_t stream, size_t size = 0) {
  std::string frame;
  for (const int shift : {16, 8, 0}) frame.push_back(static_cast<char>(size >> shift));
  frame.push_back(static_cast<char>(type));
  frame.push_back(static_cast<char>(flags));
  for (const int shift : {24, 16, 8, 0}) frame.push_back(static_cast<char>(stream >> shift));
  return frame.append(size, 'x');
}

class FrameGuardTest : public ::testing::Test {
 protected:
  FrameGuardTest() { Connect(); }

  void Connect() {
    guard_ = std::make_unique<FrameGuard>(totals_, now_);
    Receive("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  }
  void Receive(const std::string& bytes) { guard_->Received(AsBytes(bytes), now_); }
  void Send(const std::string& bytes) { guard_->Sent(AsBytes(bytes), now_); }
  void Call(uint32_t stream) {
    Receive(Frame(kHeaders, kEndHeaders, stream, 80) + Frame(kData, kEndStream, stream, 200));
  }
  void Answer(uint32_t stream) {
    Send(Frame(kHeaders, kEndHeaders, stream, 30) + Frame(kData, 0, stream, 40) +
         Frame(kHeaders, kEndHeaders | kEndStream, stream, 20));
  }
  std::string Verdict() const { return std::string(guard_->Verdict(now_)); }

  FrameGuard::Totals totals_;
  FrameGuard::Time now_ = FrameGuard::Time() + seconds(1000);
  std::unique_ptr<FrameGuard> guard_;
  uint32_t next_ = 1;
};

TEST_F(FrameGuardTest, KnowsWhichCallsAreOpenWhateverPiecesTheyComeIn) {
  const std::string call = Frame(kHeaders, kEndHeaders, 1, 80) + Frame(kData, kEndStream, 1, 200) +
                           Frame(kPing, 0, 0, 8);
  for (const char byte : call) Receive(std::string(1, byte));
  EXPECT_EQ(guard_->open_streams(), 1u);
  Call(3);
  EXPECT_EQ(totals_.streams, 2);
  Answer(1);
  EXPECT_EQ(guard_->open_streams(), 1u);
  Receive(Frame(kReset, 0, 3, 4));
  EXPECT_EQ(guard_->open_streams(), 0u);
  EXPECT_EQ(totals_.streams, 0);
}

TEST_F(FrameGuardTest, LeavesAClientAloneThatOnlyCalls) {
  for (int i = 0; i < 100000; ++i) {
    now_ += std::chrono::microseconds(50);
    const uint32_t stream = next_;
    next_ += 2;
    Call(stream);
    // A window update, a ping and the answer to one, as grpc-go sends.
    Receive(Frame(8, 0, 0, 4) + Frame(kPing, 0, 0, 8) + Frame(kPing, 1, 0, 8));
    ASSERT_TRUE(guard_->MayRead(now_));
    Answer(stream);
    ASSERT_EQ(Verdict(), "");
  }
}

TEST_F(FrameGuardTest, LeavesAnIdleConnectionAlone) {
  Call(1);
  Answer(1);
  now_ += std::chrono::hours(1000);
  EXPECT_EQ(Verdict(), "");
  Receive(Frame(kHeaders, kEndHeaders, 3, 80));
  EXPECT_EQ(Verdict(), "");
}

TEST_F(FrameGuardTest, LetsManyCallsAtOnceTimeOut) {
  for (int round = 0; round < 20; ++round) {
    for (uint32_t i = 0; i < 120; ++i) Call(next_ + 2 * i);
    now_ += seconds(3);
    for (uint32_t i = 0; i < 120; ++i) Receive(Frame(kReset, 0, next_ + 2 * i, 4));
    next_ += 240;
    EXPECT_EQ(Verdict(), "");
    EXPECT_TRUE(guard_->MayRead(now_));
  }
}

// As grpc-go does for every call whose deadline passes, at whatever rate its callers come.
TEST_F(FrameGuardTest, NeverEndsAClientForCallsThatItTakesBackUnanswered) {
  for (int i = 0; i < 100000; ++i) {
    now_ += std::chrono::microseconds(200);
    const uint32_t stream = next_;
    next_ += 2;
    Call(stream);
    Receive(Frame(kReset, 0, stream, 4));
    ASSERT_EQ(Verdict(), "") << i;
    ASSERT_TRUE(guard_->MayRead(now_)) << i;
  }
}

TEST_F(FrameGuardTest, EndsFloodsOfFramesThatCarryNoCall) {
  for (const std::string& frame :
       {Frame(kSettings, 0, 0, 6), Frame(kPing, 0, 0, 8), Frame(8, 0, 0, 4), Frame(2, 0, 1, 5),
        Frame(kReset, 0, 7, 4), Frame(kData, 0, 1, 0), Frame(200, 0, 0, 3),
        Frame(kContinuation, 0, 1, 0)}) {
    Connect();
    Receive(Frame(kHeaders, kEndHeaders, 1, 80));
    for (int i = 0; i < 3000; ++i) Receive(frame);
    EXPECT_EQ(Verdict(), "");
    for (int i = 0; i < 2000; ++i) Receive(frame);
    EXPECT_NE(Verdict(), "") << static_cast<int>(frame[3]);
  }
}

TEST_F(FrameGuardTest, BoundsCallsThatAreTakenBack) {
  // By many connections: none is read after its first hundred, until the rest has died down.
  std::vector<std::unique_ptr<FrameGuard>> others;
  for (int i = 0; i < 60; ++i) {
    Connect();
    for (uint32_t stream = 1; stream < 400; stream += 2) {
      Receive(Frame(kHeaders, kEndHeaders, stream, 80) + Frame(kReset, 0, stream, 4));
    }
    others.push_back(std::move(guard_));
  }
  EXPECT_FALSE(others[0]->MayRead(now_));
  Connect();
  EXPECT_TRUE(guard_->MayRead(now_));
  Receive(Frame(kHeaders, kEndHeaders, 1, 80) + Frame(kReset, 0, 1, 4));
  EXPECT_TRUE(guard_->MayRead(now_));
  now_ += seconds(5);
  EXPECT_TRUE(others[0]->MayRead(now_));
}

TEST_F(FrameGuardTest, BoundsTheOpenStreamsOfAConnection) {
  for (uint32_t i = 0; i < FrameGuard::kMaxStreams; ++i) Call(1 + 2 * i);
  EXPECT_EQ(Verdict(), "");
  Call(10001);
  EXPECT_NE(Verdict(), "");
}

TEST_F(FrameGuardTest, BoundsOpenStreamsOfAllAndLeavesSomeToEverybody) {
  std::vector<std::unique_ptr<FrameGuard>> others;
  while (totals_.streams < FrameGuard::kManyStreams) {
    for (uint32_t i = 0; i < 100; ++i) Call(1 + 2 * i);
    EXPECT_EQ(Verdict(), "");
    others.push_back(std::move(guard_));
    Connect();
  }
  EXPECT_FALSE(others[0]->MayRead(now_));
  EXPECT_TRUE(guard_->MayRead(now_));
  others.pop_back();
  EXPECT_TRUE(others[0]->MayRead(now_));
  others.clear();
  EXPECT_EQ(totals_.streams, 0);
}

TEST_F(FrameGuardTest, GoesOnReadingCallsOfWhichTheRestIsStillToCome) {
  totals_.streams = FrameGuard::kManyStreams;
  for (uint32_t stream = 1; stream < 601; stream += 2) {
    Receive(Frame(kHeaders, kEndHeaders, stream, 80));
  }
  EXPECT_TRUE(guard_->MayRead(now_));
  for (uint32_t stream = 1; stream < 101; stream += 2) Receive(Frame(kData, kEndStream, stream, 9));
  EXPECT_FALSE(guard_->MayRead(now_));
}

TEST_F(FrameGuardTest, EndsWhoHoldsUnfinishedCallsWhenThereAreManyOfThem) {
  const auto begin_calls = [&](uint32_t count) {
    for (uint32_t i = 0; i < count; ++i) Receive(Frame(kHeaders, kEndHeaders, 1 + 2 * i, 80));
  };
  std::vector<std::unique_ptr<FrameGuard>> others;
  while (totals_.unfinished <= FrameGuard::kManyUnfinished) {
    begin_calls(500);
    others.push_back(std::move(guard_));
    Connect();
  }
  begin_calls(100);
  now_ += FrameGuard::kUnfinishedMoment;
  EXPECT_EQ(others[0]->Verdict(now_), "");
  now_ += milliseconds(1);
  EXPECT_NE(others[0]->Verdict(now_), "");
  EXPECT_EQ(Verdict(), "");
  while (totals_.unfinished > FrameGuard::kManyUnfinished) others.pop_back();
  EXPECT_EQ(others[0]->Verdict(now_), "");
}

TEST_F(FrameGuardTest, BoundsAHeaderBlock) {
  Receive(Frame(kHeaders, 0, 1, 16384) + Frame(kContinuation, 0, 1, 16000));
  EXPECT_EQ(Verdict(), "");
  Receive(Frame(kContinuation, kEndHeaders, 1, 1000));
  EXPECT_NE(Verdict(), "");
}

TEST_F(FrameGuardTest, BoundsMessagesThatDoNotEnd) {
  Receive(Frame(kHeaders, kEndHeaders, 1, 80));
  for (int i = 0; i < 1300; ++i) Receive(Frame(kData, 0, 1, 16000));  // 20 MB
  EXPECT_EQ(Verdict(), "");
  Receive(Frame(kData, kEndStream, 1, 16000));
  EXPECT_EQ(totals_.unfinished_bytes, 0);
  for (uint32_t stream = 3; stream < 203; stream += 2) {
    Receive(Frame(kHeaders, kEndHeaders, stream, 80));
    for (int i = 0; i < 30; ++i) Receive(Frame(kData, 0, stream, 16000));
  }
  EXPECT_NE(Verdict(), "");
  guard_.reset();
  EXPECT_EQ(totals_.unfinished_bytes, 0);
}

TEST_F(FrameGuardTest, EndsWhoLeavesCallsUnfinished) {
  now_ += seconds(3600);
  Receive(Frame(kHeaders, kEndHeaders, 1, 80));
  now_ += FrameGuard::kUnfinishedTimeout;
  EXPECT_EQ(Verdict(), "");
  now_ += milliseconds(1);
  EXPECT_NE(Verdict(), "");
}

TEST_F(FrameGuardTest, CallsThatAreAnsweredDoNotExcuseOneThatIsUnfinished) {
  Receive(Frame(kHeaders, kEndHeaders, 1, 80));
  for (uint32_t stream = 3; stream <= 13; stream += 2) {
    EXPECT_EQ(Verdict(), "");
    now_ += seconds(2);
    Call(stream);
    Answer(stream);
  }
  EXPECT_NE(Verdict(), "");
}

TEST_F(FrameGuardTest, BlamesNobodyForTheMessagesOfOthers) {
  totals_.unfinished_bytes = FrameGuard::kMaxUnfinishedBytes;
  Receive(Frame(kHeaders, kEndHeaders, 1, 80) + Frame(kData, 0, 1, 16000));
  EXPECT_EQ(Verdict(), "");
}

TEST_F(FrameGuardTest, EndsWhoDoesNotTakeTheAnswers) {
  Call(1);
  now_ += FrameGuard::kUnansweredTimeout;
  EXPECT_EQ(Verdict(), "");
  now_ += milliseconds(1);
  EXPECT_NE(Verdict(), "");
}

}  // namespace
}  // namespace kekd::testing
