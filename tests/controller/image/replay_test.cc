#include "controller/image/replay.h"

#include <gmock/gmock.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/unknown_field_set.h>
#include <gtest/gtest.h>

#include "controller/image/rows.h"
#include "tests/controller/image/image_maker.h"
#include "tests/controller/image/replay_harness.h"

namespace gregor {
namespace {

using testing::HasSubstr;

class ReplayTest : public ReplayHarness {};

TEST_F(ReplayTest, TheFirstRecordsNameTheCluster) {
  EXPECT_EQ(image_->feature_level, kFeatureLevel);
  EXPECT_EQ(image_->cluster_id, make_.cluster_id());
  EXPECT_EQ(image_->request_id_key[0], 0x11);
  EXPECT_EQ(PositionOf(*image_),
            (ImagePosition{Offset{2}, LeaderEpoch{1}, Timestamp{5}, StateHashOf(*image_)}));
}

TEST_F(ReplayTest, ATopicIsFoundByNameAndId) {
  const TopicId id = make_.NewTopicId();
  const auto delta = Commit({make_.Topic("orders", id), make_.Partitions(id, 0, 3)});
  const TopicPtr topic = image_->Topic("orders");
  ASSERT_NE(topic, nullptr);
  EXPECT_EQ(image_->Topic(id), topic);
  EXPECT_EQ(topic->partition_count(), 3);
  EXPECT_EQ(image_->partition_count, 3);
  const PartitionImage* partition = topic->Partition(PartitionIndex{2});
  ASSERT_NE(partition, nullptr);
  EXPECT_EQ(partition->leader, NodeId{1});
  EXPECT_EQ(partition->replicas, SharedList<NodeId>{NodeId{1}});
  EXPECT_EQ(partition->leader_epoch, LeaderEpoch{0});
  EXPECT_EQ(topic->Partition(PartitionIndex{3}), nullptr);
  EXPECT_TRUE(topic->configs->empty());
  EXPECT_EQ(delta.created, std::vector<TopicPtr>{topic});
  EXPECT_TRUE(delta.deleted.empty() && delta.changed.empty());
}

TEST_F(ReplayTest, DeletedAndCreatedAgainUnderOneNameAreTwoTopics) {
  const TopicId first = make_.NewTopicId(), second = make_.NewTopicId();
  Commit({make_.Topic("orders", first), make_.Partitions(first, 0, 2)});
  const TopicPtr before = image_->Topic("orders");
  const auto delta = Commit(
      {make_.RemoveTopic(first), make_.Topic("orders", second), make_.Partitions(second, 0, 5)});
  EXPECT_EQ(image_->Topic(first), nullptr);
  EXPECT_EQ(image_->Topic("orders")->id, second);
  EXPECT_EQ(image_->partition_count, 5);
  EXPECT_EQ(image_->topics.size(), 1u);
  EXPECT_EQ(delta.deleted, std::vector<TopicPtr>{before});
  EXPECT_EQ(delta.created, std::vector<TopicPtr>{image_->Topic("orders")});
}

TEST_F(ReplayTest, ATopicThatComesAndGoesInOneBatchIsNotSeen) {
  const TopicId id = make_.NewTopicId();
  const auto delta =
      Commit({make_.Topic("orders", id), make_.Partitions(id, 0, 2), make_.RemoveTopic(id)});
  EXPECT_EQ(image_->topics.size(), 0u);
  EXPECT_EQ(image_->partition_count, 0);
  EXPECT_TRUE(delta.created.empty() && delta.deleted.empty() && delta.changed.empty());
}

TEST_F(ReplayTest, ConfigsOfATopicAreSetAndRemoved) {
  const TopicId id = make_.NewTopicId();
  Commit({make_.Topic("orders", id), make_.Partitions(id, 0, 1),
          make_.TopicConfig(id, {{"retention.ms", "5"}, {"segment.ms", "6"}}, {})});
  const auto delta = Commit({make_.TopicConfig(id, {{"retention.ms", "7"}}, {"segment.ms"})});
  EXPECT_EQ(*image_->Topic(id)->configs, (ConfigMap{{"retention.ms", "7"}}));
  EXPECT_EQ(delta.changed, std::vector<TopicPtr>{image_->Topic(id)});
  EXPECT_FALSE(delta.broker_configs_changed);
}

TEST_F(ReplayTest, ConfigsOfBrokersAreSetAndRemoved) {
  EXPECT_TRUE(
      Commit({make_.BrokerConfig(-1, {{"log.retention.ms", "5"}}, {})}).broker_configs_changed);
  EXPECT_EQ((*image_->broker_configs.Find(NodeId{-1}))->at("log.retention.ms"), "5");
  Commit({make_.BrokerConfig(-1, {}, {"log.retention.ms"})});
  EXPECT_EQ(image_->broker_configs.Find(NodeId{-1}), nullptr);
}

TEST_F(ReplayTest, ARegistrationGetsItsOffsetAsEpoch) {
  const Offset at = next_;
  EXPECT_TRUE(Commit({make_.Broker(1)}).brokers_changed);
  const BrokerImage* broker = image_->Broker(NodeId{1});
  ASSERT_NE(broker, nullptr);
  EXPECT_EQ(broker->epoch.value, at.value);
  EXPECT_EQ(broker->listeners.at("grpc"), (Endpoint{"127.0.0.1", 9094}));
  // From a snapshot it keeps the one that it had.
  auto record = make_.Broker(1);
  record.mutable_register_broker()->set_broker_epoch(77);
  Commit({record});
  EXPECT_EQ(image_->Broker(NodeId{1})->epoch.value, 77);
}

TEST_F(ReplayTest, ARestartRaisesTheEpochsOfWhatTheBrokerLeads) {
  const TopicId mine = make_.NewTopicId(), other = make_.NewTopicId();
  auto foreign = make_.Partitions(other, 0, 1);
  auto* partition = foreign.mutable_partitions()->mutable_partitions(0);
  partition->set_replicas(0, 2);
  partition->set_isr(0, 2);
  partition->set_leader(2);
  Commit({make_.Broker(1), make_.Topic("mine", mine), make_.Partitions(mine, 0, 300),
          make_.Topic("other", other), foreign});
  const TopicPtr left = image_->Topic(other);
  const auto delta = Commit({make_.BrokerRestarted(1), make_.BrokerRestarted(1)});
  image_->Topic(mine)->partitions.VisitAll([](PartitionIndex, const auto& each) {
    EXPECT_EQ(each->leader_epoch, LeaderEpoch{2});
    EXPECT_EQ(each->partition_epoch, PartitionEpoch{2});
  });
  EXPECT_EQ(delta.changed, std::vector<TopicPtr>{image_->Topic(mine)});
  EXPECT_EQ(image_->Topic(other), left);
}

TEST_F(ReplayTest, APartitionChangeRaisesTheEpochs) {
  const TopicId id = make_.NewTopicId();
  Commit({make_.Topic("orders", id), make_.Partitions(id, 0, 2)});
  pb::MetadataRecord record;
  auto* change = record.mutable_partition_change();
  change->set_topic_id(ToBytes(id.bytes));
  change->set_partition(1);
  change->set_leader(-1);
  Commit({record});
  const PartitionImage* partition = image_->Topic(id)->Partition(PartitionIndex{1});
  EXPECT_EQ(partition->leader, NodeId{-1});
  EXPECT_EQ(partition->leader_epoch, LeaderEpoch{1});
  change->clear_leader();
  change->mutable_isr()->add_nodes(1);
  Commit({record});
  partition = image_->Topic(id)->Partition(PartitionIndex{1});
  EXPECT_EQ(partition->leader_epoch, LeaderEpoch{1});
  EXPECT_EQ(partition->partition_epoch, PartitionEpoch{2});
}

TEST_F(ReplayTest, ARequestIdFindsItsTopicAsLongAsThatLives) {
  const TopicId id = make_.NewTopicId();
  auto record = make_.Topic("orders", id);
  record.mutable_topic()->set_request_hash(99);
  record.mutable_topic()->set_request_content_hash(5);
  Commit({record});
  EXPECT_EQ(*image_->request_topics.Find(uint64_t{99}), id);
  EXPECT_EQ(image_->Topic(id)->request_content_hash, 5u);
  Commit({make_.RemoveTopic(id)});
  EXPECT_EQ(image_->request_topics.Find(uint64_t{99}), nullptr);
}

TEST_F(ReplayTest, ProducerIdsOnlyRise) {
  Commit({make_.ProducerIds(1000)});
  EXPECT_EQ(image_->next_producer_id, 1000);
  EXPECT_THAT(Refusal(make_.ProducerIds(1000)), HasSubstr("given out before"));
}

TEST_F(ReplayTest, PartitionsShareTheirLists) {
  const TopicId id = make_.NewTopicId();
  Commit({make_.Topic("orders", id), make_.Partitions(id, 0, 3)});
  const TopicPtr topic = image_->Topic(id);
  EXPECT_EQ(topic->Partition(PartitionIndex{0})->replicas.begin(),
            topic->Partition(PartitionIndex{2})->replicas.begin());
  EXPECT_EQ(topic->Partition(PartitionIndex{0})->replicas.begin(),
            topic->Partition(PartitionIndex{0})->isr.begin());
}

TEST_F(ReplayTest, RecordsThatContradictTheOnesBeforeAreRefused) {
  const TopicId id = make_.NewTopicId(), unknown = make_.NewTopicId();
  Commit({make_.Topic("orders", id), make_.Partitions(id, 0, 2)});
  EXPECT_THAT(Refusal(make_.Topic("orders", unknown)), HasSubstr("\"orders\" is there already"));
  EXPECT_THAT(Refusal(make_.Topic("other", id)), HasSubstr("is there already"));
  EXPECT_THAT(Refusal(make_.Partitions(unknown, 0, 1)), HasSubstr("there is no topic"));
  EXPECT_THAT(Refusal(make_.Partitions(id, 3, 1)), HasSubstr("partition 3 where 2 comes next"));
  EXPECT_THAT(Refusal(make_.RemoveTopic(unknown)), HasSubstr("there is no topic"));
  EXPECT_THAT(Refusal(make_.TopicConfig(unknown, {}, {})), HasSubstr("there is no topic"));
  EXPECT_THAT(Refusal(make_.BrokerRestarted(9)), HasSubstr("broker 9 is not registered"));
  EXPECT_THAT(Refusal(make_.Cluster()), HasSubstr("has its id already"));
  EXPECT_THAT(Refusal(make_.FeatureLevel(kFeatureLevel + 1)), HasSubstr("use a newer one"));
  EXPECT_THAT(Refusal(make_.FeatureLevel(0)), HasSubstr("use a newer one"));
  auto bad = make_.Partitions(id, 2, 1);
  bad.mutable_partitions()->mutable_partitions(0)->set_leader(7);
  EXPECT_THAT(Refusal(bad), HasSubstr("a leader that is not in sync"));
  bad = make_.Partitions(id, 2, 1);
  bad.mutable_partitions()->mutable_partitions(0)->set_isr(0, 7);
  EXPECT_THAT(Refusal(bad), HasSubstr("in-sync replicas that are no replicas"));
}

TEST_F(ReplayTest, EpochsEndRatherThanWrap) {
  const TopicId id = make_.NewTopicId();
  auto partitions = make_.Partitions(id, 0, 1);
  partitions.mutable_partitions()->mutable_partitions(0)->set_leader_epoch(INT32_MAX);
  Commit({make_.Broker(1), make_.Topic("orders", id), partitions});
  EXPECT_THAT(Refusal(make_.BrokerRestarted(1)), HasSubstr("no leader epoch is left"));
}

TEST_F(ReplayTest, NothingComesBeforeTheFeatureLevel) {
  Replay replay(nullptr);
  const auto applied = replay.Apply(Offset{0}, make_.Cluster());
  ASSERT_FALSE(applied.ok());
  EXPECT_THAT(applied.error().message, HasSubstr("feature level does not come first"));
}

TEST_F(ReplayTest, TheFeatureLevelGoesUpAndDownWhereEveryBrokerSupportsIt) {
  Commit({make_.FeatureLevel(1), make_.Broker(1)});
  EXPECT_EQ(image_->feature_level, 1);
  auto old = make_.Broker(2);
  old.mutable_register_broker()->set_feature_level_max(1);
  Commit({old});
  EXPECT_THAT(Refusal(make_.FeatureLevel(2)), HasSubstr("a registered broker does not support"));
  Commit({make_.Broker(2), make_.FeatureLevel(2)});
  EXPECT_EQ(image_->feature_level, 2);
  EXPECT_THAT(Refusal(old), HasSubstr("does not support the cluster's feature level"));
}

TEST(Records, TheLevelOfARecordIsThatOfItsNumber) {
  RecordMaker make;
  const TopicId id = make.NewTopicId();
  for (const auto& record : {make.FeatureLevel(), make.Cluster(), make.Topic("t", id),
                             make.Partitions(id, 0, 1), make.ProducerIds(5)})
    EXPECT_EQ(FeatureLevelOf(record), 1) << RecordTypeName(record);
  EXPECT_EQ(RecordTypeName(make.ProducerIds(5)), "producer ids");
  pb::MetadataRecord hash;
  hash.mutable_state_hash();
  EXPECT_EQ(FeatureLevelOf(hash), 2);
}

TEST(Records, TheTypeIsKnownFromTheFirstBytes) {
  RecordMaker make;
  pb::MetadataRecord begin;
  begin.mutable_begin_transaction()->set_name("n");
  for (const auto& record :
       {make.FeatureLevel(), make.Cluster(), make.Topic("t", make.NewTopicId()), begin})
    EXPECT_EQ(RecordTypeOf(SerializeRecord(record)), record.record_case());
  for (const std::string& bad : {std::string(), std::string("\xff\xff", 2)})
    EXPECT_EQ(RecordTypeOf(bad), 0);
}

TEST(Records, UnknownFieldsAndTypesAreNeverSkipped) {
  RecordMaker make;
  const std::string record = SerializeRecord(make.FeatureLevel());
  EXPECT_TRUE(ParseRecord(record).ok());
  for (const std::string& bad :
       {std::string(), record + std::string("\xf8\x07\x01", 3), std::string("\xf2\x01\x00", 3),
        std::string("\x0a\x03\x08\x81\x00", 5), std::string("\xff\xff", 2)}) {
    EXPECT_FALSE(ParseRecord(bad).ok()) << testing::PrintToString(bad);
  }
}

// A change of a partition with all that it may say.
pb::MetadataRecord WholePartitionChange() {
  pb::MetadataRecord record;
  auto& change = *record.mutable_partition_change();
  change.set_topic_id(std::string(16, 't'));
  change.set_partition(3);
  change.set_leader(-1);
  for (auto* const list : {change.mutable_isr(), change.mutable_eligible(), change.mutable_adding(),
                           change.mutable_removing()})
    list->add_nodes(7);
  change.add_replicas(7);
  change.add_directories(std::string(16, 'd'));
  change.set_recovering(true);
  return record;
}

TEST(Records, UnknownFieldsOfWhatIsWithinAreNotSkippedEither) {
  RecordMaker make;
  for (const pb::MetadataRecord& record :
       {WholePartitionChange(), make.Partitions(make.NewTopicId(), 0, 2)}) {
    ASSERT_TRUE(ParseRecord(SerializeRecord(record)).ok());
    pb::MetadataRecord more = record;
    std::vector<google::protobuf::Message*> messages = {&more};
    for (size_t i = 0; i < messages.size(); ++i) {
      google::protobuf::Message& message = *messages[i];
      auto& unknown = *message.GetReflection()->MutableUnknownFields(&message);
      unknown.AddVarint(100, 1);
      EXPECT_FALSE(ParseRecord(SerializeRecord(more)).ok()) << message.GetTypeName();
      unknown.Clear();
      std::vector<const google::protobuf::FieldDescriptor*> fields;
      message.GetReflection()->ListFields(message, &fields);
      for (const auto* const field : fields) {
        if (field->cpp_type() != google::protobuf::FieldDescriptor::CPPTYPE_MESSAGE) continue;
        const int size =
            field->is_repeated() ? message.GetReflection()->FieldSize(message, field) : 0;
        if (!field->is_repeated())
          messages.push_back(message.GetReflection()->MutableMessage(&message, field));
        for (int at = 0; at < size; ++at)
          messages.push_back(message.GetReflection()->MutableRepeatedMessage(&message, field, at));
      }
    }
    EXPECT_GE(messages.size(), 4u);
  }
}

// A record has nothing of the one whose memory it takes: of its own type, of another, or damaged.
TEST(Records, OneParserReadsManyAsIfEachWereTheFirst) {
  ImageMaker maker(15);
  for (int i = 0; i < 200; ++i) maker.Step();
  std::vector<std::string> records;
  ASSERT_TRUE(VisitRows(*maker.image(), [&](std::string_view, const std::string& record) {
                records.push_back(record);
                return Result<void>();
              }).ok());
  ASSERT_GT(records.size(), 20u);
  for (int i = 0; i < 20; ++i) {
    pb::MetadataRecord change = WholePartitionChange();
    if (i % 2 == 0) change.mutable_partition_change()->clear_isr();
    if (i % 3 == 0) change.mutable_partition_change()->clear_adding();
    if (i % 5 == 0) change.mutable_partition_change()->clear_directories();
    records.push_back(SerializeRecord(change));
  }
  Random random(15);
  RecordParser parser;
  int refused = 0;
  for (int i = 0; i < 5000; ++i) {
    std::string record = records[random.Below(records.size())];
    if (random.Chance(0.3)) record[random.Below(record.size())] ^= 1 << random.Below(8);
    if (random.Chance(0.1)) record.resize(random.Below(record.size() + 1));
    const auto parsed = parser.Parse(record);
    const auto alone = ParseRecord(record);
    ASSERT_EQ(parsed.ok(), alone.ok()) << testing::PrintToString(record);
    if (!parsed.ok()) {
      EXPECT_EQ(parsed.error().message, alone.error().message);
      ++refused;
      continue;
    }
    ASSERT_EQ(SerializeRecord(**parsed), record);
    ASSERT_EQ(DescribeRecord(**parsed, true), DescribeRecord(*alone, true));
  }
  EXPECT_GT(refused, 100);
}

}  // namespace
}  // namespace gregor
