#include "controller/image/log_replay.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "controller/image/rows.h"
#include "tests/controller/image/record_maker.h"

namespace gregor {
namespace {

using testing::HasSubstr;

using Records = std::vector<pb::MetadataRecord>;

pb::MetadataRecord Begin() {
  pb::MetadataRecord record;
  record.mutable_begin_transaction()->set_name("create_topic");
  return record;
}
pb::MetadataRecord End() {
  pb::MetadataRecord record;
  record.mutable_end_transaction();
  return record;
}
pb::MetadataRecord Abort() {
  pb::MetadataRecord record;
  record.mutable_abort_transaction()->set_reason("cut off");
  return record;
}

std::map<std::string, std::string> RowsOf(const MetadataImage& image) {
  std::map<std::string, std::string> rows;
  EXPECT_TRUE(VisitRows(image, [&](std::string_view key, const std::string& record) {
                rows[std::string(key)] = record;
                return Result<void>();
              }).ok());
  return rows;
}

class LogReplayTest : public testing::Test {
 protected:
  LogReplayTest() {
    LogReplay replay(nullptr);
    Apply(replay, {make_.FeatureLevel(2), make_.Cluster()});
    image_ = replay.Finish().after;
  }

  ImagePosition Next() {
    end_ = end_ + 1;
    return {end_, LeaderEpoch{1}, Timestamp{end_.value * 10}};
  }
  void Apply(LogReplay& replay, const Records& records) {
    for (const auto& record : records) {
      const auto applied = replay.Apply(Next(), SerializeRecord(record));
      EXPECT_TRUE(applied.ok()) << applied.error();
    }
  }
  // Why the last of `records` is refused.
  std::string Refusal(const ImagePtr& base, const Records& records) {
    LogReplay replay(base);
    for (size_t i = 0; i < records.size(); ++i) {
      const auto applied = replay.Apply(Next(), records[i]);
      if (i + 1 == records.size()) return applied.ok() ? "" : applied.error().message;
      EXPECT_TRUE(applied.ok()) << applied.error();
    }
    return "";
  }
  Records Topic(const std::string& name, int32_t partitions) {
    const TopicId id = make_.NewTopicId();
    return {make_.Topic(name, id), make_.Partitions(id, 0, partitions)};
  }

  RecordMaker make_;
  Offset end_{0};
  ImagePtr image_;
};

TEST_F(LogReplayTest, ATransactionCountsWithItsEndAndNotBefore) {
  const TopicId id = make_.NewTopicId();
  LogReplay replay(image_);
  Apply(replay, {Begin(), make_.Topic("orders", id)});
  EXPECT_EQ(replay.open_since(), Offset{2});
  Apply(replay, {make_.Partitions(id, 0, 3), make_.Partitions(id, 3, 4)});
  LogReplay half = replay;
  const MetadataDelta within = half.Finish();
  EXPECT_EQ(within.after, image_);
  EXPECT_TRUE(within.created.empty());
  Apply(replay, {End()});
  EXPECT_EQ(replay.open_since(), std::nullopt);
  const MetadataDelta delta = replay.Finish();
  EXPECT_EQ(delta.before, image_);
  ASSERT_EQ(delta.created.size(), 1u);
  EXPECT_EQ(delta.created[0]->partition_count(), 7);
  EXPECT_EQ(PositionOf(*delta.after),
            (ImagePosition{Offset{7}, LeaderEpoch{1}, Timestamp{70}, delta.after->state_hash}));
}

TEST_F(LogReplayTest, AnAbortedTransactionNeverCounts) {
  LogReplay replay(image_);
  Apply(replay, {Begin()});
  Apply(replay, Topic("orders", 3));
  Apply(replay, {Abort()});
  EXPECT_EQ(replay.open_since(), std::nullopt);
  const MetadataDelta delta = replay.Finish();
  EXPECT_EQ(RowsOf(*delta.after), RowsOf(*image_));
  EXPECT_TRUE(delta.created.empty());
  EXPECT_EQ(delta.after->version, end_);
  // The same name, and the same id, are free.
  LogReplay again(delta.after);
  Apply(again, {Begin()});
  Apply(again, Topic("orders", 2));
  Apply(again, {End()});
  EXPECT_EQ(again.Finish().after->Topic("orders")->partition_count(), 2);
}

TEST_F(LogReplayTest, WhatComesBeforeAndAfterIsKept) {
  LogReplay replay(image_);
  Apply(replay, Topic("before", 1));
  Apply(replay, {Begin()});
  Apply(replay, Topic("aborted", 1));
  Apply(replay, {Abort()});
  Apply(replay, Topic("between", 1));
  Apply(replay, {Begin()});
  Apply(replay, Topic("ended", 1));
  Apply(replay, {End()});
  Apply(replay, Topic("after", 1));
  LogReplay open = replay;
  const Offset complete = end_;
  Apply(open, {Begin()});
  Apply(open, Topic("open", 1));
  for (LogReplay* const each : {&replay, &open}) {
    const MetadataDelta delta = each->Finish();
    EXPECT_EQ(delta.before, image_);
    EXPECT_EQ(delta.created.size(), 4u);
    EXPECT_EQ(delta.after->topics.size(), 4u);
    EXPECT_EQ(delta.after->partition_count, 4);
    EXPECT_EQ(delta.after->version, complete);
    EXPECT_EQ(delta.after->Topic("aborted"), nullptr);
  }
}

TEST_F(LogReplayTest, WithoutTransactionsItIsTheReplay) {
  LogReplay replay(image_);
  const Records topic = Topic("orders", 3);
  Apply(replay, topic);
  const MetadataDelta delta = replay.Finish();
  Replay plain(image_);
  ASSERT_TRUE(plain.Apply(Offset{2}, topic[0]).ok() && plain.Apply(Offset{3}, topic[1]).ok());
  EXPECT_EQ(RowsOf(*delta.after), RowsOf(*plain.Finish({}).after));
  EXPECT_EQ(delta.before, image_);
  EXPECT_EQ(delta.created.size(), 1u);
  EXPECT_FALSE(delta.brokers_changed);
}

TEST_F(LogReplayTest, BoundsThatDoNotFitAreRefused) {
  EXPECT_THAT(Refusal(image_, {Begin(), Begin()}), HasSubstr("inside of another one"));
  EXPECT_THAT(Refusal(image_, {End()}), HasSubstr("none is open"));
  EXPECT_THAT(Refusal(image_, {Abort()}), HasSubstr("none is open"));
  EXPECT_THAT(Refusal(image_, {Begin(), End(), End()}), HasSubstr("none is open"));
  EXPECT_THAT(Refusal(image_, {Begin(), Abort(), End()}), HasSubstr("none is open"));
  EXPECT_THAT(Refusal(nullptr, {Begin()}), HasSubstr("feature level"));
}

TEST_F(LogReplayTest, FeatureLevelOneHasNoTransactions) {
  LogReplay replay(nullptr);
  Apply(replay, {make_.FeatureLevel(1), make_.Cluster()});
  EXPECT_THAT(Refusal(replay.Finish().after, {Begin()}), HasSubstr("feature level"));
}

TEST_F(LogReplayTest, ContradictionsWithinATransactionAreRefused) {
  EXPECT_THAT(Refusal(image_, {Begin(), make_.Partitions(make_.NewTopicId(), 0, 1)}),
              HasSubstr("there is no topic"));
  const auto topic = Topic("orders", 1);
  EXPECT_THAT(Refusal(image_, {Begin(), topic[0], topic[1], topic[0]}),
              HasSubstr("is there already"));
}

TEST_F(LogReplayTest, RowsHaveNoTransactions) {
  for (const auto& record : {Begin(), End(), Abort()}) {
    Replay replay(image_);
    EXPECT_FALSE(replay.Apply(Offset{2}, record).ok());
  }
}

}  // namespace
}  // namespace gregor
