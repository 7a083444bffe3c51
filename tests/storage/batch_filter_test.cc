#include "storage/batch_filter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace gregor {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using Kind = FilteredBatch::Kind;

constexpr int64_t kNow = 1'000'000;
constexpr int64_t kRetention = 500;

struct Entry {
  std::optional<std::string> key, value;
  int64_t time = kNow;
};

class BatchFilterTest : public testing::Test {
 protected:
  // A batch whose records are in the map, too.
  RecordBatch Make(int64_t base, const std::vector<Entry>& entries,
                   BatchBuilder::Options options = {}) {
    BatchBuilder builder(options);
    int64_t offset = base;
    for (const Entry& entry : entries) {
      NewRecord record;
      if (entry.key.has_value()) record.key = *entry.key;
      if (entry.value.has_value()) record.value = *entry.value;
      record.timestamp = Timestamp{entry.time};
      builder.Add(record);
      if (entry.key.has_value()) map_.Put(*entry.key, Offset{offset});
      ++offset;
    }
    RecordBatch batch = builder.Build();
    StampBatch(batch, Offset{base}, LeaderEpoch{3}, TimestampType::kCreateTime, Timestamp{0});
    map_end_ = Offset{offset};
    return batch;
  }
  BatchFilter Filter(int64_t now = kNow) {
    BatchFilter::Rules rules;
    rules.map_end = map_end_;
    rules.now = Timestamp{now};
    rules.delete_retention_ms = kRetention;
    return BatchFilter(map_, rules);
  }
  static FilteredBatch Apply(BatchFilter& filter, const RecordBatch& batch, bool needed = false) {
    const std::string bytes = batch.bytes.ToString();
    return filter.Apply(batch.header, Span(bytes), needed);
  }
  static RecordBatch Parse(const FilteredBatch& filtered) {
    EXPECT_EQ(filtered.kind, Kind::kRewritten);
    auto batch = CheckBatch(Slice::Copy(filtered.bytes));
    CHECK(batch.ok()) << batch.error();
    CHECK_EQ(batch->header.crc, filtered.header.crc);
    return *std::move(batch);
  }
  // "offset:key=value", as they are left.
  static std::vector<std::string> Left(const FilteredBatch& filtered) {
    const RecordBatch batch = Parse(filtered);
    std::vector<std::string> left;
    if (batch.header.record_count == 0) return left;
    auto reader = RecordReader::Open(batch, 1 << 20);
    CHECK(reader.ok()) << reader.error();
    while (true) {
      const auto record = reader->Next();
      CHECK(record.ok()) << record.error();
      if (!record->has_value()) break;
      const RecordView& view = **record;
      left.push_back(std::to_string(view.offset.value) + ":" +
                     std::string(view.key.value_or("null")) + "=" +
                     std::string(view.value.value_or("null")));
    }
    EXPECT_EQ(left.size(), static_cast<size_t>(batch.header.record_count));
    return left;
  }
  static std::span<const uint8_t> Span(const std::string& bytes) {
    return {reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()};
  }

  KeyMap map_{1 << 20, 16, {1}, {2}};
  Offset map_end_{0};
};

TEST_F(BatchFilterTest, LeavesABatchAloneFromWhichNothingGoes) {
  const RecordBatch batch = Make(0, {{"a", "1"}, {"b", "2"}});
  BatchFilter filter = Filter();
  EXPECT_EQ(Apply(filter, batch).kind, Kind::kWhole);
}

TEST_F(BatchFilterTest, KeepsTheLatestOfEachKeyAtItsOffset) {
  const RecordBatch first = Make(10, {{"a", "1"}, {"b", "1"}, {"a", "2"}, {"c", "1"}});
  const RecordBatch second = Make(14, {{"b", "2"}});
  BatchFilter filter = Filter();
  const FilteredBatch filtered = Apply(filter, first);
  EXPECT_THAT(Left(filtered), ElementsAre("12:a=2", "13:c=1"));
  EXPECT_EQ(filtered.header.base_offset, Offset{10});
  EXPECT_EQ(filtered.header.next_offset(), Offset{14});
  EXPECT_EQ(filtered.header.leader_epoch, LeaderEpoch{3});
  EXPECT_EQ(Apply(filter, second).kind, Kind::kWhole);
}

TEST_F(BatchFilterTest, RecordsThatTheMapDoesNotReachStay) {
  const RecordBatch batch = Make(0, {{"a", "1"}, {"a", "2"}, {"a", "3"}});
  map_end_ = Offset{1};
  KeyMap map(1 << 20, 16, {1}, {2});
  map.Put("a", Offset{0});
  BatchFilter::Rules rules;
  rules.map_end = Offset{1};
  rules.now = Timestamp{kNow};
  BatchFilter filter(map, rules);
  EXPECT_EQ(Apply(filter, batch).kind, Kind::kWhole);
}

TEST_F(BatchFilterTest, ABatchOfWhichNothingIsLeftGoesUnlessItIsNeeded) {
  BatchBuilder::Options options;
  options.producer_id = ProducerId{7};
  options.producer_epoch = ProducerEpoch{1};
  options.base_sequence = Sequence{5};
  const RecordBatch batch = Make(0, {{"a", "1"}, {"a", "2"}}, options);
  Make(2, {{"a", "3"}});
  BatchFilter filter = Filter();
  EXPECT_EQ(Apply(filter, batch).kind, Kind::kNothing);
  const FilteredBatch emptied = Apply(filter, batch, true);
  EXPECT_THAT(Left(emptied), IsEmpty());
  const BatchHeader& header = emptied.header;
  EXPECT_EQ(header.next_offset(), Offset{2});
  EXPECT_EQ(header.producer_id, ProducerId{7});
  EXPECT_EQ(header.producer_epoch, ProducerEpoch{1});
  EXPECT_EQ(header.base_sequence, Sequence{5});
  EXPECT_EQ(header.last_sequence(), Sequence{6});
  EXPECT_EQ(header.record_count, 0);
  // Later, when nobody needs it any more.
  const RecordBatch again = Parse(emptied);
  EXPECT_EQ(Apply(filter, again, true).kind, Kind::kWhole);
  EXPECT_EQ(Apply(filter, again, false).kind, Kind::kNothing);
}

TEST_F(BatchFilterTest, RecordsWithoutAKeyGo) {
  const RecordBatch batch = Make(0, {{std::nullopt, "1"}, {"a", "2"}});
  BatchFilter filter = Filter();
  EXPECT_THAT(Left(Apply(filter, batch)), ElementsAre("1:a=2"));
}

TEST_F(BatchFilterTest, ATombstoneStaysUntilItsHorizon) {
  const RecordBatch batch = Make(0, {{"a", std::nullopt}, {"b", "1", kNow + 9}});
  BatchFilter filter = Filter();
  const FilteredBatch marked = Apply(filter, batch);
  EXPECT_THAT(Left(marked), ElementsAre("0:a=null", "1:b=1"));
  ASSERT_TRUE(marked.header.has_delete_horizon());
  EXPECT_EQ(marked.header.base_timestamp, Timestamp{kNow + kRetention});
  // Times of records are as before.
  const RecordBatch kept = Parse(marked);
  auto reader = RecordReader::Open(kept, 1 << 20);
  EXPECT_EQ((*reader->Next())->timestamp, Timestamp{kNow});
  EXPECT_EQ((*reader->Next())->timestamp, Timestamp{kNow + 9});

  BatchFilter before = Filter(kNow + kRetention - 1);
  EXPECT_EQ(Apply(before, kept).kind, Kind::kWhole);
  BatchFilter after = Filter(kNow + kRetention);
  const FilteredBatch gone = Apply(after, kept);
  EXPECT_THAT(Left(gone), ElementsAre("1:b=1"));
}

TEST_F(BatchFilterTest, AHorizonOfNeverIsNoOverflow) {
  const RecordBatch batch = Make(0, {{"a", std::nullopt}});
  BatchFilter::Rules rules;
  rules.map_end = map_end_;
  rules.now = Timestamp{kNow};
  rules.delete_retention_ms = INT64_MAX;
  BatchFilter filter(map_, rules);
  const FilteredBatch marked = Apply(filter, batch);
  EXPECT_EQ(marked.header.base_timestamp, Timestamp{INT64_MAX});
  EXPECT_THAT(Left(marked), ElementsAre("0:a=null"));
}

TEST_F(BatchFilterTest, ControlAndTransactionalBatchesStayAsTheyAre) {
  for (const int16_t attribute :
       {BatchHeader::kTransactionalBit,
        static_cast<int16_t>(BatchHeader::kTransactionalBit | BatchHeader::kControlBit)}) {
    RecordBatch batch = Make(0, {{"a", "1"}});
    Make(1, {{"a", "2"}});
    batch.header.attributes = static_cast<int16_t>(batch.header.attributes | attribute);
    BatchFilter filter = Filter();
    EXPECT_EQ(Apply(filter, batch).kind, Kind::kWhole);
  }
}

TEST_F(BatchFilterTest, WhatCannotBeReadStaysAndKeepsTombstonesFromGoing) {
  RecordBatch damaged = Make(0, {{"b", "1"}});
  std::string bytes = damaged.bytes.ToString();
  bytes[kBatchHeaderBytes] = '\x7f';  // a record longer than the batch
  const RecordBatch tombstone = Make(1, {{"a", std::nullopt}});
  BatchFilter filter = Filter();
  const RecordBatch old = Parse(Apply(filter, tombstone));

  BatchFilter later = Filter(kNow + 10 * kRetention);
  EXPECT_EQ(later.Apply(damaged.header, Span(bytes), false).kind, Kind::kWhole);
  EXPECT_EQ(later.unreadable_count(), 1u);
  EXPECT_EQ(Apply(later, old).kind, Kind::kWhole);
  BatchFilter without = Filter(kNow + 10 * kRetention);
  EXPECT_EQ(Apply(without, old).kind, Kind::kNothing);
}

TEST_F(BatchFilterTest, TheLargestTimeIsThatOfWhatIsLeft) {
  const RecordBatch batch = Make(0, {{"a", "1", 900}, {"b", "1", 100}});
  Make(2, {{"a", "2", 50}});
  BatchFilter filter = Filter();
  const FilteredBatch filtered = Apply(filter, batch);
  EXPECT_THAT(Left(filtered), ElementsAre("1:b=1"));
  EXPECT_EQ(filtered.header.max_timestamp, Timestamp{100});
}

}  // namespace
}  // namespace gregor
