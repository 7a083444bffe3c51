#include "broker/grpc/frame_order.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace gregor {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class FrameOrderTest : public testing::Test {
 protected:
  using Order = FrameOrder<std::string>;

  Order::Ticket Admit(const std::string& topic, int64_t partition, int32_t attempt = 0) {
    return order_.Admit({.topic = topic, .topic_id = {}, .partition = partition}, attempt);
  }
  // What may be sent once the ticket's answer is known.
  std::vector<std::string> Settle(const Order::Ticket& ticket, std::string answer,
                                  bool failed = false) {
    std::vector<std::string> sent;
    order_.Settle(ticket, std::move(answer), failed,
                  [&](std::string each) { sent.push_back(std::move(each)); });
    return sent;
  }

  Order order_;
};

TEST_F(FrameOrderTest, AnswersOfALaneLeaveInTheOrderOfItsFrames) {
  const auto a = Admit("t", 0), b = Admit("t", 0), c = Admit("t", 0), other = Admit("t", 1);
  EXPECT_THAT(Settle(c, "c"), IsEmpty());
  EXPECT_THAT(Settle(other, "other"), ElementsAre("other"));
  EXPECT_THAT(Settle(a, "a"), ElementsAre("a"));
  EXPECT_THAT(Settle(b, "b"), ElementsAre("b", "c"));
  EXPECT_EQ(order_.lane_count(), 0u);
}

TEST_F(FrameOrderTest, LanesAreToldApartByEverythingThatNamesThem) {
  const auto a = order_.Admit({"ab", "c", 0}, 0);
  const auto b = order_.Admit({"a", "bc", 0}, 0);
  const auto c = order_.Admit({"ab", "c", -1}, 0);
  EXPECT_NE(a.lane, b.lane);
  EXPECT_NE(a.lane, c.lane);
  EXPECT_EQ(a.lane, order_.Admit({"ab", "c", 0}, 0).lane);
}

TEST_F(FrameOrderTest, AfterAFailureOnlyAHigherAttemptIsAdmitted) {
  const auto a = Admit("t", 0), b = Admit("t", 0);
  a.Fail();
  EXPECT_THAT(Settle(a, "error", true), ElementsAre("error"));
  EXPECT_LT(b.first_failed->load(), b.number);  // it may be on its way
  EXPECT_EQ(order_.failed_count(), 1u);
  const auto c = Admit("t", 0);
  EXPECT_EQ(c.first_failed, nullptr);
  EXPECT_THAT(Settle(c, "refused"), IsEmpty());  // after b
  EXPECT_THAT(Settle(b, "prior failed"), ElementsAre("prior failed", "refused"));
  EXPECT_EQ(order_.lane_count(), 1u);  // the failure is remembered
  const auto again = Admit("t", 0, 1);
  ASSERT_NE(again.first_failed, nullptr);
  EXPECT_EQ(again.first_failed->load(), Order::kNone);
  EXPECT_THAT(Settle(again, "ok"), ElementsAre("ok"));
  EXPECT_EQ(order_.failed_count(), 0u);
  EXPECT_EQ(order_.lane_count(), 0u);
}

TEST_F(FrameOrderTest, AFailureTouchesNoFrameBeforeIt) {
  const auto a = Admit("t", 0), b = Admit("t", 0), c = Admit("t", 0), d = Admit("t", 0);
  c.Fail();
  Settle(c, "error", true);
  EXPECT_GE(b.first_failed->load(), b.number);  // it is on its way, and goes on
  EXPECT_LT(d.first_failed->load(), d.number);
  // One of those before it may fail later than it did: that is the first one then.
  a.Fail();
  EXPECT_LT(b.first_failed->load(), b.number);
  c.Fail();
  EXPECT_EQ(a.first_failed->load(), a.number);
}

TEST_F(FrameOrderTest, ALateFailureOfAnOldAttemptDoesNotStopTheNewOne) {
  const auto a = Admit("t", 0), b = Admit("t", 0);
  Settle(a, "error", true);
  const auto again = Admit("t", 0, 1);
  EXPECT_THAT(Settle(b, "late error", true), ElementsAre("late error"));
  EXPECT_EQ(order_.failed_count(), 0u);
  EXPECT_NE(Admit("t", 0, 1).first_failed, nullptr);
  EXPECT_THAT(Settle(again, "ok"), ElementsAre("ok"));
}

TEST_F(FrameOrderTest, FailuresOfOneLaneDoNotTouchAnother) {
  Settle(Admit("t", 0), "error", true);
  EXPECT_EQ(Admit("t", 0).first_failed, nullptr);
  EXPECT_NE(Admit("t", 1).first_failed, nullptr);
  EXPECT_NE(Admit("u", 0).first_failed, nullptr);
}

}  // namespace
}  // namespace gregor
