#include "controller/operation_turns.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <string>
#include <utility>
#include <vector>

namespace gregor {
namespace {

// Runs what is posted in order, in a time of the test's own.
class ManualLoop final : public EventLoop {
 public:
  void Post(const char*, Task task) override { tasks_.push_back(std::move(task)); }
  TimerId After(Duration, const char*, Task) override { return {}; }
  void Cancel(TimerId) override {}
  bool InLoop() const override { return true; }
  const Clock& clock() const override { return clock_; }

  void RunOne() {
    Task task = std::move(tasks_.front());
    tasks_.pop_front();
    task();
  }
  void RunAll() {
    while (!tasks_.empty()) RunOne();
  }
  void Pass(Duration time) { clock_.now += time; }

 private:
  struct ManualClock final : Clock {
    MonotonicTime now{std::chrono::seconds(1)};
    MonotonicTime Now() const override { return now; }
    Timestamp WallNow() const override { return Timestamp(0); }
  };

  ManualClock clock_;
  std::deque<Task> tasks_;
};

class OperationTurnsTest : public testing::Test {
 protected:
  OperationTurns::Work Note(const std::string& name, Duration takes) {
    return [this, name, takes] {
      events_.push_back(name);
      loop_.Pass(takes);
    };
  }
  void Post(const std::string& name) {
    loop_.Post("test", [this, name] { events_.push_back(name); });
  }

  static constexpr Duration kShort = std::chrono::microseconds(10);
  static constexpr Duration kLong = std::chrono::milliseconds(300);

  ManualLoop loop_;
  OperationTurns turns_{loop_};
  std::vector<std::string> events_;
};

TEST_F(OperationTurnsTest, OneThatFindsNobodyBeforeItRunsAtOnce) {
  turns_.Add(Note("first", kShort));
  turns_.Add(Note("second", kShort));
  EXPECT_EQ(events_, (std::vector<std::string>{"first", "second"}));
}

TEST_F(OperationTurnsTest, AfterALongOneEverythingElseThatIsThereHasItsTurn) {
  Post("message");
  for (const char* name : {"first", "second", "third"}) turns_.Add(Note(name, kLong));
  loop_.RunOne();
  Post("heartbeat");
  EXPECT_EQ(events_, (std::vector<std::string>{"first", "message"}));
  loop_.RunOne();
  Post("later");
  loop_.RunAll();
  EXPECT_EQ(events_, (std::vector<std::string>{"first", "message", "second", "heartbeat", "third",
                                               "later"}));
}

TEST_F(OperationTurnsTest, ABurstOfShortOnesYieldsToo) {
  for (int i = 0; i < 10'000; ++i) turns_.Add(Note("short", kShort));
  Post("heartbeat");
  loop_.RunAll();
  ASSERT_EQ(events_.size(), 10'001u);
  const auto heartbeat = std::find(events_.begin(), events_.end(), "heartbeat") - events_.begin();
  EXPECT_GT(heartbeat, 10);
  EXPECT_LT(heartbeat, 1000);
}

TEST_F(OperationTurnsTest, TheyKeepTheirOrderAlsoWhereSomeComeWhileOthersWait) {
  turns_.Add(Note("first", kLong));
  turns_.Add(Note("second", kShort));
  loop_.RunOne();
  turns_.Add(Note("third", kLong));
  turns_.Add(Note("fourth", kLong));
  turns_.Add(Note("fifth", kLong));
  loop_.RunAll();
  EXPECT_EQ(events_, (std::vector<std::string>{"first", "second", "third", "fourth", "fifth"}));
}

TEST_F(OperationTurnsTest, WhatWaitsDoesNotRunAfterItsEnd) {
  {
    OperationTurns turns(loop_);
    turns.Add(Note("first", kLong));
    turns.Add(Note("never", kShort));
  }
  Post("later");
  loop_.RunAll();
  EXPECT_EQ(events_, (std::vector<std::string>{"first", "later"}));
}

}  // namespace
}  // namespace gregor
