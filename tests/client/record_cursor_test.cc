#include "client/record_cursor.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace gregor {
namespace {

RecordBatch BatchAt(int64_t offset, int count, int16_t attributes = 0, Codec codec = Codec::kNone) {
  BatchBuilder builder({.codec = codec, .attributes = attributes});
  std::vector<std::string> values;
  for (int i = 0; i < count; ++i) {
    NewRecord record;
    values.push_back("value " + std::to_string(offset + i));
    record.value = values.back();
    record.timestamp = Timestamp{1};
    builder.Add(record);
  }
  RecordBatch batch = builder.Build();
  StampBatch(batch, Offset{offset}, LeaderEpoch{0}, TimestampType::kCreateTime, Timestamp{0});
  return batch;
}

Consumed ConsumedOf(const std::vector<RecordBatch>& batches, int64_t from = 0) {
  Consumed consumed;
  consumed.from = Offset{from};
  for (const RecordBatch& batch : batches) consumed.batches.Append(batch.bytes);
  return consumed;
}

std::vector<int64_t> Offsets(const Consumed& consumed) {
  std::vector<int64_t> offsets;
  RecordCursor cursor(consumed);
  for (auto record = cursor.Next(); record->has_value(); record = cursor.Next()) {
    offsets.push_back((*record)->offset.value);
    EXPECT_EQ((*record)->value, "value " + std::to_string(offsets.back()));
  }
  return offsets;
}

TEST(RecordCursor, WalksBatchAfterBatch) {
  EXPECT_EQ(Offsets(ConsumedOf({BatchAt(5, 2), BatchAt(9, 1), BatchAt(20, 3)})),
            (std::vector<int64_t>{5, 6, 9, 20, 21, 22}));
  EXPECT_EQ(Offsets(ConsumedOf({})), std::vector<int64_t>());
}

TEST(RecordCursor, LeavesOutWhatIsBeforeTheStart) {
  EXPECT_EQ(Offsets(ConsumedOf({BatchAt(0, 3), BatchAt(3, 3)}, 4)), (std::vector<int64_t>{4, 5}));
}

TEST(RecordCursor, LeavesOutControlBatches) {
  EXPECT_EQ(
      Offsets(ConsumedOf({BatchAt(0, 1), BatchAt(1, 1, BatchHeader::kControlBit), BatchAt(2, 1)})),
      (std::vector<int64_t>{0, 2}));
}

TEST(RecordCursor, ReadsBytesThatLieInManySlices) {
  const Consumed whole = ConsumedOf({BatchAt(0, 50), BatchAt(50, 50, 0, Codec::kLz4)});
  Random random(3);
  Consumed cut;
  for (size_t at = 0; at < whole.batches.size();) {
    const size_t size = std::min<size_t>(1 + random.Below(40), whole.batches.size() - at);
    cut.batches.Append(Slice::Own(whole.batches.Sub(at, size).ToString()));
    at += size;
  }
  EXPECT_EQ(Offsets(cut), Offsets(whole));
}

TEST(RecordCursor, GoesOnBehindADamagedBatch) {
  std::string bytes = BatchAt(0, 3).bytes.ToString();
  bytes[70] ^= 1;
  Consumed consumed;
  consumed.batches.Append(Slice::Own(bytes));
  consumed.batches.Append(BatchAt(3, 1).bytes);
  RecordCursor cursor(consumed);
  const auto damaged = cursor.Next();
  ASSERT_FALSE(damaged.ok());
  EXPECT_EQ(damaged.error().reason, Reason::kCorruptBatch);
  const auto next = cursor.Next();
  ASSERT_TRUE(next.ok());
  EXPECT_EQ((*next)->offset, Offset{3});
  EXPECT_FALSE(cursor.Next()->has_value());
}

TEST(RecordCursor, NamesThePlaceOfADamagedBatchAndWhatComesBehind) {
  std::string bytes = BatchAt(5, 3).bytes.ToString();
  bytes[70] ^= 1;
  Consumed consumed = ConsumedOf({BatchAt(3, 2)});
  consumed.topic = "orders";
  consumed.partition = PartitionIndex{7};
  consumed.next_offset = Offset{20};
  consumed.batches.Append(Slice::Own(bytes));
  consumed.batches.Append(BatchAt(10, 1).bytes);
  consumed.batches.Append(Slice::Copy("no batch at all"));
  RecordCursor cursor(consumed);
  ASSERT_TRUE(cursor.Next().ok());
  ASSERT_TRUE(cursor.Next().ok());
  const Error damaged = cursor.Next().error();
  EXPECT_TRUE(damaged.message.starts_with("partition 7 of topic \"orders\", batch at offset 5: "))
      << damaged;
  EXPECT_EQ(DetailOf(damaged, "topic"), "orders");
  EXPECT_EQ(DetailOf(damaged, "partition"), "7");
  EXPECT_EQ(DetailOf(damaged, "offset"), "5");
  EXPECT_EQ(DetailOf(damaged, "next_offset"), "8");
  ASSERT_TRUE(cursor.Next().ok());
  // Where not even the length can be read, it goes on behind all that came.
  const Error unknown = cursor.Next().error();
  EXPECT_EQ(DetailOf(unknown, "offset"), "11");
  EXPECT_EQ(DetailOf(unknown, "next_offset"), "20");
}

TEST(RecordCursor, ADamagedHeaderDoesNotSendAReaderAstray) {
  std::string bytes = BatchAt(5, 3).bytes.ToString();
  bytes[23] ^= 0x40;  // the last offset's delta
  Consumed consumed;
  consumed.next_offset = Offset{8};
  consumed.batches.Append(Slice::Own(bytes));
  RecordCursor cursor(consumed);
  const auto damaged = cursor.Next();
  ASSERT_FALSE(damaged.ok());
  EXPECT_EQ(DetailOf(damaged.error(), "next_offset"), "8");
}

TEST(RecordCursor, EndsBehindABatchWithoutLength) {
  Consumed consumed = ConsumedOf({BatchAt(0, 1)});
  consumed.batches.Append(Slice::Copy("no batch at all"));
  RecordCursor cursor(consumed);
  EXPECT_TRUE(cursor.Next()->has_value());
  EXPECT_EQ(cursor.Next().error().reason, Reason::kCorruptBatch);
  EXPECT_FALSE(cursor.Next()->has_value());
}

TEST(RecordCursor, ABatchThatDecompressesToTooMuchIsAnError) {
  BatchBuilder builder({.codec = Codec::kZstd});
  const std::string zeros(1 << 20, '\0');
  NewRecord record;
  record.value = zeros;
  builder.Add(record);
  Consumed consumed;
  consumed.batches = builder.Build().bytes;
  RecordCursor cursor(consumed, 1000);
  EXPECT_EQ(cursor.Next().error().reason, Reason::kBatchTooLarge);
  EXPECT_FALSE(cursor.Next()->has_value());
}

}  // namespace
}  // namespace gregor
