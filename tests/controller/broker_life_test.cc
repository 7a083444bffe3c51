// Brokers as the active controller sees them: registration, heartbeats, fencing.
#include <gmock/gmock.h>

#include "tests/controller/controller_harness.h"

namespace gregor {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

class BrokerLife : public testing::Test {
 protected:
  BrokerLife() : node_(11) {
    node_.behavior.broker_sessions = {.timeout = seconds(6),
                                      .heartbeat_interval = milliseconds(500)};
    EXPECT_TRUE(node_.Open());
  }

  Result<BrokerEpoch> Register(const BrokerImage& broker) {
    return node_.Await<BrokerEpoch>([&](auto done) {
      node_.controller().Run(RegisterBroker{broker, false}, std::move(done));
    });
  }
  Result<BrokerStatus> Beat(int32_t node, bool wants_to_stop = false,
                            std::optional<Offset> seen = std::nullopt) {
    BrokerHeartbeat beat;
    beat.broker = NodeId{node};
    const BrokerImage* const broker = node_.image()->Broker(NodeId{node});
    beat.epoch = node == 1 || broker == nullptr ? epoch_ : broker->epoch;
    beat.metadata_offset = seen.value_or(node_.image()->version);
    beat.wants_to_stop = wants_to_stop;
    return node_.Await<BrokerStatus>(
        [&](auto done) { node_.controller().Run(beat, std::move(done)); });
  }
  Result<void> Fence(int32_t node, bool fenced) {
    return node_.Await<void>([&](auto done) {
      node_.controller().Run(SetBrokerFence{NodeId{node}, fenced}, std::move(done));
    });
  }
  Result<void> Unregister(int32_t node) {
    return node_.Await<void>([&](auto done) {
      node_.controller().Run(UnregisterBroker{NodeId{node}}, std::move(done));
    });
  }
  // Another controller leads from here on, which has heard of nobody.
  void FailOver() {
    node_.Kill();
    ASSERT_TRUE(node_.Open());
  }
  void CreateOnFirstAndSecond() {
    CreateTopic operation;
    operation.name = "orders";
    operation.assignment = {{NodeId{1}, NodeId{2}}};
    ASSERT_TRUE(node_.Create(operation).ok());
  }
  void RegisterFirst() {
    broker_ = node_.Broker(1);
    const auto registered = Register(broker_);
    ASSERT_TRUE(registered.ok()) << registered.error();
    epoch_ = *registered;
  }
  const BrokerImage& Image() { return *node_.image()->Broker(NodeId{1}); }
  void Pass(Duration duration) { node_.scheduler().RunFor(duration); }

  ControllerHarness node_;
  BrokerImage broker_;
  BrokerEpoch epoch_;
};

TEST_F(BrokerLife, OneThatSaysNothingIsFencedAndComesBackOnceItKnows) {
  RegisterFirst();
  EXPECT_FALSE(Image().fenced);
  Pass(milliseconds(5800));
  EXPECT_FALSE(Image().fenced);
  const Offset before = node_.image()->version;
  Pass(milliseconds(500));
  EXPECT_TRUE(Image().fenced);
  auto status = Beat(1, false, before);
  ASSERT_TRUE(status.ok()) << status.error();
  EXPECT_TRUE(status->fenced) << "it does not know yet that it was fenced";
  status = Beat(1);
  ASSERT_TRUE(status.ok());
  EXPECT_FALSE(status->fenced);
  EXPECT_FALSE(Image().fenced);
}

TEST_F(BrokerLife, OneThatSpeaksIsNotFenced) {
  RegisterFirst();
  for (int i = 0; i < 40; ++i) {
    Pass(milliseconds(500));
    ASSERT_TRUE(Beat(1).ok());
  }
  EXPECT_FALSE(Image().fenced);
}

TEST_F(BrokerLife, ASecondProcessOfALivingBrokerIsRefused) {
  RegisterFirst();
  BrokerImage other = broker_;
  other.incarnation[0] ^= 1;
  const auto refused = Register(other);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().reason, Reason::kDuplicateBrokerRegistration);
  EXPECT_THAT(refused.error().message, HasSubstr("give this one a node_id of its own"));
  Pass(seconds(7));
  EXPECT_TRUE(Register(other).ok()) << "the first one is not heard of any more";
  const auto stale = Beat(1);
  ASSERT_FALSE(stale.ok());
  EXPECT_EQ(stale.error().reason, Reason::kStaleBrokerEpoch);
}

TEST_F(BrokerLife, AFenceByHandStaysUntilItIsLifted) {
  RegisterFirst();
  ASSERT_TRUE(Fence(1, true).ok());
  EXPECT_TRUE(Image().fenced);
  EXPECT_TRUE(Beat(1)->fenced);
  Pass(seconds(7));
  BrokerImage restarted = broker_;
  restarted.incarnation[0] ^= 1;
  const auto registered = Register(restarted);
  ASSERT_TRUE(registered.ok()) << registered.error();
  epoch_ = *registered;
  EXPECT_TRUE(Image().fenced) << "over a restart, too";
  EXPECT_TRUE(Beat(1)->fenced);
  const Offset before = node_.image()->version;
  ASSERT_TRUE(Fence(1, false).ok());
  EXPECT_TRUE(Image().fenced) << "it has to know first";
  EXPECT_TRUE(Beat(1, false, before)->fenced);
  EXPECT_FALSE(Beat(1)->fenced);
  EXPECT_FALSE(Image().fenced);
  EXPECT_EQ(Fence(7, true).error().reason, Reason::kBrokerIdNotRegistered);
}

TEST_F(BrokerLife, AfterAFailOverATwinDoesNotThrowOutTheLivingOne) {
  RegisterFirst();
  ASSERT_TRUE(node_.Register(2).ok());
  FailOver();
  BrokerImage twin = node_.Broker(1);
  twin.directories[0].bytes[1] ^= 1;
  const auto refused = Register(twin);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().reason, Reason::kDuplicateBrokerRegistration);
  EXPECT_EQ(refused.error().message,
            "broker 1 was running a moment ago, at 127.0.0.1:9094, with other log directories; "
            "waiting up to 6 s until it is known to be gone");
  // The next process of the same node is not kept waiting; one of its disks may have failed.
  BrokerImage restarted = broker_;
  restarted.incarnation[0] ^= 1;
  restarted.directories.push_back(twin.directories[0]);
  ASSERT_TRUE(Register(restarted).ok());
  EXPECT_TRUE(Image().HasDirectory(twin.directories[0]));
}

TEST_F(BrokerLife, OneThatIsAloneHasNoTwin) {
  RegisterFirst();
  FailOver();
  BrokerImage restarted = node_.Broker(1);
  restarted.directories[0].bytes[1] ^= 1;  // its disk was replaced
  const auto registered = Register(restarted);
  EXPECT_TRUE(registered.ok()) << registered.error();
}

TEST_F(BrokerLife, OneThatAnotherNodeAloneKeepsMayHaveATwin) {
  ASSERT_TRUE(node_.Register(2).ok());
  FailOver();
  BrokerImage twin = node_.Broker(2);
  twin.directories[0].bytes[1] ^= 1;
  EXPECT_FALSE(Register(twin).ok());
}

TEST_F(BrokerLife, AfterAFailOverWhoIsNotHeardOfMayBeReplaced) {
  RegisterFirst();
  ASSERT_TRUE(node_.Register(2).ok());
  FailOver();
  Pass(seconds(7));
  BrokerImage other = node_.Broker(1);
  other.directories[0].bytes[1] ^= 1;
  EXPECT_TRUE(Register(other).ok());
}

TEST_F(BrokerLife, AStoppingOneWaitsForAllWhoMayBeAliveAlsoAfterAFailOver) {
  RegisterFirst();
  ASSERT_TRUE(node_.Register(2).ok());
  CreateOnFirstAndSecond();
  EXPECT_FALSE(Beat(1, true)->may_stop);
  EXPECT_TRUE(Image().in_controlled_shutdown);
  FailOver();
  EXPECT_FALSE(Beat(1, true)->may_stop) << "nothing was heard of broker 2 yet";
  ASSERT_TRUE(Beat(2).ok());
  EXPECT_TRUE(Beat(1, true)->may_stop);
}

TEST_F(BrokerLife, AStoppingOneDoesNotWaitForOneThatIsGone) {
  RegisterFirst();
  ASSERT_TRUE(node_.Register(2).ok());
  CreateOnFirstAndSecond();
  FailOver();
  EXPECT_FALSE(Beat(1, true)->may_stop);
  for (int i = 0; i < 13; ++i) {
    Pass(milliseconds(500));
    ASSERT_TRUE(Beat(1, false).ok());
  }
  EXPECT_TRUE(Beat(1, true)->may_stop);
}

TEST_F(BrokerLife, OneThatLeadsNothingForOthersMayStopAtOnce) {
  RegisterFirst();
  ASSERT_TRUE(node_.Create("orders", 3).ok());
  ASSERT_TRUE(node_.Register(2).ok());
  const auto status = Beat(1, true);
  ASSERT_TRUE(status.ok());
  EXPECT_TRUE(status->may_stop);
  EXPECT_TRUE(Image().in_controlled_shutdown);
  // Nothing new is placed on it.
  const auto topic = node_.Create("more", 4);
  ASSERT_TRUE(topic.ok()) << topic.error();
  (*topic)->partitions.VisitAll([](PartitionIndex, const PartitionPtr& partition) {
    EXPECT_EQ(partition->leader, NodeId{2});
  });
  // The next process begins as it would have.
  broker_.incarnation[0] ^= 1;
  Pass(seconds(7));
  ASSERT_TRUE(Register(broker_).ok());
  EXPECT_FALSE(Image().in_controlled_shutdown);
}

TEST_F(BrokerLife, TheOnlyOneMayStopAtOnce) {
  RegisterFirst();
  ASSERT_TRUE(node_.Create("orders", 3).ok());
  const Offset before = node_.image()->version;
  const auto status = Beat(1, true);
  ASSERT_TRUE(status.ok());
  EXPECT_TRUE(status->may_stop);
  EXPECT_EQ(node_.image()->version, before) << "nothing is written for it";
}

TEST_F(BrokerLife, OnlyADeadBrokerWithoutReplicasIsForgotten) {
  RegisterFirst();
  ASSERT_TRUE(node_.Create("orders", 3).ok());
  const auto refused = [&](const std::string& why) {
    const auto unregistered = Unregister(1);
    ASSERT_FALSE(unregistered.ok());
    // Nothing is wrong with the call.
    EXPECT_EQ(unregistered.error().reason, Reason::kPolicyViolation);
    EXPECT_THAT(unregistered.error().message, HasSubstr(why));
  };
  refused("is running, or stopped less than 6 s ago: ");
  Pass(seconds(7));
  refused("has 3 replicas");
  ASSERT_TRUE(node_.Delete("orders").ok());
  ASSERT_TRUE(Unregister(1).ok());
  EXPECT_EQ(node_.image()->Broker(NodeId{1}), nullptr);
  EXPECT_EQ(Beat(1).error().reason, Reason::kBrokerIdNotRegistered);
  EXPECT_EQ(Unregister(1).error().reason, Reason::kBrokerIdNotRegistered);
}

}  // namespace
}  // namespace gregor
