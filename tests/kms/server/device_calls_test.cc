#include "kms/server/device_calls.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "tests/support/status_matchers.h"

namespace kekd::testing {
namespace {

using ::testing::HasSubstr;

// A device that one can hold up.
class Gate final {
 public:
  void Open() {
    MutexLock lock(&mu_);
    open_ = true;
    changed_.NotifyAll();
  }
  // Waits until it is open; DeadlineExceeded if that takes until `deadline`.
  absl::Status Pass(absl::Time deadline) {
    MutexLock lock(&mu_);
    ++inside_;
    changed_.NotifyAll();
    while (!open_ && absl::Now() < deadline) changed_.WaitFor(&mu_, deadline - absl::Now());
    return open_ ? absl::OkStatus() : absl::DeadlineExceededError("the gate is shut");
  }
  // Waits until so many have come.
  void AwaitInside(int count) {
    MutexLock lock(&mu_);
    while (inside_ < count) changed_.Wait(&mu_);
  }

 private:
  Mutex mu_;
  CondVar changed_;
  bool open_ ABSL_GUARDED_BY(mu_) = false;
  int inside_ ABSL_GUARDED_BY(mu_) = 0;
};

class TestWork final : public DeviceWork {
 public:
  TestWork(std::function<absl::Status(absl::Time)> run, std::atomic<int>& alive)
      : run_(std::move(run)), alive_(alive) {
    ++alive_;
  }
  ~TestWork() override { --alive_; }
  absl::Status Run(absl::Time deadline) override { return run_(deadline); }

 private:
  const std::function<absl::Status(absl::Time)> run_;
  std::atomic<int>& alive_;
};

class DeviceCallsTest : public ::testing::Test {
 protected:
  static absl::Time Soon() { return absl::Now() + absl::Seconds(60); }

  std::shared_ptr<TestWork> Work(std::function<absl::Status(absl::Time)> run) {
    return std::make_shared<TestWork>(
        [this, run = std::move(run)](absl::Time deadline) {
          ++runs_;
          return run(deadline);
        },
        alive_);
  }
  std::shared_ptr<TestWork> GatedWork() {
    return Work([this](absl::Time deadline) { return gate_.Pass(deadline); });
  }
  DeviceCalls::Answer Note() {
    return [this](const absl::Status& status, const DeviceWork&) {
      MutexLock lock(&mu_);
      answers_.push_back(status);
      changed_.NotifyAll();
    };
  }
  std::vector<absl::Status> AwaitAnswers(size_t count) {
    MutexLock lock(&mu_);
    while (answers_.size() < count) changed_.Wait(&mu_);
    return answers_;
  }
  size_t AnswerCount() {
    MutexLock lock(&mu_);
    return answers_.size();
  }
  // Makes `calls` busy with `count` works that wait at the gate.
  void Block(DeviceCalls& calls, int count) {
    for (int i = 0; i < count; ++i) calls.Submit("", GatedWork(), Soon(), Note());
    gate_.AwaitInside(count);
  }

  std::atomic<int> alive_{0};
  std::atomic<int> runs_{0};
  Gate gate_;
  Mutex mu_;
  CondVar changed_;
  std::vector<absl::Status> answers_ ABSL_GUARDED_BY(mu_);
};

TEST_F(DeviceCallsTest, AnswersWithWhatTheWorkReturned) {
  DeviceCalls calls;
  calls.Submit("", Work([](absl::Time) { return absl::OkStatus(); }), Soon(), Note());
  KEKD_EXPECT_OK(AwaitAnswers(1)[0]);
  calls.Submit("", Work([](absl::Time) { return absl::DataLossError("bent"); }), Soon(), Note());
  EXPECT_THAT(AwaitAnswers(2)[1], StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(DeviceCallsTest, EqualCallsShareOneRun) {
  DeviceCalls calls({.threads = 2});
  Block(calls, 1);
  for (int i = 0; i < 1000; ++i) calls.Submit("same", GatedWork(), Soon(), Note());
  calls.Submit("other", GatedWork(), Soon(), Note());
  gate_.Open();
  for (const absl::Status& status : AwaitAnswers(1002)) KEKD_EXPECT_OK(status);
  EXPECT_EQ(runs_, 3);
  // Nothing is kept: who comes later asks the device again.
  calls.Submit("same", GatedWork(), Soon(), Note());
  AwaitAnswers(1003);
  EXPECT_EQ(runs_, 4);
}

TEST_F(DeviceCallsTest, WorksOnSoManyAtOnceAsItHasThreads) {
  DeviceCalls calls({.threads = 3});
  Block(calls, 3);
  calls.Submit("", GatedWork(), Soon(), Note());
  absl::SleepFor(absl::Milliseconds(20));
  EXPECT_EQ(runs_, 3);
  gate_.Open();
  AwaitAnswers(4);
  EXPECT_EQ(runs_, 4);
}

TEST_F(DeviceCallsTest, RefusesAtOnceWhatADeviceThatHangsWillNotDo) {
  DeviceCalls calls({.threads = 1});
  Block(calls, 1);
  absl::SleepFor(absl::Milliseconds(100));  // the device takes that long at least
  calls.Submit("", GatedWork(), absl::Now() + absl::Milliseconds(100), Note());
  EXPECT_EQ(AnswerCount(), 1u);  // within Submit
  EXPECT_THAT(AwaitAnswers(1)[0], StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_EQ(calls.refused(), 1u);
  calls.Submit("", GatedWork(), Soon(), Note());  // has time
  gate_.Open();
  AwaitAnswers(3);
  EXPECT_EQ(runs_, 2);
}

TEST_F(DeviceCallsTest, BoundsThoseThatWait) {
  DeviceCalls calls({.threads = 1, .most_waiting = 5});
  Block(calls, 1);
  for (int i = 0; i < 6; ++i) calls.Submit("", GatedWork(), Soon(), Note());
  EXPECT_THAT(AwaitAnswers(1)[0], StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_EQ(AnswerCount(), 1u);
  gate_.Open();
  AwaitAnswers(7);
}

TEST_F(DeviceCallsTest, BoundsThoseThatShareARun) {
  DeviceCalls calls({.threads = 1, .most_calls = 3});
  calls.Submit("same", GatedWork(), Soon(), Note());
  gate_.AwaitInside(1);
  calls.Submit("same", GatedWork(), Soon(), Note());
  calls.Submit("same", GatedWork(), Soon(), Note());
  EXPECT_EQ(AnswerCount(), 0u);
  calls.Submit("same", GatedWork(), Soon(), Note());
  EXPECT_THAT(AwaitAnswers(1)[0], StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_EQ(calls.refused(), 1u);
  gate_.Open();
  for (const absl::Status& status : AwaitAnswers(4)) {
    EXPECT_TRUE(status.ok() || absl::IsResourceExhausted(status)) << status;
  }
  EXPECT_EQ(runs_, 1);
  // They count no more. (That the first run is off the books by now can't be seen from here.)
  calls.Submit("another", GatedWork(), Soon(), Note());
  KEKD_EXPECT_OK(AwaitAnswers(5)[4]);
}

TEST_F(DeviceCallsTest, RefusesToJoinARunThatHangs) {
  DeviceCalls calls({.threads = 2});
  calls.Submit("same", GatedWork(), Soon(), Note());
  gate_.AwaitInside(1);
  absl::SleepFor(absl::Milliseconds(400));  // many times what a call is taken to need
  calls.Submit("same", GatedWork(), absl::Now() + absl::Milliseconds(300), Note());
  EXPECT_THAT(AwaitAnswers(1)[0], StatusIs(absl::StatusCode::kResourceExhausted));
  calls.Submit("same", GatedWork(), Soon(), Note());
  EXPECT_EQ(AnswerCount(), 1u);
  gate_.Open();
  KEKD_EXPECT_OK(AwaitAnswers(3)[2]);
}

TEST_F(DeviceCallsTest, BelievesADeviceThatHasRecovered) {
  DeviceCalls calls({.threads = 1});
  // It hung for longer than any later call has time.
  calls.Submit("", GatedWork(), absl::Now() + absl::Milliseconds(400), Note());
  EXPECT_THAT(AwaitAnswers(1)[0], StatusIs(absl::StatusCode::kDeadlineExceeded));
  gate_.Open();
  for (size_t i = 2; i < 50; ++i) {
    calls.Submit("", GatedWork(), absl::Now() + absl::Seconds(5), Note());
    KEKD_EXPECT_OK(AwaitAnswers(i).back());
  }
}

TEST_F(DeviceCallsTest, DoesNotRunWhatHasNoTimeLeft) {
  DeviceCalls calls({.threads = 1});
  Block(calls, 1);
  calls.Submit("late", GatedWork(), absl::Now() + absl::Milliseconds(50), Note());
  absl::SleepFor(absl::Milliseconds(60));
  gate_.Open();
  EXPECT_THAT(AwaitAnswers(2)[1], StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_EQ(runs_, 1);
  calls.Submit("past", GatedWork(), absl::Now() - absl::Seconds(1), Note());
  EXPECT_THAT(AwaitAnswers(3)[2], StatusIs(absl::StatusCode::kResourceExhausted));
}

TEST_F(DeviceCallsTest, WhoJoinsWithMoreTimeIsNotFailedByWhoHadLess) {
  DeviceCalls calls({.threads = 1});
  const auto work = [this](absl::Time deadline) {
    if (runs_ > 1) return absl::OkStatus();
    return gate_.Pass(deadline);
  };
  calls.Submit("same", Work(work), absl::Now() + absl::Milliseconds(200), Note());
  gate_.AwaitInside(1);
  calls.Submit("same", Work(work), Soon(), Note());
  const std::vector<absl::Status> answers = AwaitAnswers(2);
  EXPECT_THAT(answers[0], StatusIs(absl::StatusCode::kDeadlineExceeded));
  KEKD_EXPECT_OK(answers[1]);
  EXPECT_EQ(runs_, 2);
}

TEST_F(DeviceCallsTest, StopAnswersEverybodyAlsoOfWhatRuns) {
  DeviceCalls calls({.threads = 1});
  Block(calls, 1);
  calls.Submit("same", GatedWork(), Soon(), Note());
  calls.Submit("same", GatedWork(), Soon(), Note());
  EXPECT_EQ(AnswerCount(), 0u);
  calls.Stop();
  EXPECT_EQ(AnswerCount(), 3u);
  for (const absl::Status& status : AwaitAnswers(3)) {
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kUnavailable, HasSubstr("stopping")));
  }
  calls.Submit("", GatedWork(), Soon(), Note());
  EXPECT_EQ(AnswerCount(), 4u);
  gate_.Open();
  calls.Stop();
  EXPECT_EQ(AnswerCount(), 4u);
  EXPECT_EQ(runs_, 1);
}

// With it go the secrets that it holds.
TEST_F(DeviceCallsTest, WorkGoesWithItsLastAnswer) {
  {
    DeviceCalls calls({.threads = 2});
    gate_.Open();
    for (int i = 0; i < 20; ++i) calls.Submit(i % 2 ? "same" : "", GatedWork(), Soon(), Note());
    AwaitAnswers(20);
    const absl::Time limit = absl::Now() + absl::Seconds(10);
    while (alive_ > 0 && absl::Now() < limit) absl::SleepFor(absl::Milliseconds(1));
    EXPECT_EQ(alive_, 0);
    calls.Submit("", GatedWork(), absl::InfinitePast(), Note());
    EXPECT_EQ(alive_, 0);
  }
}

}  // namespace
}  // namespace kekd::testing
