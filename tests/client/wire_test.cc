#include "client/wire.h"

#include <gtest/gtest.h>

#include "base/random.h"
#include "gregor/v1/fetch.pb.h"
#include "gregor/v1/produce.pb.h"

namespace gregor {
namespace {

TEST(Wire, AFrameIsWhatTheGeneratedParserReads) {
  for (const int64_t frame_id : {int64_t{1}, int64_t{300}, INT64_MAX}) {
    const Bytes message = EncodeProduceFrame(frame_id, "orders", PartitionIndex{0}, 7,
                                             Slice::Copy(std::string(100000, 'b')));
    v1::ProduceStreamRequest request;
    ASSERT_TRUE(request.ParseFromString(message.ToString()));
    EXPECT_EQ(request.frame().frame_id(), frame_id);
    EXPECT_EQ(request.frame().topic(), "orders");
    EXPECT_TRUE(request.frame().has_partition());
    EXPECT_EQ(request.frame().partition(), 0);
    EXPECT_EQ(request.frame().attempt(), 7);
    EXPECT_EQ(request.frame().record_batch(), std::string(100000, 'b'));
  }
}

TEST(Wire, AFrameSharesTheBytesOfItsBatch) {
  const Slice batch = Slice::Copy("batch");
  const Bytes message = EncodeProduceFrame(1, "t", PartitionIndex{0}, 0, batch);
  EXPECT_EQ(message.slices().back().data(), batch.data());
}

v1::FetchStreamResponse DataOf(const std::string& batches) {
  v1::FetchStreamResponse response;
  v1::FetchData& data = *response.mutable_data();
  data.set_slot(3);
  data.set_next_offset(1000);
  data.set_high_watermark(5000);
  data.set_charged_bytes(static_cast<int32_t>(batches.size()));
  data.set_record_batches(batches);
  return response;
}

TEST(Wire, DataIsSplitIntoItsFieldsAndItsBatches) {
  const std::string batches(200000, 'b');
  const std::string whole = DataOf(batches).SerializeAsString();
  Bytes message;  // as gRPC gives it
  for (size_t at = 0; at < whole.size(); at += 65536)
    message.Append(Slice::Copy(std::string_view(whole).substr(at, 65536)));
  FetchDataParts parts;
  ASSERT_TRUE(SplitFetchData(message, &parts));
  v1::FetchData data;
  ASSERT_TRUE(data.ParseFromString(parts.head));
  EXPECT_EQ(data.slot(), 3);
  EXPECT_EQ(data.next_offset(), 1000);
  EXPECT_EQ(data.charged_bytes(), 200000);
  EXPECT_EQ(parts.payload.ToString(), batches);
  EXPECT_EQ(parts.payload.slices().back().data() + parts.payload.slices().back().size(),
            message.slices().back().data() + message.slices().back().size());
}

TEST(Wire, OtherMessagesAreNotTakenForData) {
  v1::FetchStreamResponse event;
  event.mutable_event()->set_caught_up_at(5);
  FetchDataParts parts;
  EXPECT_FALSE(SplitFetchData(Slice::Own(event.SerializeAsString()), &parts));
  EXPECT_FALSE(SplitFetchData(Bytes(), &parts));
}

TEST(Wire, CutOrDamagedDataIsNoCrash) {
  const std::string whole = DataOf("some batches").SerializeAsString();
  for (size_t size = 0; size < whole.size(); ++size) {
    FetchDataParts parts;
    EXPECT_FALSE(SplitFetchData(Slice::Copy(std::string_view(whole).substr(0, size)), &parts));
  }
  Random random(5);
  for (int round = 0; round < 2000; ++round) {
    std::string damaged = whole;
    damaged[random.Below(damaged.size())] = static_cast<char>(random.Below(256));
    FetchDataParts parts;
    if (SplitFetchData(Slice::Copy(damaged), &parts)) {
      EXPECT_LE(parts.payload.size(), whole.size());
    }
  }
}

}  // namespace
}  // namespace gregor
