#include "controller/operation_turns.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "tests/base/hand_loop.h"

namespace gregor {
namespace {

class OperationTurnsTest : public testing::Test {
 protected:
  OperationTurns::Work Note(const std::string& name, Duration takes) {
    return [this, name, takes] {
      events_.push_back(name);
      loop_.hand_clock.now += takes;
    };
  }
  void Post(const std::string& name) {
    loop_.Post("test", [this, name] { events_.push_back(name); });
  }

  static constexpr Duration kShort = std::chrono::microseconds(10);
  static constexpr Duration kLong = std::chrono::milliseconds(300);

  HandLoop loop_;
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

TEST_F(OperationTurnsTest, AtTheEndWhatWaitsRunsAtOnce) {
  for (const char* name : {"first", "second", "third"}) turns_.Add(Note(name, kLong));
  turns_.RunAll();
  EXPECT_EQ(events_, (std::vector<std::string>{"first", "second", "third"}));
  loop_.RunAll();
  EXPECT_EQ(events_.size(), 3u);
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
