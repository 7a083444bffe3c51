#include "base/record_batch.h"

#include <gtest/gtest.h>

#include "base/crc32c.h"
#include "base/random.h"

namespace gregor {
namespace {

RecordBatch Sample(int records, BatchBuilder::Options options = {}) {
  BatchBuilder builder(options);
  for (int i = 0; i < records; ++i) {
    const std::string key = "key" + std::to_string(i), value(static_cast<size_t>(i * 7 % 300), 'v');
    NewRecord record;
    if (i % 3 != 0) record.key = key;
    if (i % 5 != 0) record.value = value;
    if (i % 4 == 0) record.headers = {{"h", "x"}, {"empty", ""}, {"null", std::nullopt}};
    record.timestamp = Timestamp{1000000 + i * (i % 2 == 0 ? 1 : -1)};
    builder.Add(record);
  }
  return builder.Build();
}

Bytes Cut(const Bytes& bytes, size_t piece) {
  const std::string flat = bytes.ToString();
  Bytes cut;
  for (size_t at = 0; at < flat.size(); at += piece)
    cut.Append(Slice::Copy(std::string_view(flat).substr(at, piece)));
  return cut;
}

ProduceRules Rules() {
  ProduceRules rules;
  rules.now = Timestamp{1000000};
  return rules;
}

// The batch with one header field changed and the checksum made right again.
template <typename Change>
Bytes Changed(const RecordBatch& batch, Change change) {
  std::string bytes = batch.bytes.ToString();
  auto* data = reinterpret_cast<uint8_t*>(bytes.data());
  BatchHeader header = BatchHeader::Decode(data);
  change(header);
  header.Encode(data);
  header.crc = Crc32c(0, {data + kBatchCrcStart, bytes.size() - kBatchCrcStart});
  header.Encode(data);
  return Slice::Own(std::move(bytes));
}

Reason ReasonOf(const Result<RecordBatch>& result) {
  return result.ok() ? Reason::kUnspecified : result.error().reason;
}

TEST(RecordBatch, WhatWasBuiltIsReadBack) {
  for (const Codec codec :
       {Codec::kNone, Codec::kGzip, Codec::kSnappy, Codec::kLz4, Codec::kZstd}) {
    const RecordBatch batch = Sample(100, {.codec = codec});
    auto checked = CheckBatch(batch.bytes);
    ASSERT_TRUE(checked.ok()) << checked.error();
    EXPECT_EQ(checked->header.record_count, 100);
    auto reader = RecordReader::Open(*checked, 1 << 20);
    ASSERT_TRUE(reader.ok()) << reader.error();
    for (int i = 0; i < 100; ++i) {
      auto next = reader->Next();
      ASSERT_TRUE(next.ok() && next->has_value()) << i;
      const RecordView& record = **next;
      EXPECT_EQ(record.offset, Offset{i});
      EXPECT_EQ(record.timestamp.value, 1000000 + i * (i % 2 == 0 ? 1 : -1));
      EXPECT_EQ(record.key.has_value(), i % 3 != 0);
      EXPECT_EQ(record.value.has_value(), i % 5 != 0);
      EXPECT_EQ(record.value.value_or("").size(),
                i % 5 != 0 ? static_cast<size_t>(i * 7 % 300) : 0);
      const auto headers = DecodeHeaders(record);
      ASSERT_EQ(headers.size(), i % 4 == 0 ? 3u : 0u);
      EXPECT_TRUE(headers.empty() || !headers[2].value.has_value());
    }
    auto end = reader->Next();
    ASSERT_TRUE(end.ok());
    EXPECT_FALSE(end->has_value());
  }
}

// One record, key "k", value "v", no headers, as the format lays it out.
TEST(RecordBatch, ARecordIsWrittenAsTheFormatSays) {
  BatchBuilder builder;
  NewRecord record{.key = "k", .value = "v", .headers = {}, .timestamp = Timestamp{1}};
  builder.Add(record);
  const RecordBatch batch = builder.Build();
  const uint8_t kRecord[] = {0x10, 0x00, 0x00, 0x00, 0x02, 'k', 0x02, 'v', 0x00};
  EXPECT_EQ(batch.payload().ToString(),
            std::string(reinterpret_cast<const char*>(kRecord), sizeof kRecord));
  EXPECT_EQ(batch.header.length, 49 + 9);
}

TEST(RecordBatch, AProducedBatchIsTakenHoweverItsBytesAreCut) {
  const RecordBatch batch = Sample(200);
  for (const size_t piece : {1, 2, 3, 7, 61, 100, 1000, 100000}) {
    const auto checked = CheckProducedBatch(Cut(batch.bytes, static_cast<size_t>(piece)), Rules());
    ASSERT_TRUE(checked.ok()) << piece << " " << checked.error();
    EXPECT_EQ(checked->bytes.ToString(), batch.bytes.ToString());
  }
}

TEST(RecordBatch, EveryFlippedBitIsNoticed) {
  const std::string good = Sample(3).bytes.ToString();
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::string bad = good;
    bad[bit / 8] ^= static_cast<char>(1 << (bit % 8));
    const auto checked = CheckProducedBatch(Slice::Own(bad), Rules());
    const bool epoch = bit / 8 >= 12 && bit / 8 < 16;  // overwritten by the broker
    EXPECT_EQ(checked.ok(), epoch) << bit / 8;
  }
}

TEST(RecordBatch, MalformedBatchesAreRefusedWithTheirReason) {
  const RecordBatch good = Sample(4);
  const auto check = [&](auto change) {
    return ReasonOf(CheckProducedBatch(Changed(good, change), Rules()));
  };
  EXPECT_EQ(check([](BatchHeader& h) { h.magic = 1; }), Reason::kCorruptBatch);
  EXPECT_EQ(check([](BatchHeader& h) { h.length = INT32_MAX; }), Reason::kCorruptBatch);
  EXPECT_EQ(check([](BatchHeader& h) { h.length = -1; }), Reason::kCorruptBatch);
  EXPECT_EQ(check([](BatchHeader& h) { h.base_offset = Offset{5}; }), Reason::kInvalidRecord);
  EXPECT_EQ(check([](BatchHeader& h) { h.record_count = 5; }), Reason::kInvalidRecord);
  EXPECT_EQ(check([](BatchHeader& h) { h.record_count = 3, h.last_offset_delta = 2; }),
            Reason::kInvalidRecord);
  EXPECT_EQ(check([](BatchHeader& h) { h.record_count = 5, h.last_offset_delta = 4; }),
            Reason::kInvalidRecord);
  EXPECT_EQ(check([](BatchHeader& h) { h.record_count = 0, h.last_offset_delta = -1; }),
            Reason::kInvalidRecord);
  EXPECT_EQ(check([](BatchHeader& h) { h.attributes |= BatchHeader::kControlBit; }),
            Reason::kInvalidRecord);
  EXPECT_EQ(check([](BatchHeader& h) { h.attributes |= BatchHeader::kTransactionalBit; }),
            Reason::kInvalidRecord);
  EXPECT_EQ(check([](BatchHeader& h) { h.attributes |= 7; }), Reason::kUnsupportedCompression);
  EXPECT_EQ(check([](BatchHeader& h) { h.producer_id = ProducerId{1}; }), Reason::kInvalidRecord);
  const auto producer = [&](int64_t id, int16_t epoch, int32_t sequence) {
    return check([&](BatchHeader& h) {
      h.producer_id = ProducerId{id};
      h.producer_epoch = ProducerEpoch{epoch};
      h.base_sequence = Sequence{sequence};
    });
  };
  EXPECT_EQ(producer(-2, 0, 0), Reason::kInvalidArgument);
  EXPECT_EQ(producer(INT64_MIN, -1, -1), Reason::kInvalidArgument);
  EXPECT_EQ(producer(1, -1, 0), Reason::kInvalidRecord);
  EXPECT_EQ(producer(1, 0, -1), Reason::kInvalidRecord);
  EXPECT_TRUE(CheckProducedBatch(
                  Changed(good, [](BatchHeader& h) { h.base_sequence = Sequence{0}; }), Rules())
                  .ok());
  EXPECT_EQ(check([](BatchHeader& h) { h.base_timestamp = Timestamp{INT64_MAX}; }),
            Reason::kInvalidTimestamp);
  ProduceRules rules = Rules();
  rules.batch_bytes_max = 100;
  EXPECT_EQ(ReasonOf(CheckProducedBatch(good.bytes, rules)), Reason::kBatchTooLarge);
  rules = Rules();
  rules.keys_required = true;
  EXPECT_EQ(ReasonOf(CheckProducedBatch(good.bytes, rules)), Reason::kInvalidRecord);
  rules = Rules();
  rules.now = Timestamp{1000000 - 3600001 - 10};
  EXPECT_EQ(ReasonOf(CheckProducedBatch(good.bytes, rules)), Reason::kInvalidTimestamp);
  rules = Rules();
  rules.timestamp_before_max_ms = 10;
  rules.now = Timestamp{1000100};
  EXPECT_EQ(ReasonOf(CheckProducedBatch(good.bytes, rules)), Reason::kInvalidTimestamp);
  Bytes two = good.bytes;
  two.Append(good.bytes);
  EXPECT_EQ(ReasonOf(CheckProducedBatch(two, Rules())), Reason::kInvalidRecord);
  EXPECT_EQ(ReasonOf(CheckProducedBatch(good.bytes.Sub(0, 40), Rules())), Reason::kCorruptBatch);
  EXPECT_EQ(ReasonOf(CheckProducedBatch(good.bytes.Sub(0, good.bytes.size() - 1), Rules())),
            Reason::kCorruptBatch);
}

TEST(RecordBatch, AWrongMaximumTimeIsCorrectedWithAValidChecksum) {
  const RecordBatch good = Sample(4);
  const auto checked = CheckProducedBatch(
      Changed(good, [](BatchHeader& h) { h.max_timestamp = Timestamp{5}; }), Rules());
  ASSERT_TRUE(checked.ok());
  EXPECT_EQ(checked->header.max_timestamp, good.header.max_timestamp);
  EXPECT_TRUE(CheckBatch(checked->bytes).ok());
}

TEST(RecordBatch, ABrokersTimeStampIsTakenBackFromAProducedBatchOrRefused) {
  const auto mark = [](BatchHeader& h) {
    h.attributes |= BatchHeader::kLogAppendTimeBit;
    h.max_timestamp = Timestamp{5};
  };
  for (const Codec codec : {Codec::kNone, Codec::kZstd}) {
    const RecordBatch good = Sample(4, {.codec = codec});
    const auto checked = CheckProducedBatch(Changed(good, mark), Rules());
    ASSERT_TRUE(checked.ok()) << checked.error();
    EXPECT_EQ(checked->bytes.ToString(), good.bytes.ToString());
    ProduceRules rules = Rules();
    rules.timestamp_type = TimestampType::kLogAppendTime;
    EXPECT_EQ(ReasonOf(CheckProducedBatch(Changed(good, mark), rules)), Reason::kInvalidTimestamp);
  }
}

// `batch` with other bytes for its records, and a checksum that says they are right.
Bytes WithPayload(const RecordBatch& batch, const std::string& payload) {
  BatchHeader header = batch.header;
  header.length = static_cast<int32_t>(kBatchHeaderBytes - kBatchLengthEnd + payload.size());
  std::string bytes(kBatchHeaderBytes, '\0');
  bytes += payload;
  auto* const data = reinterpret_cast<uint8_t*>(bytes.data());
  header.Encode(data);
  header.crc = Crc32c(0, {data + kBatchCrcStart, bytes.size() - kBatchCrcStart});
  header.Encode(data);
  return Slice::Own(std::move(bytes));
}

TEST(RecordBatch, CompressedRecordsOfAProducedBatchAreReadAndKeptAsTheyCame) {
  for (const Codec codec : {Codec::kGzip, Codec::kSnappy, Codec::kLz4, Codec::kZstd}) {
    BatchBuilder builder({.codec = codec});
    const std::string value(1000, 'v');
    for (int i = 0; i < 20; ++i) builder.Add({"k", value, {}, Timestamp{1000 + i}});
    const RecordBatch batch = builder.Build();
    const std::string sent = batch.bytes.ToString();
    ProduceRules rules;
    rules.now = Timestamp{1000};
    const auto taken = CheckProducedBatch(Slice::Copy(sent), rules);
    ASSERT_TRUE(taken.ok()) << taken.error();
    EXPECT_EQ(taken->bytes.ToString(), sent);
    const std::string payload = sent.substr(kBatchHeaderBytes);
    const auto reason = [&](const std::string& other) {
      const auto refused = CheckProducedBatch(WithPayload(batch, other), rules);
      return refused.ok() ? Reason::kUnspecified : refused.error().reason;
    };
    EXPECT_EQ(reason("garbage, no compressed data"), Reason::kCorruptBatch) << CodecName(codec);
    EXPECT_EQ(reason(payload.substr(0, payload.size() / 2)), Reason::kCorruptBatch);
    EXPECT_EQ(reason(Compress(codec, "no records")), Reason::kInvalidRecord);
    EXPECT_EQ(reason(Compress(codec, "")), Reason::kInvalidRecord);
    // A bomb.
    EXPECT_EQ(reason(Compress(codec, std::string(kDecompressedBytesMax + 1, '\0'))),
              Reason::kBatchTooLarge);
    rules.decompressed_bytes_max = 20'000;
    EXPECT_EQ(reason(payload), Reason::kBatchTooLarge);
    // Times and offsets inside of it count, not what the header says.
    rules.decompressed_bytes_max = kDecompressedBytesMax;
    rules.timestamp_after_max_ms = 5;
    EXPECT_EQ(reason(payload), Reason::kInvalidTimestamp);
  }
}

TEST(RecordBatch, AStampKeepsTheChecksumValid) {
  for (const size_t records : {1, 2, 500}) {
    RecordBatch batch = Sample(static_cast<int>(records));
    StampBatch(batch, Offset{12345678901}, LeaderEpoch{7}, TimestampType::kCreateTime,
               Timestamp{99});
    auto created = CheckBatch(batch.bytes);
    ASSERT_TRUE(created.ok()) << created.error();
    EXPECT_EQ(created->header.base_offset, Offset{12345678901});
    EXPECT_EQ(created->header.leader_epoch, LeaderEpoch{7});
    StampBatch(batch, Offset{5}, LeaderEpoch{8}, TimestampType::kLogAppendTime, Timestamp{99});
    auto appended = CheckBatch(batch.bytes);
    ASSERT_TRUE(appended.ok()) << appended.error();
    auto reader = RecordReader::Open(*appended, 1 << 20);
    EXPECT_EQ((*reader->Next())->timestamp, Timestamp{99});
  }
}

TEST(RecordBatch, ReaderRefusesWhatContradictsTheHeader) {
  const RecordBatch good = Sample(4);
  for (const int32_t count : {3, 5}) {
    RecordBatch bad = good;
    bad.header.record_count = count;
    auto reader = RecordReader::Open(bad, 1 << 20);
    Result<std::optional<RecordView>> next = reader->Next();
    while (next.ok() && next->has_value()) next = reader->Next();
    EXPECT_FALSE(next.ok());
    EXPECT_FALSE(reader->Next().ok());
  }
}

TEST(RecordBatch, TheSizeBoundHolds) {
  Random random(3);
  for (int i = 0; i < 200; ++i) {
    BatchBuilder builder;
    size_t bound = kBatchHeaderBytes;
    const std::string value(random.Below(5000), 'x');
    for (int j = 0; j < 20; ++j) {
      NewRecord record{.key = {},
                       .value = value,
                       .headers = {},
                       .timestamp = Timestamp{static_cast<int64_t>(random.Next() >> 1)}};
      bound += BatchBuilder::SizeBound(record);
      builder.Add(record);
    }
    EXPECT_LE(builder.size(), bound);
    const size_t size = builder.size();
    EXPECT_EQ(builder.Build().bytes.size(), size);
  }
}

}  // namespace
}  // namespace gregor
