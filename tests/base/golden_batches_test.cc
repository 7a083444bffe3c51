// Batches and payloads that other implementations wrote: testdata/make_batches.py and
// testdata/MakeBatches.java say how.
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <sstream>

#include "base/crc32c.h"
#include "base/record_batch.h"

namespace gregor {
namespace {

constexpr size_t kLimit = 1 << 20;

struct GoldenHeader {
  std::string key;
  std::optional<std::string> value;
};
struct GoldenRecord {
  Offset offset;
  Timestamp timestamp;
  std::optional<std::string> key;
  std::optional<std::string> value;
  std::vector<GoldenHeader> headers;
};
// Of all keys and values of a batch, in order.
struct GoldenDigest {
  int32_t record_count = 0;
  uint32_t crc = 0;
};
struct GoldenBatch {
  std::string bytes;
  std::vector<GoldenRecord> records;
  std::optional<GoldenDigest> digest;  // instead of records
};
struct GoldenPayload {
  Codec codec;
  std::string bytes;
};
struct Golden {
  std::map<std::string, GoldenBatch> batches;
  std::map<std::string, GoldenPayload> payloads;
  std::string plain;
};

std::string FromHex(const std::string& hex) {
  std::string bytes;
  if (hex == ".") return bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2)
    bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  return bytes;
}

std::optional<std::string> MaybeFromHex(const std::string& hex) {
  if (hex == "-") return std::nullopt;
  return FromHex(hex);
}

GoldenRecord ReadRecord(std::istream& in) {
  GoldenRecord record;
  std::string key, value, pair;
  in >> record.offset.value >> record.timestamp.value >> key >> value;
  record.key = MaybeFromHex(key);
  record.value = MaybeFromHex(value);
  while (in >> pair) {
    const size_t middle = pair.find('=');
    record.headers.push_back(
        {FromHex(pair.substr(0, middle)), MaybeFromHex(pair.substr(middle + 1))});
  }
  return record;
}

void ReadGolden(const std::string& path, Golden& golden) {
  std::ifstream file(path);
  CHECK(file.is_open()) << "no " << path << ": run it from the top of the tree";
  GoldenBatch* batch = nullptr;
  std::string line;
  while (std::getline(file, line)) {
    std::istringstream in(line);
    std::string kind, name, hex;
    in >> kind;
    if (kind == "batch") {
      in >> name >> hex;
      batch = &golden.batches[name];
      batch->bytes = FromHex(hex);
    } else if (kind == "record") {
      batch->records.push_back(ReadRecord(in));
    } else if (kind == "digest") {
      batch->digest.emplace();
      in >> batch->digest->record_count >> batch->digest->crc;
    } else if (kind == "plain") {
      in >> hex;
      auto plain = Decompress(Codec::kZstd, Slice::Own(FromHex(hex)), kLimit);
      golden.plain = std::move(plain).value();
    } else if (kind == "payload") {
      int codec = 0;
      in >> name >> codec >> hex;
      golden.payloads[name] = {static_cast<Codec>(codec), FromHex(hex)};
    }
  }
}

const Golden& TheGolden() {
  static const Golden golden = [] {
    Golden all;
    ReadGolden("tests/base/testdata/batches.txt", all);
    ReadGolden("tests/base/testdata/java_batches.txt", all);
    return all;
  }();
  return golden;
}

void ExpectSame(const RecordView& record, const GoldenRecord& golden) {
  EXPECT_EQ(record.offset, golden.offset);
  EXPECT_EQ(record.timestamp, golden.timestamp);
  EXPECT_EQ(record.key, golden.key);
  EXPECT_EQ(record.value, golden.value);
  const auto headers = DecodeHeaders(record);
  ASSERT_EQ(headers.size(), golden.headers.size());
  for (size_t i = 0; i < headers.size(); ++i) {
    EXPECT_EQ(headers[i].key, golden.headers[i].key);
    EXPECT_EQ(headers[i].value, golden.headers[i].value);
  }
}

void ExpectDigest(RecordReader& reader, const GoldenDigest& golden) {
  GoldenDigest digest;
  while (true) {
    const auto next = reader.Next();
    ASSERT_TRUE(next.ok()) << next.error();
    if (!next->has_value()) break;
    ++digest.record_count;
    for (const std::string_view part : {*(*next)->key, *(*next)->value})
      digest.crc = Crc32c(digest.crc, Slice::Static(part).span());
  }
  EXPECT_EQ(digest.record_count, golden.record_count);
  EXPECT_EQ(digest.crc, golden.crc);
}

TEST(GoldenBatches, OfEveryKindAreRead) {
  EXPECT_EQ(TheGolden().batches.size(), 15u + 16u);
  for (const auto& [name, golden] : TheGolden().batches) {
    SCOPED_TRACE(name);
    const auto batch = CheckBatch(Slice::Copy(golden.bytes));
    ASSERT_TRUE(batch.ok()) << batch.error();
    auto reader = RecordReader::Open(*batch, kLimit);
    ASSERT_TRUE(reader.ok()) << reader.error();
    if (golden.digest.has_value()) {
      ExpectDigest(*reader, *golden.digest);
      continue;
    }
    for (const GoldenRecord& record : golden.records) {
      const auto next = reader->Next();
      ASSERT_TRUE(next.ok()) << next.error();
      ASSERT_TRUE(next->has_value());
      ExpectSame(**next, record);
    }
    const auto end = reader->Next();
    ASSERT_TRUE(end.ok()) << end.error();
    EXPECT_FALSE(end->has_value());
  }
}

TEST(GoldenBatches, OfClientsPassTheChecksOnProduceAndThoseOfBrokersDoNot) {
  for (const auto& [name, golden] : TheGolden().batches) {
    SCOPED_TRACE(name);
    ProduceRules rules;
    rules.now = Timestamp{1700000000000};
    rules.timestamp_after_max_ms = 2 * 86400000;
    const auto checked = CheckProducedBatch(Slice::Copy(golden.bytes), rules);
    const bool of_client = name == "one" || name == "idempotent" || name == "append-time" ||
                           name.starts_with("mixed-") || name.starts_with("many-") ||
                           name.starts_with("java-");
    EXPECT_EQ(checked.ok(), of_client);
    if (checked.ok() && name != "append-time") {
      EXPECT_EQ(checked->bytes.ToString(), golden.bytes);
    }
  }
}

// The header's fields, of the batch that has something in each of them.
TEST(GoldenBatches, HeadersAreDecodedFieldByField) {
  const auto batch = CheckBatch(Slice::Copy(TheGolden().batches.at("commit-marker").bytes));
  ASSERT_TRUE(batch.ok()) << batch.error();
  const BatchHeader& header = batch->header;
  EXPECT_EQ(header.base_offset, Offset{1234});
  EXPECT_EQ(header.next_offset(), Offset{1235});
  EXPECT_EQ(header.size(), 78u);
  EXPECT_EQ(header.leader_epoch, LeaderEpoch{6});
  EXPECT_TRUE(header.is_control());
  EXPECT_TRUE(header.is_transactional());
  EXPECT_FALSE(header.has_delete_horizon());
  EXPECT_EQ(header.producer_id, ProducerId{9});
  EXPECT_EQ(header.producer_epoch, ProducerEpoch{3});
  EXPECT_EQ(header.base_sequence, kNoSequence);
  EXPECT_EQ(header.base_timestamp, Timestamp{1700000000000});
  const auto empty = CheckBatch(Slice::Copy(TheGolden().batches.at("empty").bytes));
  ASSERT_TRUE(empty.ok()) << empty.error();
  EXPECT_EQ(empty->header.next_offset(), Offset{60});
  EXPECT_EQ(empty->header.last_sequence(), Sequence{49});
  const auto wrapping = CheckBatch(Slice::Copy(TheGolden().batches.at("idempotent").bytes));
  ASSERT_TRUE(wrapping.ok()) << wrapping.error();
  EXPECT_EQ(wrapping->header.last_sequence(), Sequence{1});
}

TEST(GoldenBatches, AreWrittenByteForByteTheSame) {
  for (const auto& [name, golden] : TheGolden().batches) {
    const BatchHeader header = CheckBatch(Slice::Copy(golden.bytes))->header;
    if (header.codec() != Codec::kNone || golden.records.empty() || header.is_control()) continue;
    if (header.timestamp_type() == TimestampType::kLogAppendTime) continue;
    BatchBuilder builder({.producer_id = header.producer_id,
                          .producer_epoch = header.producer_epoch,
                          .base_sequence = header.base_sequence,
                          .attributes = header.attributes});
    for (const GoldenRecord& record : golden.records) {
      NewRecord fresh;
      fresh.key = record.key;
      fresh.value = record.value;
      fresh.timestamp = record.timestamp;
      for (const GoldenHeader& each : record.headers)
        fresh.headers.push_back({each.key, each.value});
      builder.Add(fresh);
    }
    RecordBatch built = builder.Build();
    StampBatch(built, header.base_offset, header.leader_epoch, TimestampType::kCreateTime, {});
    EXPECT_EQ(built.bytes.ToString(), golden.bytes) << name;
  }
}

TEST(GoldenPayloads, OfEveryFramingAreDecompressedHoweverTheyAreCut) {
  EXPECT_EQ(TheGolden().payloads.size(), 14u);
  const std::string& plain = TheGolden().plain;
  for (const auto& [name, golden] : TheGolden().payloads) {
    SCOPED_TRACE(name);
    for (const size_t piece : {size_t{1}, size_t{7}, size_t{1000}, golden.bytes.size()}) {
      Bytes bytes;
      for (size_t at = 0; at < golden.bytes.size(); at += piece)
        bytes.Append(Slice::Copy(std::string_view(golden.bytes).substr(at, piece)));
      const auto result = Decompress(golden.codec, bytes, plain.size());
      ASSERT_TRUE(result.ok()) << piece << " " << result.error();
      EXPECT_EQ(*result == plain, true) << piece;
    }
    const auto short_of_one = Decompress(golden.codec, Slice::Copy(golden.bytes), plain.size() - 1);
    ASSERT_FALSE(short_of_one.ok());
    EXPECT_EQ(short_of_one.error().reason, Reason::kBatchTooLarge);
  }
}

TEST(GoldenPayloads, ThatEndTooEarlyAreRefused) {
  for (const auto& [name, golden] : TheGolden().payloads) {
    // Whole blocks, members and frames are streams of their own.
    if (name.starts_with("snappy-xerial") || name.find("two") != std::string::npos) continue;
    for (size_t size = 0; size < golden.bytes.size(); size += size < 40 ? 1 : 97) {
      const auto result = Decompress(
          golden.codec, Slice::Copy(std::string_view(golden.bytes).substr(0, size)), kLimit);
      EXPECT_FALSE(result.ok()) << name << " " << size;
    }
  }
}

}  // namespace
}  // namespace gregor
