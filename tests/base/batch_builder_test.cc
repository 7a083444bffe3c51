#include <gtest/gtest.h>

#include "base/random.h"
#include "base/record_batch.h"

namespace gregor {
namespace {

NewRecord RecordOf(std::string_view value, int64_t time) {
  NewRecord record;
  record.value = value;
  record.timestamp = Timestamp{time};
  return record;
}

TEST(BatchBuilder, IsEmptyAfterBuildAndStartsAnew) {
  BatchBuilder builder;
  builder.Add(RecordOf("first", 100));
  builder.Add(RecordOf("second", 50));
  EXPECT_EQ(builder.record_count(), 2);
  const RecordBatch two = builder.Build();
  EXPECT_EQ(builder.record_count(), 0);
  EXPECT_EQ(builder.size(), kBatchHeaderBytes);
  builder.Add(RecordOf("third", 7));
  const RecordBatch one = builder.Build();
  EXPECT_EQ(one.header.record_count, 1);
  EXPECT_EQ(one.header.last_offset_delta, 0);
  EXPECT_EQ(one.header.base_timestamp, Timestamp{7});
  EXPECT_EQ(one.header.max_timestamp, Timestamp{7});
  auto reader = RecordReader::Open(one, 1 << 10);
  EXPECT_EQ((*reader->Next())->value, "third");
  EXPECT_TRUE(CheckBatch(two.bytes).ok());
  EXPECT_EQ(two.header.size(), two.bytes.size());
}

TEST(BatchBuilder, TheFirstTimeIsTheBaseAndTheLargestTheMaximum) {
  BatchBuilder builder;
  for (const int64_t time : {500, 900, 100, 600}) builder.Add(RecordOf("x", time));
  const RecordBatch batch = builder.Build();
  EXPECT_EQ(batch.header.base_timestamp, Timestamp{500});
  EXPECT_EQ(batch.header.max_timestamp, Timestamp{900});
  builder.Add(RecordOf("x", kNoTimestamp.value));
  EXPECT_EQ(builder.Build().header.max_timestamp, kNoTimestamp);
}

TEST(BatchBuilder, WritesTheProducerAndTheFlagsIntoTheHeader) {
  BatchBuilder builder({.codec = Codec::kLz4,
                        .producer_id = ProducerId{7},
                        .producer_epoch = ProducerEpoch{3},
                        .base_sequence = Sequence{41},
                        .attributes = BatchHeader::kTransactionalBit});
  for (int i = 0; i < 3; ++i) builder.Add(RecordOf("x", 1));
  const BatchHeader header = builder.Build().header;
  EXPECT_EQ(header.codec(), Codec::kLz4);
  EXPECT_TRUE(header.is_transactional());
  EXPECT_FALSE(header.is_control());
  EXPECT_EQ(header.producer_id, ProducerId{7});
  EXPECT_EQ(header.producer_epoch, ProducerEpoch{3});
  EXPECT_EQ(header.base_sequence, Sequence{41});
  EXPECT_EQ(header.last_sequence(), Sequence{43});
  EXPECT_EQ(header.base_offset, Offset{0});
  EXPECT_EQ(header.leader_epoch, kNoLeaderEpoch);
  EXPECT_EQ(header.magic, 2);
}

TEST(BatchBuilder, TheSizeIsExactAndTheBoundHoldsForEveryShapeOfRecord) {
  Random random(11);
  for (int round = 0; round < 300; ++round) {
    BatchBuilder builder;
    const std::string text(70000, 'x');
    size_t bound = kBatchHeaderBytes;
    for (uint64_t i = 0, count = 1 + random.Below(70); i < count; ++i) {
      const auto part = [&]() -> std::optional<std::string_view> {
        if (random.Chance(0.2)) return std::nullopt;
        const size_t size_max = random.Chance(0.02) ? text.size() : 200;
        return std::string_view(text).substr(0, random.Below(size_max));
      };
      NewRecord record{part(), part(), {}, Timestamp{random.Between(-100000, 1700000000000)}};
      for (uint64_t n = random.Below(4); n > 0; --n)
        record.headers.push_back({part().value_or(""), part()});
      const size_t before = builder.size();
      builder.Add(record);
      EXPECT_LE(builder.size() - before, BatchBuilder::SizeBound(record));
      bound += BatchBuilder::SizeBound(record);
    }
    const size_t size = builder.size();
    EXPECT_LE(size, bound);
    EXPECT_EQ(builder.Build().bytes.size(), size);
  }
}

TEST(BatchBuilder, AllocatesOnceForWhatFitsIntoItsCapacity) {
  BatchBuilder builder({.capacity = 4096});
  EXPECT_EQ(builder.capacity(), 0u);
  while (builder.size() + BatchBuilder::SizeBound(RecordOf("value", 1)) <= 4096) {
    builder.Add(RecordOf("value", 1));
    EXPECT_EQ(builder.capacity(), 4096u);
  }
  while (builder.size() <= 4096) builder.Add(RecordOf("value", 1));
  EXPECT_EQ(builder.capacity(), 8192u);
  const RecordBatch batch = builder.Build();
  EXPECT_TRUE(CheckBatch(batch.bytes).ok());
  EXPECT_EQ(builder.capacity(), 0u);
}

TEST(BatchBuilder, TheProducerMayBeSetLast) {
  BatchBuilder builder;
  builder.Add(RecordOf("x", 1));
  builder.SetProducer(ProducerId{5}, ProducerEpoch{2}, Sequence{17});
  const RecordBatch batch = builder.Build();
  EXPECT_EQ(batch.header.producer_id, ProducerId{5});
  EXPECT_EQ(batch.header.producer_epoch, ProducerEpoch{2});
  EXPECT_EQ(batch.header.base_sequence, Sequence{17});
  EXPECT_TRUE(CheckBatch(batch.bytes).ok());
}

// The broker, which assembles batches for plain stubs, obeys the rules that it has for others.
TEST(BatchBuilder, WhatItBuildsPassesTheChecksOnProduce) {
  Random random(12);
  for (const Codec codec :
       {Codec::kNone, Codec::kGzip, Codec::kSnappy, Codec::kLz4, Codec::kZstd}) {
    BatchBuilder builder({.codec = codec});
    for (int64_t i = 0; i < 500; ++i) {
      NewRecord record = RecordOf("value", 1700000000000 - random.Between(0, 1000));
      record.key = "key";
      record.headers = {{"name", "value"}};
      builder.Add(record);
    }
    ProduceRules rules;
    rules.now = Timestamp{1700000000000};
    rules.keys_required = true;
    const RecordBatch batch = builder.Build();
    const auto checked = CheckProducedBatch(batch.bytes, rules);
    ASSERT_TRUE(checked.ok()) << checked.error();
    // Nothing had to be put right.
    EXPECT_EQ(checked->bytes.ToString(), batch.bytes.ToString());
  }
}

// Such a batch cannot be written in the format; it is refused where it is read, not misread.
TEST(BatchBuilder, TimesThatAreTooFarApartAreNoticed) {
  BatchBuilder builder;
  builder.Add(RecordOf("x", INT64_MIN));
  builder.Add(RecordOf("x", INT64_MAX));
  const RecordBatch batch = builder.Build();
  auto reader = RecordReader::Open(batch, 1 << 10);
  EXPECT_TRUE(reader->Next().ok());
  EXPECT_FALSE(reader->Next().ok());
}

TEST(BatchBuilderDeathTest, RefusesToBuildNothing) { EXPECT_DEATH(BatchBuilder().Build(), ""); }

}  // namespace
}  // namespace gregor
