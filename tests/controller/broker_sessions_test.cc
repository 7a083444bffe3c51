#include "controller/broker_sessions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace gregor {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::IsEmpty;

class BrokerSessionsTest : public testing::Test {
 protected:
  BrokerSessionsTest() { sessions_.Begin({NodeId{1}, NodeId{2}}, now_); }

  // Time passes as on a controller that works; returns who expired on the way.
  std::vector<NodeId> Pass(Duration duration) {
    std::vector<NodeId> expired;
    for (const MonotonicTime end = now_ + duration; now_ < end;) {
      now_ += milliseconds(100);
      for (const NodeId node : sessions_.Expired(now_)) {
        expired.push_back(node);
        sessions_.Forget(node);
      }
    }
    return expired;
  }
  void Hear(int32_t node) { sessions_.OnHeard(NodeId{node}, Offset{10}, now_); }

  MonotonicTime now_{seconds(1000)};
  BrokerSessions sessions_{{.timeout = seconds(6), .heartbeat_interval = milliseconds(500)}};
};

TEST_F(BrokerSessionsTest, ANewControllerGivesAllTheirWholeTime) {
  EXPECT_THAT(Pass(milliseconds(5900)), IsEmpty());
  EXPECT_THAT(Pass(milliseconds(100)), ElementsAre(NodeId{1}, NodeId{2}));
}

TEST_F(BrokerSessionsTest, WhoSpeaksStays) {
  Pass(seconds(5));
  Hear(1);
  EXPECT_THAT(Pass(seconds(3)), ElementsAre(NodeId{2}));
  EXPECT_THAT(Pass(milliseconds(2900)), IsEmpty());
  EXPECT_THAT(Pass(milliseconds(200)), ElementsAre(NodeId{1}));
}

TEST_F(BrokerSessionsTest, OneWhoseConnectionWasLostIsNotWaitedFor) {
  Hear(1);
  sessions_.OnLost(NodeId{1}, now_);
  EXPECT_THAT(Pass(milliseconds(700)), IsEmpty());
  EXPECT_THAT(Pass(milliseconds(100)), ElementsAre(NodeId{1}));
}

TEST_F(BrokerSessionsTest, OneThatLivesSpeaksOnAfterALostConnection) {
  sessions_.OnLost(NodeId{1}, now_);
  Pass(milliseconds(400));
  Hear(1);
  EXPECT_THAT(Pass(seconds(5)), IsEmpty());
}

TEST_F(BrokerSessionsTest, APauseOfTheControllerItselfIsNobodysFault) {
  Hear(1);
  Hear(2);
  now_ += seconds(30);
  EXPECT_THAT(sessions_.Expired(now_), IsEmpty());
  EXPECT_THAT(Pass(seconds(5)), IsEmpty());
  EXPECT_THAT(Pass(seconds(1)), ElementsAre(NodeId{1}, NodeId{2}));
}

TEST_F(BrokerSessionsTest, GoneIsWhomNobodyWaitsFor) {
  EXPECT_FALSE(sessions_.IsGone(NodeId{1}, now_)) << "it may speak yet";
  EXPECT_TRUE(sessions_.IsGone(NodeId{1}, now_ + seconds(6)));
  EXPECT_TRUE(sessions_.IsGone(NodeId{9}, now_));
  sessions_.OnLost(NodeId{1}, now_);
  EXPECT_TRUE(sessions_.IsGone(NodeId{1}, now_));
  Hear(1);
  EXPECT_FALSE(sessions_.IsGone(NodeId{1}, now_));
  sessions_.Begin({NodeId{2}}, now_);
  EXPECT_TRUE(sessions_.IsGone(NodeId{1}, now_));
  EXPECT_FALSE(sessions_.IsGone(NodeId{2}, now_));
}

TEST_F(BrokerSessionsTest, AliveIsWhoSpokeItself) {
  EXPECT_FALSE(sessions_.IsAlive(NodeId{1}, now_));
  Hear(1);
  EXPECT_TRUE(sessions_.IsAlive(NodeId{1}, now_));
  EXPECT_EQ(sessions_.MetadataOffset(NodeId{1}), Offset{10});
  sessions_.OnLost(NodeId{1}, now_);
  EXPECT_FALSE(sessions_.IsAlive(NodeId{1}, now_));
  Hear(1);
  EXPECT_FALSE(sessions_.IsAlive(NodeId{1}, now_ + seconds(6)));
  EXPECT_FALSE(sessions_.IsAlive(NodeId{9}, now_));
}

}  // namespace
}  // namespace gregor
