// Records byte by byte: what is taken and what is not, alike by every reader.
#include "base/record_walk.h"

#include <gtest/gtest.h>

#include "base/crc32c.h"
#include "base/varint.h"

namespace gregor {
namespace {

std::string Varint(int64_t value) {
  uint8_t bytes[10];
  return std::string(reinterpret_cast<char*>(bytes),
                     static_cast<size_t>(WriteVarint(bytes, value) - bytes));
}

// The value in `size` bytes, more than it needs.
std::string LongVarint(int64_t value, size_t size) {
  std::string bytes = Varint(value);
  while (bytes.size() < size) {
    bytes.back() = static_cast<char>(bytes.back() | 0x80);
    bytes += '\0';
  }
  return bytes;
}

// A record's body, part by part.
struct Parts {
  std::string attributes = std::string(1, '\0');
  std::string time_delta = Varint(0);
  std::string offset_delta = Varint(0);
  std::string key = Varint(1) + "k";
  std::string value = Varint(1) + "v";
  std::string headers = Varint(0);

  std::string body() const {
    return attributes + time_delta + offset_delta + key + value + headers;
  }
  std::string record() const { return Varint(static_cast<int64_t>(body().size())) + body(); }
};

RecordBatch BatchOf(const std::string& payload, int32_t count) {
  BatchHeader header;
  header.record_count = count;
  header.last_offset_delta = count - 1;
  header.length = static_cast<int32_t>(kBatchHeaderBytes - kBatchLengthEnd + payload.size());
  header.base_timestamp = header.max_timestamp = Timestamp{1000};
  std::string bytes(kBatchHeaderBytes, '\0');
  bytes += payload;
  auto* const data = reinterpret_cast<uint8_t*>(bytes.data());
  header.Encode(data);
  header.crc = Crc32c(0, {data + kBatchCrcStart, bytes.size() - kBatchCrcStart});
  header.Encode(data);
  return {header, Slice::Own(std::move(bytes))};
}

// Whether all records are read; every way of reading must agree.
bool Takes(const std::string& payload, int32_t count = 1) {
  const RecordBatch batch = BatchOf(payload, count);
  ProduceRules rules;
  rules.now = Timestamp{1000};
  rules.timestamp_type = TimestampType::kLogAppendTime;
  const auto whole = CheckProducedBatch(batch.bytes, rules);
  for (size_t cut = 1; cut < batch.bytes.size(); ++cut) {
    Bytes two = batch.bytes.Sub(0, cut);
    two.Append(batch.bytes.Sub(cut, batch.bytes.size() - cut));
    EXPECT_EQ(CheckProducedBatch(two, rules).ok(), whole.ok()) << cut;
  }
  auto reader = RecordReader::Open(batch, 1 << 20);
  auto next = reader->Next();
  while (next.ok() && next->has_value()) next = reader->Next();
  EXPECT_EQ(next.ok(), whole.ok());
  if (!whole.ok()) {
    EXPECT_EQ(whole.error().reason, Reason::kInvalidRecord) << whole.error();
  }
  return whole.ok();
}

RecordView Read(const Parts& parts) {
  static std::string record;
  record = parts.record();
  std::string_view rest = record;
  BatchHeader header;
  header.last_offset_delta = 10;
  header.base_timestamp = Timestamp{1000};
  return TakeRecord(header, rest).value();
}

TEST(RecordWalk, TakesAPlainRecord) {
  EXPECT_TRUE(Takes(Parts().record()));
  Parts second;
  second.offset_delta = Varint(1);
  EXPECT_TRUE(Takes(Parts().record() + second.record(), 2));
}

TEST(RecordWalk, TakesVarintsThatAreLongerThanNeeded) {
  const Parts plain;
  EXPECT_TRUE(Takes(LongVarint(static_cast<int64_t>(plain.body().size()), 5) + plain.body()));
  EXPECT_FALSE(Takes(LongVarint(static_cast<int64_t>(plain.body().size()), 6) + plain.body()));
  Parts parts;
  parts.time_delta = LongVarint(0, 10);
  parts.offset_delta = LongVarint(0, 5);
  parts.key = LongVarint(1, 5) + "k";
  parts.headers = LongVarint(0, 5);
  EXPECT_TRUE(Takes(parts.record()));
  parts.time_delta = LongVarint(0, 11);
  EXPECT_FALSE(Takes(parts.record()));
  parts = Parts();
  parts.offset_delta = LongVarint(0, 6);
  EXPECT_FALSE(Takes(parts.record()));
  parts = Parts();
  parts.key = LongVarint(1, 6) + "k";
  EXPECT_FALSE(Takes(parts.record()));
}

TEST(RecordWalk, RefusesLengthsThatLie) {
  const std::string body = Parts().body();
  const auto size = static_cast<int64_t>(body.size());
  for (const int64_t claim : {int64_t{INT32_MAX}, int64_t{INT32_MIN}, int64_t{-1}, int64_t{0},
                              int64_t{1}, size - 1, size + 1}) {
    EXPECT_FALSE(Takes(Varint(claim) + body)) << claim;
  }
  EXPECT_FALSE(Takes(""));
  EXPECT_FALSE(Takes(std::string(4, '\xff')));
  EXPECT_FALSE(Takes(std::string(20, '\xff')));
  // A length whose bytes go on into the record that it measures.
  EXPECT_FALSE(Takes(std::string(1, '\x90') + body));
}

TEST(RecordWalk, RefusesFieldsThatReachOutOfTheirRecord) {
  for (const int64_t claim : {int64_t{2}, int64_t{200}, int64_t{INT32_MAX}}) {
    Parts parts;
    parts.value = Varint(claim) + "v";
    EXPECT_FALSE(Takes(parts.record())) << claim;
    parts = Parts();
    parts.key = Varint(claim + 3) + "k";
    EXPECT_FALSE(Takes(parts.record())) << claim;
    // ... not even into the next record.
    EXPECT_FALSE(Takes(parts.record() + Parts().record() + Parts().record(), 3)) << claim;
  }
}

TEST(RecordWalk, RefusesWhatFollowsTheLastRecord) {
  EXPECT_FALSE(Takes(Parts().record() + std::string(1, '\0')));
  EXPECT_FALSE(Takes(Parts().record() + Parts().record()));
  Parts parts;
  parts.headers += "x";
  EXPECT_FALSE(Takes(parts.record()));
}

TEST(RecordWalk, RefusesOffsetsOutOfOrder) {
  for (const int64_t delta : {-1, 1, 5, INT32_MAX, INT32_MIN}) {
    Parts parts;
    parts.offset_delta = Varint(delta);
    EXPECT_FALSE(CheckProducedBatch(BatchOf(parts.record(), 1).bytes, {}).ok()) << delta;
  }
  const std::string twice = Parts().record() + Parts().record();
  EXPECT_FALSE(CheckProducedBatch(BatchOf(twice, 2).bytes, {}).ok());
}

TEST(RecordWalk, ReadsEveryNegativeLengthAsNull) {
  for (const int64_t length : {-1, -2, INT32_MIN}) {
    Parts parts;
    parts.key = Varint(length);
    parts.value = Varint(length);
    EXPECT_EQ(Read(parts).key, std::nullopt);
    EXPECT_EQ(Read(parts).value, std::nullopt);
    EXPECT_TRUE(Takes(parts.record()));
  }
  Parts parts;
  parts.key = parts.value = Varint(0);
  EXPECT_EQ(Read(parts).key, "");
  EXPECT_EQ(Read(parts).value, "");
}

TEST(RecordWalk, KeepsHeadersInOrderWithTheirRepetitions) {
  Parts parts;
  parts.headers = Varint(3) + Varint(1) + "a" + Varint(1) + "1" + Varint(0) + Varint(-1) +
                  Varint(1) + "a" + Varint(0);
  const auto headers = DecodeHeaders(Read(parts));
  ASSERT_EQ(headers.size(), 3u);
  EXPECT_EQ(headers[0].key, "a");
  EXPECT_EQ(headers[0].value, "1");
  EXPECT_EQ(headers[1].key, "");
  EXPECT_EQ(headers[1].value, std::nullopt);
  EXPECT_EQ(headers[2].key, "a");
  EXPECT_EQ(headers[2].value, "");
}

TEST(RecordWalk, RefusesMalformedHeaders) {
  const std::string good = Varint(1) + "a" + Varint(1) + "1";
  for (const std::string& headers :
       {Varint(-1), Varint(1), Varint(2) + good, Varint(INT32_MAX) + good, Varint(0) + good,
        Varint(1) + Varint(-1) + Varint(1) + "1", Varint(1) + Varint(1) + "a",
        Varint(1) + Varint(9) + "a" + Varint(1) + "1", std::string(), std::string(5, '\xff')}) {
    Parts parts;
    parts.headers = headers;
    EXPECT_FALSE(Takes(parts.record())) << testing::PrintToString(headers);
  }
}

TEST(RecordWalk, RefusesATimeThatOverflows) {
  Parts parts;
  parts.time_delta = Varint(INT64_MAX);
  BatchHeader header;
  header.base_timestamp = Timestamp{1};
  const std::string record = parts.record();
  std::string_view rest = record;
  EXPECT_FALSE(TakeRecord(header, rest).ok());
  header.base_timestamp = Timestamp{0};
  EXPECT_EQ(TakeRecord(header, rest)->timestamp, Timestamp{INT64_MAX});
  EXPECT_TRUE(rest.empty());
}

TEST(Varint, RoundTripsAtEveryLength) {
  for (int bits = 0; bits < 64; ++bits) {
    for (const int64_t value : {int64_t{1} << bits, -(int64_t{1} << (bits & 62)),
                                static_cast<int64_t>((uint64_t{1} << bits) - 1)}) {
      const std::string bytes = Varint(value);
      EXPECT_EQ(bytes.size(), VarintSize(value)) << value;
      const auto* at = reinterpret_cast<const uint8_t*>(bytes.data());
      int64_t back = 0;
      EXPECT_EQ(ReadVarint(at, at + bytes.size(), 10, &back), at + bytes.size());
      EXPECT_EQ(back, value);
      EXPECT_EQ(ReadVarint(at, at + bytes.size() - 1, 10, &back), nullptr);
    }
  }
  EXPECT_EQ(Varint(INT64_MIN).size(), 10u);
  EXPECT_EQ(UnZigZag(ZigZag(INT64_MIN)), INT64_MIN);
  EXPECT_EQ(UnZigZag(ZigZag(INT64_MAX)), INT64_MAX);
}

}  // namespace
}  // namespace gregor
