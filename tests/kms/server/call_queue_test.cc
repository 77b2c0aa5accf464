#include "kms/server/call_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

namespace kekd::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;

class CallQueueTest : public ::testing::Test {
 protected:
  // Takes `cost_` to be run, and writes down what became of it.
  struct Call final : public QueuedCall {
    Call(CallQueueTest& test_in, std::string name_in) : test(test_in), name(std::move(name_in)) {}
    void Run() override {
      test.now_ += test.cost_;
      test.run_.push_back(name);
    }
    void Refuse() override { test.refused_.push_back(name); }
    CallQueueTest& test;
    const std::string name;
  };

  void Offer(const std::string& name, CallQueue::Duration left = seconds(3), size_t lane = 0) {
    calls_.push_back(std::make_unique<Call>(*this, name));
    queue_.Offer(lane, calls_.back().get(), [&] { return now_ + left; });
  }

  // Has somebody wait, so that what follows has to queue.
  void BeBusy() {
    now_ += milliseconds(100);
    Offer("first");
    ASSERT_FALSE(queue_.empty());
  }

  CallQueue::Time now_ = CallQueue::Time() + seconds(1000);
  CallQueue::Duration cost_ = std::chrono::microseconds(20);
  bool behind_ = false;
  std::vector<std::string> run_;
  std::vector<std::string> refused_;
  std::vector<std::unique_ptr<Call>> calls_;
  CallQueue queue_{[this] { return now_; }, [this](CallQueue::Time /*now*/) { return behind_; }};
};

TEST_F(CallQueueTest, RunsACallAtOnceWhileThereIsTime) {
  queue_.BeginTurn();
  Offer("a");
  EXPECT_THAT(run_, ElementsAre("a"));
  EXPECT_TRUE(queue_.empty());
}

TEST_F(CallQueueTest, LooksForOthersAfterATurn) {
  queue_.BeginTurn();
  cost_ = CallQueue::kTurn;
  Offer("a");
  Offer("b");
  EXPECT_THAT(run_, ElementsAre("a"));
  queue_.RunTurn();
  EXPECT_THAT(run_, ElementsAre("a", "b"));
}

TEST_F(CallQueueTest, RunsForNoLongerThanATurn) {
  BeBusy();
  for (int i = 0; i < 10; ++i) Offer(std::to_string(i));
  cost_ = CallQueue::kTurn;
  queue_.RunTurn();
  EXPECT_THAT(run_, ElementsAre("first"));
  queue_.RunAll();
  EXPECT_EQ(run_.size(), 11u);
}

TEST_F(CallQueueTest, AStormOfOneMethodDoesNotHoldUpAnother) {
  BeBusy();
  for (int i = 0; i < 1000; ++i) Offer("storm", seconds(3), 0);
  Offer("status", seconds(3), 2);
  cost_ = CallQueue::kTurn / 3;
  queue_.RunTurn();
  EXPECT_THAT(run_, ::testing::Contains("status"));
}

TEST_F(CallQueueTest, RefusesAtOnceWhatCannotBeAnsweredInTime) {
  BeBusy();
  cost_ = milliseconds(1);
  for (int i = 0; i < 2000; ++i) {  // two calls a turn, so that somebody always waits
    Offer("warm up");
    Offer("warm up");
    queue_.RunTurn();
  }
  ASSERT_EQ(queue_.refused(), 0u);
  for (int i = 0; i < 10000; ++i) Offer("storm");
  // 3 s less a margin are enough for some 2600 calls of 1 ms.
  EXPECT_GT(queue_.refused(), 7000u);
  EXPECT_LT(queue_.refused(), 8000u);
  EXPECT_EQ(refused_.size(), queue_.refused());
  Offer("patient", seconds(30));
  const CallQueue::Time begin = now_;
  const size_t refused = refused_.size();
  queue_.RunAll();
  EXPECT_LE(refused_.size(), refused + 50);  // whoever was let in is answered; it is an estimate
  EXPECT_LT(now_ - begin, seconds(3));
  EXPECT_EQ(run_.back(), "patient");
}

TEST_F(CallQueueTest, NeverRunsWhatIsOverdue) {
  BeBusy();
  Offer("slow", seconds(3));
  now_ += seconds(4);  // as if the process had been stopped
  queue_.RunTurn();
  EXPECT_TRUE(run_.empty());
  EXPECT_THAT(refused_, ElementsAre("first", "slow"));
}

TEST_F(CallQueueTest, LooksAtTheDeadlineOfWhatHasWaitedElsewhere) {
  queue_.BeginTurn();
  behind_ = true;
  Offer("too late", -milliseconds(1));
  EXPECT_THAT(refused_, ElementsAre("too late"));
  Offer("in time", seconds(2));
  queue_.RunTurn();
  EXPECT_THAT(run_, ElementsAre("in time"));
}

TEST_F(CallQueueTest, AShortDeadlineAloneIsNoReasonToRefuse) {
  BeBusy();
  queue_.RunAll();
  now_ += milliseconds(100);
  Offer("short", milliseconds(20));
  queue_.RunTurn();
  EXPECT_THAT(run_, ElementsAre("first", "short"));
}

TEST_F(CallQueueTest, ForgetsASlowHour) {
  cost_ = seconds(1);
  for (int i = 0; i < 5; ++i) BeBusy(), queue_.RunAll();
  now_ += seconds(10);
  BeBusy();
  for (int i = 0; i < 10000; ++i) Offer("burst");
  EXPECT_EQ(queue_.refused(), 0u);
}

}  // namespace
}  // namespace kekd::testing
