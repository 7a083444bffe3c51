#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "base/random.h"
#include "broker/grpc/byte_buffer.h"
#include "broker/grpc/wire_writer.h"
#include "tests/broker_grpc/wire_compare.h"

namespace gregor {
namespace {

Bytes Cut(std::string_view bytes, size_t piece) {
  Bytes cut;
  for (size_t at = 0; at < bytes.size(); at += piece)
    cut.Append(Slice::Copy(bytes.substr(at, piece)));
  return cut;
}

std::string RandomText(Random& random, size_t size_max) {
  std::string text(random.Below(size_max + 1), 'x');
  for (char& each : text) each = static_cast<char>('a' + random.Below(26));
  return text;
}

void FillRandomly(Random& random, v1::Record& record) {
  if (random.Chance(0.7)) record.set_key(RandomText(random, 20));
  if (random.Chance(0.8)) record.set_value(RandomText(random, 200));
  while (random.Chance(0.3)) {
    v1::Header& header = *record.add_headers();
    header.set_key(RandomText(random, 8));
    if (random.Chance(0.7)) header.set_value(RandomText(random, 8));
  }
  if (random.Chance(0.5)) record.set_timestamp_ms(random.Between(-2, 2'000'000'000'000));
  if (random.Chance(0.2)) record.set_offset(7);
}

v1::ProduceRequest RandomProduceRequest(Random& random) {
  v1::ProduceRequest request;
  request.set_topic(RandomText(random, 12));
  if (random.Chance(0.5)) request.set_partition(static_cast<int32_t>(random.Between(-3, 300)));
  while (random.Chance(0.8)) FillRandomly(random, *request.add_records());
  request.set_acks(static_cast<v1::Acks>(random.Between(-1, 9)));
  request.set_request_id(RandomText(random, 36));
  if (random.Chance(0.3)) {
    request.mutable_producer()->set_producer_id(static_cast<int64_t>(random.Next()));
    request.mutable_producer()->set_producer_epoch(static_cast<int32_t>(random.Next()));
  }
  request.set_compression(static_cast<v1::Compression>(random.Below(6)));
  request.set_topic_id(RandomText(random, 16));
  request.set_acks_count(static_cast<int32_t>(random.Below(3)));
  request.set_receipt(random.Chance(0.5));
  request.set_record_batch(RandomText(random, 500));
  return request;
}

v1::ProduceStreamRequest RandomStreamRequest(Random& random) {
  v1::ProduceStreamRequest request;
  if (random.Chance(0.1)) {
    request.set_refresh_authorization(RandomText(random, 20));
  } else if (random.Chance(0.3)) {
    v1::ProduceOpen& open = *request.mutable_open();
    open.set_acks(v1::ACKS_COUNT);
    open.set_client_id(RandomText(random, 20));
    open.set_max_in_flight_bytes(static_cast<int64_t>(random.Next()));
    open.mutable_producer()->set_transactional_id(RandomText(random, 9));
  } else {
    v1::ProduceFrame& frame = *request.mutable_frame();
    frame.set_frame_id(random.Between(-5, 1 << 30));
    frame.set_topic(RandomText(random, 300));
    if (random.Chance(0.5)) frame.set_partition(static_cast<int32_t>(random.Below(300)));
    frame.set_attempt(static_cast<int32_t>(random.Below(3)));
    while (random.Chance(0.6)) FillRandomly(random, *frame.add_records());
    frame.set_record_batch(RandomText(random, 3000));
  }
  return request;
}

void FillRandomly(Random& random, v1::Position& position) {
  switch (random.Below(5)) {
    case 0:
      return position.set_offset(static_cast<int64_t>(random.Next()));
    case 1:
      return position.set_timestamp_ms(0);
    case 2:
      return position.set_tail(3);
    case 3:
      return position.set_anchor(v1::Position::ANCHOR_LATEST);
    default:
      return;
  }
}

v1::FetchRequest RandomFetchRequest(Random& random) {
  v1::FetchRequest request;
  request.set_topic(RandomText(random, 12));
  request.set_partition(static_cast<int32_t>(random.Next()));
  if (random.Chance(0.8)) FillRandomly(random, *request.mutable_position());
  request.set_max_wait_ms(500);
  request.set_max_bytes(static_cast<int32_t>(random.Next()));
  request.set_format(v1::RECORD_FORMAT_BATCHES);
  request.set_client_rack(RandomText(random, 5));
  if (random.Chance(0.5)) request.set_current_leader_epoch(0);
  if (random.Chance(0.5)) request.set_last_fetched_epoch(-1);
  request.set_topic_id(RandomText(random, 16));
  return request;
}

v1::FetchStreamRequest RandomFetchStreamRequest(Random& random) {
  v1::FetchStreamRequest request;
  switch (random.Below(4)) {
    case 0:
      request.mutable_open()->set_max_batch_bytes(1 << 20);
      request.mutable_open()->set_client_id(RandomText(random, 9));
      break;
    case 1:
      request.mutable_add()->set_slot(static_cast<int32_t>(random.Next()));
      request.mutable_add()->mutable_partition()->set_topic(RandomText(random, 9));
      request.mutable_add()->mutable_partition()->set_partition(3);
      FillRandomly(random, *request.mutable_add()->mutable_position());
      if (random.Below(2) == 0) request.mutable_add()->set_topic_id(RandomText(random, 16));
      break;
    case 2:
      request.mutable_remove()->set_slot(7);
      break;
    default:
      request.set_credit_bytes(static_cast<int64_t>(random.Next()));
  }
  return request;
}

std::string Mutated(Random& random, std::string bytes) {
  const auto at = [&] { return random.Below(bytes.size()); };
  for (uint64_t i = random.Below(4); i > 0 && !bytes.empty(); --i) {
    switch (random.Below(4)) {
      case 0:
        bytes[at()] = static_cast<char>(random.Next());
        break;
      case 1:
        bytes.erase(at(), 1 + random.Below(4));
        break;
      case 2:
        bytes.insert(at(), 1 + random.Below(3), static_cast<char>(random.Next()));
        break;
      default:
        bytes += bytes.substr(at());
    }
  }
  return bytes;
}

template <typename Proto, typename Wire>
void CompareMany(Proto (*make)(Random&), Result<void> (*parse)(const Bytes&, CopyArena&, Wire&)) {
  Random random(7);
  int malformed = 0;
  for (int i = 0; i < 20'000; ++i) {
    const std::string whole = make(random).SerializeAsString();
    const std::string bytes = random.Chance(0.7) ? Mutated(random, whole) : whole;
    const std::string expected = ParsedByProtobuf<Proto>(bytes);
    malformed += expected == kMalformed ? 1 : 0;
    const size_t piece = 1 + random.Below(random.Chance(0.5) ? 8 : 400);
    ASSERT_EQ(ParsedByHand(Cut(bytes, piece), parse), expected) << "case " << i;
  }
  EXPECT_GT(malformed, 1000);
  EXPECT_LT(malformed, 19'000);
}

TEST(WireParse, ProduceRequestsReadAsTheGeneratedParserReadsThem) {
  CompareMany(RandomProduceRequest, ParseProduceRequest);
}
TEST(WireParse, FramesReadAsTheGeneratedParserReadsThem) {
  CompareMany(RandomStreamRequest, ParseProduceStreamRequest);
}
TEST(WireParse, FetchRequestsReadAsTheGeneratedParserReadsThem) {
  CompareMany(RandomFetchRequest, ParseFetchRequest);
}
TEST(WireParse, FetchStreamRequestsReadAsTheGeneratedParserReadsThem) {
  CompareMany(RandomFetchStreamRequest, ParseFetchStreamRequest);
}

TEST(WireParse, BatchAndRecordsPointIntoTheMessage) {
  v1::ProduceRequest request;
  request.set_topic("orders");
  request.add_records()->set_value(std::string(1000, 'v'));
  request.set_record_batch(std::string(100'000, 'b'));
  const Bytes message = Slice::Own(request.SerializeAsString());
  const auto* const begin = message.slices()[0].data();
  const auto* const end = begin + message.size();
  CopyArena arena;
  WireProduceRequest parsed;
  ASSERT_TRUE(ParseProduceRequest(message, arena, parsed).ok());
  const auto inside = [&](const void* at) { return at >= begin && at < end; };
  EXPECT_TRUE(inside(parsed.topic.data()));
  EXPECT_TRUE(inside(parsed.records[0].value->data()));
  EXPECT_TRUE(inside(parsed.record_batch.slices()[0].data()));
}

TEST(WireParse, OnlyWhatLiesAcrossSlicesIsCopied) {
  v1::ProduceRequest request;
  for (int i = 0; i < 100; ++i) request.add_records()->set_value(std::string(100, 'v'));
  const Bytes message = Cut(request.SerializeAsString(), 1000);
  CopyArena arena;
  WireProduceRequest parsed;
  ASSERT_TRUE(ParseProduceRequest(message, arena, parsed).ok());
  size_t copied = 0;
  for (const NewRecord& record : parsed.records) {
    EXPECT_EQ(*record.value, std::string(100, 'v'));
    bool found = false;
    for (const Slice& slice : message.slices()) {
      const auto* const at = reinterpret_cast<const uint8_t*>(record.value->data());
      found = found || (at >= slice.data() && at < slice.data() + slice.size());
    }
    copied += found ? 0 : 1;
  }
  EXPECT_LE(copied, message.slices().size());
}

TEST(WireParse, ClaimedLengthsWithoutBytesAreMalformed) {
  for (const uint64_t claimed : {uint64_t{1} << 31, uint64_t{1} << 40, UINT64_MAX, uint64_t{5}}) {
    WireWriter writer;
    writer.Length(15, claimed);
    CopyArena arena;
    WireProduceRequest parsed;
    const auto result = ParseProduceRequest(Slice::Own(writer.bytes() + "four"), arena, parsed);
    ASSERT_FALSE(result.ok());
    EXPECT_EQ(result.error().reason, Reason::kInvalidArgument);
  }
}

TEST(WireParse, MoreRecordsThanAMessageMayHaveAreRefused) {
  std::string bytes;
  for (size_t i = 0; i <= kWireRecordsMax; ++i) bytes += std::string("\x1a\x00", 2);
  CopyArena arena;
  WireProduceRequest parsed;
  const auto result = ParseProduceRequest(Slice::Own(bytes), arena, parsed);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().reason, Reason::kBatchTooLarge);
  WireProduceRequest fits;
  EXPECT_TRUE(ParseProduceRequest(Slice::Own(bytes.substr(2)), arena, fits).ok());
  EXPECT_EQ(fits.records.size(), kWireRecordsMax);
}

TEST(WireParse, HeadersCountAsRecordsDo) {
  WireWriter record;
  for (size_t i = 0; i < kWireRecordsMax; ++i) record.Bytes(3, "");
  WireWriter request;
  request.Message(3, record);
  CopyArena arena;
  WireProduceRequest parsed;
  const auto result = ParseProduceRequest(Slice::Own(request.bytes()), arena, parsed);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().reason, Reason::kBatchTooLarge);
}

Bytes Taken(grpc::ByteBuffer& buffer) {
  Bytes bytes;
  EXPECT_TRUE(TakeMessage(buffer, &bytes));
  return bytes;
}

TEST(ByteBuffer, LargeMessagesAreSharedAndSmallOnesCopied) {
  for (const size_t size :
       {size_t{10}, kCopiedBytesBelow - 1, kCopiedBytesBelow, size_t{200'000}}) {
    const std::string text(size, 't');
    const grpc::Slice slice(text);
    const auto* const data = slice.begin();
    grpc::ByteBuffer buffer(&slice, 1);
    const Bytes bytes = Taken(buffer);
    EXPECT_EQ(bytes.ToString(), text);
    EXPECT_EQ(bytes.slices()[0].data() == data, size >= kCopiedBytesBelow) << size;
  }
}

TEST(ByteBuffer, MessagesOfSeveralSlicesKeepTheirOrder) {
  std::vector<grpc::Slice> slices;
  std::string text;
  for (int i = 0; i < 40; ++i) {
    const std::string part(static_cast<size_t>(i * 97), static_cast<char>('A' + i));
    slices.emplace_back(part);
    text += part;
  }
  grpc::ByteBuffer buffer(slices.data(), slices.size());
  EXPECT_EQ(Taken(buffer).ToString(), text);
}

TEST(ByteBuffer, PayloadStaysAliveUntilTheMessageGoes) {
  auto owner = std::make_shared<const std::string>("payload of the log");
  const std::weak_ptr<const std::string> watch = owner;
  {
    const auto* const data = reinterpret_cast<const uint8_t*>(owner->data());
    const size_t size = owner->size();
    grpc::ByteBuffer message = MakeMessage("head:", Slice(std::move(owner), data, size));
    owner = nullptr;
    EXPECT_FALSE(watch.expired());
    EXPECT_EQ(Taken(message).ToString(), "head:payload of the log");
  }
  EXPECT_TRUE(watch.expired());
}

}  // namespace
}  // namespace gregor
