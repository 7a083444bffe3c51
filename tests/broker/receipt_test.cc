// What an acknowledgement says of the disk while a topic's durability changes.
#include <gtest/gtest.h>

#include "tests/broker/broker_harness.h"

namespace gregor {
namespace {

const ConfigMap kReplicated = {{"durability", "replicated"}};

class Receipts : public testing::Test {
 protected:
  ProduceBatch Write(int sequence) const {
    BatchBuilder::Options options;
    options.producer_id = ProducerId{1000};
    options.producer_epoch = ProducerEpoch{0};
    options.base_sequence = Sequence{sequence};
    ProduceBatch request =
        harness_.Request("orders", 0, BrokerHarness::Batch({std::to_string(sequence)}, options));
    request.ack.receipt = true;
    return request;
  }
  // Its answer, once there is one.
  std::shared_ptr<std::optional<Produced>> Send(int sequence) {
    auto answer = std::make_shared<std::optional<Produced>>();
    harness_.broker().Produce(Write(sequence), [answer](Result<Produced> produced) {
      ASSERT_TRUE(produced.ok()) << produced.error();
      *answer = *std::move(produced);
    });
    return answer;
  }
  void RunFor(Duration duration) { harness_.scheduler().RunFor(duration); }

  BrokerHarness harness_;
};

TEST_F(Receipts, ARetryOfWhatWasOnlyWrittenWaitsForTheSyncThatTheTopicAsksForNow) {
  harness_.Start();
  harness_.CreateTopic("orders", 1, kReplicated);
  const auto written = harness_.Produce(Write(0));
  ASSERT_TRUE(written.ok()) << written.error();
  EXPECT_EQ(written->receipt->held.size(), 1u);
  EXPECT_EQ(written->receipt->synced.size(), 0u);
  harness_.disk().Hang();
  harness_.SetConfigs("orders", {});
  const auto retried = Send(0);
  RunFor(std::chrono::seconds(5));
  EXPECT_FALSE(retried->has_value());
  // It is visible all the same, as it was before.
  OffsetQuery end;
  end.topic.name = "orders";
  end.position.kind = Position::Kind::kLatest;
  const auto found = harness_.Await<std::vector<Result<FoundOffset>>>(
      [&](auto done) { harness_.broker().FindOffsets({end}, std::move(done)); });
  EXPECT_EQ((*found)[0]->offset, Offset{1});
  harness_.disk().Resume();
  RunFor(std::chrono::seconds(5));
  ASSERT_TRUE(retried->has_value());
  EXPECT_TRUE((*retried)->duplicate);
  EXPECT_EQ((*retried)->receipt->synced.size(), 1u);
  EXPECT_EQ((*retried)->receipt->held.size(), 0u);
  harness_.LosePower();
  harness_.Start();
  EXPECT_EQ(harness_.Values("orders", 0), std::vector<std::string>{"0"});
}

TEST_F(Receipts, AStricterTopicSyncsWhatWasOnlyWrittenAtOnce) {
  harness_.Start();
  harness_.CreateTopic("orders", 1, kReplicated);
  ASSERT_TRUE(harness_.Produce(Write(0)).ok());
  harness_.SetConfigs("orders", {});
  RunFor(std::chrono::milliseconds(200));  // much less than until the next background flush
  harness_.LosePower();
  harness_.Start();
  EXPECT_EQ(harness_.Values("orders", 0), std::vector<std::string>{"0"});
}

TEST_F(Receipts, AWriteThatWaitsWhileTheTopicBecomesLaxSaysWhatItGot) {
  harness_.Start();
  harness_.CreateTopic("orders", 1);
  ASSERT_TRUE(harness_.Produce(Write(0)).ok());
  harness_.disk().Hang();
  // The first is written and synced in one job; the second comes after it, and is only written.
  const auto first = Send(1);
  const auto second = Send(2);
  RunFor(std::chrono::milliseconds(100));
  harness_.SetConfigs("orders", kReplicated);
  RunFor(std::chrono::milliseconds(100));
  EXPECT_FALSE(first->has_value());
  EXPECT_FALSE(second->has_value());
  harness_.disk().Resume();
  ASSERT_TRUE(harness_.scheduler().RunUntil([&] { return second->has_value(); },
                                            std::chrono::milliseconds(500)));
  ASSERT_TRUE(first->has_value());
  EXPECT_EQ((*first)->receipt->synced.size(), 1u);
  EXPECT_EQ((*second)->receipt->held.size(), 1u);
  EXPECT_EQ((*second)->receipt->synced.size(), 0u);
  // Of what is synced by now a retry says so.
  RunFor(std::chrono::seconds(5));
  const auto retried = harness_.Produce(Write(2));
  ASSERT_TRUE(retried.ok()) << retried.error();
  EXPECT_TRUE(retried->duplicate);
  EXPECT_EQ(retried->receipt->synced.size(), 1u);
  EXPECT_EQ(retried->receipt->held.size(), 0u);
}

}  // namespace
}  // namespace gregor
