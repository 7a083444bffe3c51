#include "broker/grpc/record_encoder.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/record_batch.h"
#include "broker/grpc/conversions.h"
#include "gregor/v1/fetch.pb.h"

namespace gregor {
namespace {

constexpr uint32_t kField = 6;  // of FetchResponse

RecordBatch MakeBatch(Offset base, const std::vector<NewRecord>& records, Codec codec,
                      int16_t attributes = 0) {
  BatchBuilder builder({.codec = codec, .attributes = attributes});
  for (const NewRecord& record : records) builder.Add(record);
  RecordBatch batch = builder.Build();
  StampBatch(batch, base, LeaderEpoch{1}, TimestampType::kCreateTime, Timestamp{0});
  return batch;
}

NewRecord MakeRecord(std::string_view key, std::string_view value, int64_t time) {
  NewRecord record;
  record.key = key;
  record.value = value;
  record.timestamp = Timestamp{time};
  return record;
}

v1::FetchResponse Parse(const EncodedRecords& records) {
  v1::FetchResponse response;
  EXPECT_TRUE(response.ParseFromString(std::string(records.bytes.view())));
  EXPECT_EQ(response.records_size(), records.count);
  // As the generated code would have written it.
  EXPECT_EQ(response.SerializeAsString(), records.bytes.view());
  return response;
}

std::vector<int64_t> Offsets(const v1::FetchResponse& response) {
  std::vector<int64_t> offsets;
  for (const auto& record : response.records()) offsets.push_back(record.offset());
  return offsets;
}

std::string FactOf(const Error& error, const std::string& key) {
  for (const auto& [name, value] : error.details) {
    if (name == key) return value;
  }
  return "";
}

class RecordEncoderTest : public testing::TestWithParam<Codec> {
 protected:
  // Batches of 3 records at 10, 13 and 16.
  Bytes ThreeBatches() const {
    Bytes bytes;
    for (int64_t base = 10; base < 19; base += 3) {
      bytes.Append(
          MakeBatch(Offset{base},
                    {MakeRecord("k", "a", 5), MakeRecord("k", "b", 6), MakeRecord("k", "c", 7)},
                    GetParam())
              .bytes);
    }
    return bytes;
  }
};

INSTANTIATE_TEST_SUITE_P(Codecs, RecordEncoderTest, testing::Values(Codec::kNone, Codec::kZstd),
                         [](const auto& codec) {
                           return codec.param == Codec::kNone ? "None" : "Zstd";
                         });

TEST_P(RecordEncoderTest, RecordsComeOutAsTheyWentIn) {
  NewRecord full = MakeRecord("key", "value", 1'700'000'000'000);
  full.headers = {{"h", "x"}, {"null", std::nullopt}, {"", ""}};
  NewRecord tombstone;
  tombstone.key = "gone";
  tombstone.timestamp = Timestamp{7};
  NewRecord empty;
  empty.value = "";
  empty.timestamp = Timestamp{0};
  const RecordBatch batch = MakeBatch(Offset{0}, {full, tombstone, empty}, GetParam());
  const auto encoded = EncodeRecords(batch.bytes, Offset{3}, {}, kField);
  ASSERT_TRUE(encoded.ok()) << encoded.error();
  EXPECT_EQ(encoded->next_offset, Offset{3});
  const auto response = Parse(*encoded);
  ASSERT_EQ(response.records_size(), 3);
  const auto& first = response.records(0);
  EXPECT_EQ(first.key(), "key");
  EXPECT_EQ(first.value(), "value");
  EXPECT_EQ(first.timestamp_ms(), 1'700'000'000'000);
  EXPECT_EQ(first.offset(), 0);
  ASSERT_EQ(first.headers_size(), 3);
  EXPECT_EQ(first.headers(0).value(), "x");
  EXPECT_FALSE(first.headers(1).has_value());
  EXPECT_TRUE(first.headers(2).has_value());
  EXPECT_TRUE(response.records(1).has_key());
  EXPECT_FALSE(response.records(1).has_value());
  EXPECT_FALSE(response.records(2).has_key());
  EXPECT_TRUE(response.records(2).has_value());
  EXPECT_EQ(response.records(2).offset(), 2);
}

TEST_P(RecordEncoderTest, RecordsBeforeThePositionAreSkipped) {
  const auto encoded = EncodeRecords(ThreeBatches(), Offset{19}, {.from = Offset{14}}, kField);
  ASSERT_TRUE(encoded.ok());
  EXPECT_EQ(Offsets(Parse(*encoded)), (std::vector<int64_t>{14, 15, 16, 17, 18}));
}

TEST_P(RecordEncoderTest, LimitsStopBetweenRecordsAndReadingGoesOnThere) {
  const Bytes batches = ThreeBatches();
  EncodeLimits limits{.from = Offset{10}, .bytes_max = 40};
  std::vector<int64_t> all;
  while (limits.from < Offset{19}) {
    const auto encoded = EncodeRecords(batches, Offset{19}, limits, kField);
    ASSERT_TRUE(encoded.ok());
    ASSERT_GT(encoded->count, 0);
    EXPECT_LE(encoded->bytes.size(), limits.bytes_max);
    const auto part = Offsets(Parse(*encoded));
    all.insert(all.end(), part.begin(), part.end());
    limits.from = encoded->next_offset;
  }
  EXPECT_EQ(all, (std::vector<int64_t>{10, 11, 12, 13, 14, 15, 16, 17, 18}));
  const auto few = EncodeRecords(batches, Offset{19}, {.records_max = 4}, kField);
  EXPECT_EQ(few->count, 4);
  EXPECT_EQ(few->next_offset, Offset{14});
  const auto before = EncodeRecords(batches, Offset{19}, {.before = Offset{12}}, kField);
  EXPECT_EQ(before->count, 2);
  EXPECT_EQ(before->next_offset, Offset{12});
}

TEST_P(RecordEncoderTest, ARecordThatDoesNotFitAtAllSaysWhatItNeeds) {
  const std::string value(1000, 'v');
  const RecordBatch batch = MakeBatch(Offset{5}, {MakeRecord("k", value, 1)}, GetParam());
  const auto small = EncodeRecords(batch.bytes, Offset{6}, {.bytes_max = 100}, kField);
  ASSERT_FALSE(small.ok());
  EXPECT_EQ(small.error().reason, Reason::kFetchTooSmall);
  ASSERT_EQ(small.error().details[0].first, "needed_bytes");
  const size_t needed = std::stoul(small.error().details[0].second);
  EXPECT_TRUE(EncodeRecords(batch.bytes, Offset{6}, {.bytes_max = needed}, kField).ok());
  EXPECT_FALSE(EncodeRecords(batch.bytes, Offset{6}, {.bytes_max = needed - 1}, kField).ok());
}

TEST(RecordEncoder, ARecordThatNobodyMayAskForSaysWhereToGoOn) {
  Bytes batches =
      MakeBatch(Offset{5}, {MakeRecord("k", std::string(9000, 'v'), 1)}, Codec::kZstd).bytes;
  EncodeLimits limits{.bytes_max = 100, .bytes_limit = 9100};
  const auto small = EncodeRecords(batches, Offset{6}, limits, kField);
  ASSERT_FALSE(small.ok());
  EXPECT_NE(small.error().message.find("ask for more"), std::string::npos);
  EXPECT_EQ(FactOf(small.error(), "next_offset"), "");
  limits.bytes_limit = 8000;
  const auto never = EncodeRecords(batches, Offset{6}, limits, kField);
  ASSERT_FALSE(never.ok());
  const Error& error = never.error();
  EXPECT_EQ(error.reason, Reason::kFetchTooSmall);
  EXPECT_EQ(error.message.find("ask for more"), std::string::npos);
  for (const char* const part :
       {"8000", "message_limit", "go on at offset 6", "RECORD_FORMAT_BATCHES"})
    EXPECT_NE(error.message.find(part), std::string::npos) << error.message;
  EXPECT_EQ(FactOf(error, "limit_bytes"), "8000");
  EXPECT_EQ(FactOf(error, "offset"), "5");
  EXPECT_EQ(FactOf(error, "next_offset"), "6");
  EXPECT_GT(std::stoi(FactOf(error, "needed_bytes")), 9000);
}

TEST(RecordEncoder, RecordsHoldTheirShareOfTheMemoryForAnswersUntilTheyAreLetGo) {
  const std::string value(100'000, 'v');
  const std::vector<NewRecord> records(10, MakeRecord("k", value, 1));
  const Bytes batches = MakeBatch(Offset{0}, records, Codec::kZstd).bytes;
  Budget budget(1 << 20);
  Budget::Share answer = budget.TryAcquire(batches.size());
  const size_t before = budget.used();
  EncodeLimits limits{.bytes_max = 450'000, .answer = &answer};
  {
    auto encoded = EncodeRecords(batches, Offset{10}, limits, kField);
    ASSERT_TRUE(encoded.ok()) << encoded.error();
    EXPECT_EQ(encoded->count, 4);
    answer.Release();
    EXPECT_EQ(budget.used(), encoded->bytes.size());
    // It is cut to the memory that is left.
    answer = budget.TryAcquire(before);
    limits = {.from = encoded->next_offset, .bytes_max = 2 << 20, .answer = &answer};
    const auto others = budget.TryAcquire(400'000);
    const auto rest = EncodeRecords(batches, Offset{10}, limits, kField);
    ASSERT_TRUE(rest.ok()) << rest.error();
    EXPECT_EQ(rest->count, 2);
    EXPECT_EQ(rest->next_offset, Offset{6});
    const auto more = budget.TryAcquire(budget.max() - budget.used());
    limits.from = rest->next_offset;
    const auto none = EncodeRecords(batches, Offset{10}, limits, kField);
    EXPECT_EQ(none.error().reason, Reason::kQuotaExceeded);
  }
  answer.Release();
  EXPECT_EQ(budget.used(), 0u);
}

TEST(RecordEncoder, ARecordThatExceedsTheMemoryForAnswersHasItToItself) {
  const std::string value(100'000, 'v');
  const std::vector<NewRecord> records(2, MakeRecord("k", value, 1));
  const Bytes batches = MakeBatch(Offset{0}, records, Codec::kZstd).bytes;
  Budget small(50'000);
  Budget::Share answer = small.TryAcquire(1);
  const EncodeLimits limits{.bytes_max = 150'000, .answer = &answer};
  const auto alone = EncodeRecords(batches, Offset{2}, limits, kField);
  ASSERT_TRUE(alone.ok()) << alone.error();
  EXPECT_EQ(alone->count, 1);
  EXPECT_EQ(small.used(), small.max());
}

TEST(RecordEncoder, ControlBatchesArePassedOver) {
  Bytes batches =
      MakeBatch(Offset{0}, {MakeRecord("k", "marker", 1)}, Codec::kNone, BatchHeader::kControlBit)
          .bytes;
  batches.Append(MakeBatch(Offset{1}, {MakeRecord("k", "v", 1)}, Codec::kNone).bytes);
  const auto encoded = EncodeRecords(batches, Offset{2}, {}, kField);
  ASSERT_TRUE(encoded.ok());
  EXPECT_EQ(Offsets(Parse(*encoded)), std::vector<int64_t>{1});
}

TEST(RecordEncoder, AnUndecodableBatchIsNamed) {
  RecordBatch batch =
      MakeBatch(Offset{41}, {MakeRecord("k", std::string(500, 'x'), 1)}, Codec::kZstd);
  std::string bytes = batch.bytes.ToString();
  bytes[kBatchHeaderBytes] ^= 0x55;
  const auto encoded = EncodeRecords(Slice::Own(bytes), Offset{42}, {}, kField);
  ASSERT_FALSE(encoded.ok());
  EXPECT_EQ(encoded.error().reason, Reason::kCorruptBatch);
  EXPECT_NE(encoded.error().message.find("batch at offset 41 "), std::string::npos);
  EXPECT_NE(encoded.error().message.find("go on at offset 42"), std::string::npos);
  const std::vector<std::pair<std::string, std::string>> place = {{"offset", "41"},
                                                                  {"next_offset", "42"}};
  EXPECT_EQ(encoded.error().details, place);
  const Error named = AtPartition(encoded.error(), "orders", PartitionIndex{3});
  EXPECT_EQ(named.message.find("partition 3 of topic \"orders\": the batch"), 0u);
}

TEST(RecordEncoder, WhatLiesBeforeAnUndecodableBatchComesFirst) {
  Bytes batches = MakeBatch(Offset{40}, {MakeRecord("k", "v", 1)}, Codec::kNone).bytes;
  std::string bytes =
      MakeBatch(Offset{41}, {MakeRecord("k", std::string(500, 'x'), 1)}, Codec::kZstd)
          .bytes.ToString();
  bytes[kBatchHeaderBytes] ^= 0x55;
  batches.Append(Slice::Own(bytes));
  batches.Append(MakeBatch(Offset{42}, {MakeRecord("k", "v", 1)}, Codec::kNone).bytes);
  const auto before = EncodeRecords(batches, Offset{43}, {.from = Offset{40}}, kField);
  ASSERT_TRUE(before.ok()) << before.error();
  EXPECT_EQ(Offsets(Parse(*before)), std::vector<int64_t>{40});
  EXPECT_EQ(before->next_offset, Offset{41});
  EXPECT_EQ(EncodeRecords(batches, Offset{43}, {.from = Offset{41}}, kField).error().reason,
            Reason::kCorruptBatch);
  const auto behind = EncodeRecords(batches, Offset{43}, {.from = Offset{42}}, kField);
  ASSERT_TRUE(behind.ok()) << behind.error();
  EXPECT_EQ(Offsets(Parse(*behind)), std::vector<int64_t>{42});
}

TEST(RecordEncoder, CompressedBatchesAreDecodedWithinTheMemoryThatIsGiven) {
  const std::string large(300'000, 'v');
  Bytes batches = MakeBatch(Offset{0}, {MakeRecord("k", "v", 1)}, Codec::kNone).bytes;
  batches.Append(MakeBatch(Offset{1}, {MakeRecord("k", large, 1)}, Codec::kZstd).bytes);
  Budget budget(1 << 20);
  const EncodeLimits limits{.from = Offset{1}, .memory = &budget};
  EXPECT_TRUE(EncodeRecords(batches, Offset{2}, limits, kField).ok());
  EXPECT_EQ(budget.used(), 0u);
  {
    const auto others = budget.TryAcquire(900'000);
    EXPECT_EQ(EncodeRecords(batches, Offset{2}, limits, kField).error().reason,
              Reason::kQuotaExceeded);
    EXPECT_EQ(budget.used(), 900'000u);
    // What needs none of it comes all the same, and first.
    const auto first = EncodeRecords(batches, Offset{2}, {.memory = &budget}, kField);
    ASSERT_TRUE(first.ok()) << first.error();
    EXPECT_EQ(first->next_offset, Offset{1});
  }
  // One that exceeds all of the memory can be read where nobody else needs any.
  Budget small(100'000);
  const EncodeLimits few{.from = Offset{1}, .memory = &small};
  EXPECT_TRUE(EncodeRecords(batches, Offset{2}, few, kField).ok());
  EXPECT_EQ(small.used(), 0u);
  const auto other = small.TryAcquire(1);
  EXPECT_EQ(EncodeRecords(batches, Offset{2}, few, kField).error().reason, Reason::kQuotaExceeded);
}

TEST(RecordEncoder, SmallUncompressedBatchesAreQuick) {
  const Bytes small = MakeBatch(Offset{0}, {MakeRecord("k", "v", 1)}, Codec::kNone).bytes;
  EXPECT_FALSE(IsSlowToEncode(small));
  EXPECT_TRUE(IsSlowToEncode(MakeBatch(Offset{0}, {MakeRecord("k", "v", 1)}, Codec::kGzip).bytes));
  const std::string large(100'000, 'v');
  EXPECT_TRUE(
      IsSlowToEncode(MakeBatch(Offset{0}, {MakeRecord("k", large, 1)}, Codec::kNone).bytes));
  EXPECT_FALSE(IsSlowToEncode(Bytes()));
}

}  // namespace
}  // namespace gregor
