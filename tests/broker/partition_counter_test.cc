#include "broker/partition_counter.h"

#include <gtest/gtest.h>

#include "tests/broker_grpc/control_fake.h"

namespace gregor {
namespace {

TEST(PartitionCounter, CountsAreKeptUntilTheMetadataAreOthers) {
  FakeBroker broker;
  broker.AddTopic("orders", 1);
  broker.SetPartition("orders", FakeBroker::MakePartition(0, /*leader=*/-1));
  PartitionCounter counter(broker);
  const ImagePtr first = broker.image();
  const auto counts = counter.Of(first);
  EXPECT_EQ(counts->without_leader, 1);
  EXPECT_EQ(counter.Of(first), counts);
  broker.RemoveTopic("orders");
  EXPECT_EQ(counter.Of(broker.image())->without_leader, 0);
  EXPECT_EQ(counter.Of(first)->without_leader, 1);
}

TEST(PartitionCounter, AnImageThatIsGoneIsNotTakenForANewOneInItsPlace) {
  FakeBroker broker;
  PartitionCounter counter(broker);
  broker.AddTopic("orders", 1);
  EXPECT_EQ(counter.Of(broker.image())->brokers.at(NodeId{1}).leads, 1);
  for (int32_t partitions = 2; partitions < 20; ++partitions) {
    broker.AddTopic("orders", partitions);
    EXPECT_EQ(counter.Of(broker.image())->brokers.at(NodeId{1}).leads, partitions);
  }
}

}  // namespace
}  // namespace gregor
