#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "controller/image/rows.h"
#include "tests/controller/image/image_maker.h"

namespace gregor {
namespace {

using testing::HasSubstr;

std::map<std::string, std::string> RowsOf(const MetadataImage& image) {
  std::map<std::string, std::string> rows;
  EXPECT_TRUE(VisitRows(image, [&](std::string_view key, const std::string& record) {
                rows.emplace(key, record);
                return Result<void>();
              }).ok());
  return rows;
}

Result<ImagePtr> Load(const std::map<std::string, std::string>& rows,
                      const ImagePosition& position) {
  ImageLoader loader;
  for (const auto& [key, record] : rows) RETURN_IF_ERROR(loader.Add(key, record));
  return loader.Finish(position);
}

pb::MetadataRecord HashRecord(Offset offset, uint64_t hash) {
  pb::MetadataRecord record;
  record.mutable_state_hash()->set_offset(offset.value);
  record.mutable_state_hash()->set_hash(hash);
  return record;
}

TEST(StateHash, OneThatIsKeptIsTheOneThatIsMadeAnew) {
  for (const uint64_t seed : {1, 2, 3}) {
    ImageMaker maker(seed);
    std::set<uint64_t> hashes;
    for (int round = 0; round < 300; ++round) {
      const ImagePtr before = maker.image();
      const MetadataImage& after = *maker.Step();
      ASSERT_EQ(after.state_hash, StateHashOf(after)) << "seed " << seed << ", round " << round;
      MetadataImage anew = after;
      UpdateStateHash({}, anew);
      ASSERT_EQ(after.state_bytes, anew.state_bytes) << "seed " << seed << ", round " << round;
      if (RowsOf(*before) != RowsOf(after)) {
        ASSERT_NE(after.state_hash, before->state_hash);
      }
      hashes.insert(after.state_hash);
    }
    EXPECT_GT(hashes.size(), 150u);
  }
}

TEST(StateHash, NothingHasNone) { EXPECT_EQ(StateHashOf(MetadataImage()), 0u); }

TEST(StateHash, EqualStatesHaveOneHashHoweverTheyCameAbout) {
  RecordMaker make;
  std::vector<std::pair<pb::MetadataRecord, pb::MetadataRecord>> topics;
  for (int i = 0; i < 20; ++i) {
    const TopicId id = make.NewTopicId();
    topics.emplace_back(make.Topic("topic-" + std::to_string(i), id), make.Partitions(id, 0, i));
  }
  const auto all_in_one = [&](bool backwards) {
    if (backwards) std::reverse(topics.begin(), topics.end());
    Replay replay(nullptr);
    EXPECT_TRUE(replay.Apply(Offset{0}, make.FeatureLevel()).ok());
    EXPECT_TRUE(replay.Apply(Offset{1}, make.Cluster()).ok());
    for (const auto& [topic, partitions] : topics) {
      EXPECT_TRUE(replay.Apply(Offset{2}, topic).ok());
      EXPECT_TRUE(replay.Apply(Offset{3}, partitions).ok());
    }
    return replay.Finish({Offset{42}, LeaderEpoch{1}, Timestamp{7}}).after;
  };
  const ImagePtr forwards = all_in_one(false), backwards = all_in_one(true);
  EXPECT_EQ(forwards->state_hash, backwards->state_hash);
  // One after the other, with something in between that goes again.
  ImagePtr image;
  const auto commit = [&](const std::vector<pb::MetadataRecord>& records) {
    Replay replay(image);
    for (const auto& record : records) EXPECT_TRUE(replay.Apply(Offset{9}, record).ok());
    image = replay.Finish({Offset{10}, LeaderEpoch{2}, Timestamp{8}}).after;
  };
  commit({make.FeatureLevel(), make.Cluster()});
  const TopicId other = make.NewTopicId();
  commit({make.Topic("other", other), make.Partitions(other, 0, 5)});
  for (const auto& [topic, partitions] : topics) commit({topic, partitions});
  EXPECT_NE(image->state_hash, forwards->state_hash);
  commit({make.RemoveTopic(other)});
  EXPECT_EQ(image->state_hash, forwards->state_hash);
}

TEST(StateHash, RowsThatMakeAnotherStateAreRefused) {
  ImageMaker maker(5);
  for (int i = 0; i < 100; ++i) maker.Step();
  const MetadataImage& image = *maker.image();
  const ImagePosition position = PositionOf(image);
  ASSERT_TRUE(position.state_hash.has_value());
  auto rows = RowsOf(image);
  const auto loaded = Load(rows, position);
  ASSERT_TRUE(loaded.ok()) << loaded.error();
  EXPECT_EQ((*loaded)->state_hash, image.state_hash);
  EXPECT_EQ((*loaded)->state_bytes, image.state_bytes);
  // A row that is sound in itself, and another one.
  const std::string key("\x03", 1);
  RecordMaker make;
  rows[key] = SerializeRecord(make.ProducerIds(image.next_producer_id + 1));
  const auto refused = Load(rows, position);
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(refused.error().message, HasSubstr(StateHashText(image.state_hash)));
  // Where nobody says what it should be it is taken.
  ImagePosition unsaid = position;
  unsaid.state_hash.reset();
  EXPECT_TRUE(Load(rows, unsaid).ok());
}

TEST(StateHash, EachFieldOfAPartitionCounts) {
  using Partition = pb::PartitionsRecord::Partition;
  RecordMaker make;
  const TopicId id = make.NewTopicId();
  const auto hash_of = [&](const std::function<void(Partition&)>& change) {
    auto partitions = make.Partitions(id, 0, 1);
    auto& partition = *partitions.mutable_partitions()->mutable_partitions(0);
    for (const int32_t node : {2, 3}) {
      partition.add_replicas(node);
      partition.add_directories(std::string(16, static_cast<char>(node)));
    }
    change(partition);
    Replay replay(nullptr);
    EXPECT_TRUE(replay.Apply(Offset{0}, make.FeatureLevel()).ok());
    EXPECT_TRUE(replay.Apply(Offset{1}, make.Topic("orders", id)).ok());
    const auto applied = replay.Apply(Offset{2}, partitions);
    EXPECT_TRUE(applied.ok()) << applied.error();
    return replay.Finish({}).after->state_hash;
  };
  const std::map<int, std::function<void(Partition&)>> changes = {
      {2, [](auto& each) { each.mutable_replicas()->SwapElements(1, 2); }},
      {3, [](auto& each) { each.set_directories(1, std::string(16, 'x')); }},
      {4, [](auto& each) { each.add_isr(2); }},
      {5, [](auto& each) { each.set_leader(-1); }},
      {6, [](auto& each) { each.set_leader_epoch(1); }},
      {7, [](auto& each) { each.set_partition_epoch(1); }},
      {8, [](auto& each) { each.add_eligible(2); }},
      {9, [](auto& each) { each.add_adding(2); }},
      {10, [](auto& each) { each.add_removing(2); }},
      {11, [](auto& each) { each.set_recovering(true); }}};
  // All fields but the index are looked at here: a new one has to be, too.
  EXPECT_EQ(static_cast<int>(changes.size()) + 1, Partition::descriptor()->field_count());
  std::set<uint64_t> hashes = {hash_of([](auto&) {})};
  for (const auto& [field, change] : changes)
    EXPECT_TRUE(hashes.insert(hash_of(change)).second) << "field " << field;
}

class HashRecordTest : public testing::Test {
 protected:
  // What a hash record in front of `records` finds, or whether it is refused.
  Result<std::optional<StateHashCheck>> Check(const pb::MetadataRecord& record,
                                              const std::vector<pb::MetadataRecord>& before = {}) {
    Replay replay(maker_.image());
    Offset offset = maker_.image()->version;
    for (const auto& each : before) RETURN_IF_ERROR(replay.Apply(offset, each));
    RETURN_IF_ERROR(replay.Apply(offset, record));
    const MetadataDelta delta = replay.Finish({offset + 1, LeaderEpoch{1}, Timestamp{1}});
    if (before.empty()) {
      EXPECT_EQ(delta.after->state_hash, maker_.image()->state_hash);
    }
    return delta.hash_check;
  }

  ImageMaker maker_{1};
  RecordMaker make_{1};
};

TEST_F(HashRecordTest, AStateThatIsAnotherOneIsSaidNotRefused) {
  const Offset offset = maker_.image()->version;
  const uint64_t hash = maker_.image()->state_hash;
  const auto right = Check(HashRecord(offset, hash));
  ASSERT_TRUE(right.ok() && right->has_value());
  EXPECT_TRUE((*right)->matches());
  EXPECT_EQ((*right)->offset, offset);
  const auto wrong = Check(HashRecord(offset, hash + 1));
  ASSERT_TRUE(wrong.ok() && wrong->has_value());
  EXPECT_FALSE((*wrong)->matches());
  EXPECT_EQ((*wrong)->expected, hash + 1);
  EXPECT_EQ((*wrong)->actual, hash);
}

TEST_F(HashRecordTest, BehindOtherChangesNothingIsCompared) {
  const Offset offset = maker_.image()->version;
  const auto behind = Check(HashRecord(offset, 1), {make_.ProducerIds(1'000'000)});
  ASSERT_TRUE(behind.ok());
  EXPECT_FALSE(behind->has_value());
}

TEST_F(HashRecordTest, OneOfAnotherOffsetOrAnOlderLevelIsRefused) {
  const Offset offset = maker_.image()->version;
  const uint64_t hash = maker_.image()->state_hash;
  EXPECT_THAT(Check(HashRecord(offset + 1, hash)).error().message, HasSubstr("of offset"));
  maker_.Commit({make_.FeatureLevel(1)});
  EXPECT_EQ(maker_.image()->state_hash, StateHashOf(*maker_.image()));
  EXPECT_FALSE(PositionOf(*maker_.image()).state_hash.has_value());
  EXPECT_THAT(Check(HashRecord(maker_.image()->version, hash)).error().message,
              HasSubstr("a record of feature level 2 (state hash)"));
  maker_.Commit({make_.FeatureLevel(2)});
  EXPECT_EQ(maker_.image()->state_hash, StateHashOf(*maker_.image()));
  EXPECT_EQ(PositionOf(*maker_.image()).state_hash, StateHashOf(*maker_.image()));
}

TEST_F(HashRecordTest, TheHashIsShownAsDigits) {
  EXPECT_THAT(DescribeRecord(HashRecord(Offset{7}, 0xab), true),
              HasSubstr("\"hash\":\"00000000000000ab\""));
}

}  // namespace
}  // namespace gregor
