#include "raft/host/control_records.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace gregor {
namespace {

VoterKey Key(int32_t node) {
  Random random(static_cast<uint64_t>(node));
  return {NodeId{node}, random.NewUuid<DirectoryId>()};
}

TEST(ControlRecords, WhatIsWrittenIsRead) {
  const ControlRecord records[] = {
      LeaderChange{Key(1), {Key(1), Key(2)}},
      LeaderChange{Key(1), {}},
      VoterSet{{{Key(1), {{"internal", "host-1", 9093}}}, {Key(2), {}}}},
      VoterSet{},
  };
  for (const ControlRecord& record : records) {
    const RecordBatch batch = EncodeControl(record, Timestamp{5});
    EXPECT_TRUE(batch.header.is_control());
    EXPECT_TRUE(CheckBatch(batch.bytes).ok());
    const auto decoded = DecodeControl(batch);
    ASSERT_TRUE(decoded.ok()) << decoded.error();
    EXPECT_EQ(*decoded, record);
  }
}

TEST(ControlRecords, AHostThatNobodyCouldReadIsNotWritten) {
  const auto may = [](const std::string& listener, const std::string& host) {
    return MayBeWritten({listener, host, 9093});
  };
  EXPECT_TRUE(may("internal", "host-1"));
  EXPECT_TRUE(may(std::string(255, 'l'), std::string(255, 'h')));
  EXPECT_FALSE(may("internal", ""));
  EXPECT_FALSE(may("", "host"));
  EXPECT_FALSE(may("internal", std::string(256, 'h')));
  EXPECT_FALSE(may(std::string(256, 'l'), "host"));
  // The log base file has a line for each.
  for (const char* const host : {"a b", "a\nvoter 1", "h\xc3\xb6st"})
    EXPECT_FALSE(may("internal", host)) << host;

  const VoterSet longest{{{Key(1), {{"internal", std::string(65535, 'h'), 9093}}}}};
  EXPECT_EQ(*DecodeControl(EncodeControl(longest, Timestamp{5})), ControlRecord(longest));
  const VoterSet longer{{{Key(1), {{"internal", std::string(65536, 'h'), 9093}}}}};
  EXPECT_DEATH(EncodeControl(longer, Timestamp{5}), "65536 vs. 65535");
}

RecordBatch Batch(std::string_view key, std::string_view value) {
  BatchBuilder::Options options;
  options.attributes = BatchHeader::kControlBit;
  BatchBuilder builder(options);
  NewRecord record;
  record.key = key;
  record.value = value;
  builder.Add(record);
  return builder.Build();
}

TEST(ControlRecords, UnknownTypesArePassedOver) {
  const auto decoded = DecodeControl(Batch(std::string("\0\0\0\x09", 4), "whatever"));
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(*decoded, ControlRecord(UnknownControl{9}));
}

TEST(ControlRecords, CutAndNewerOnesAreRefused) {
  const RecordBatch whole = EncodeControl(LeaderChange{Key(1), {Key(2)}}, Timestamp{5});
  auto reader = RecordReader::Open(whole, 1 << 20);
  const auto record = reader->Next();
  const std::string key((*record)->key.value());
  const std::string value((*record)->value.value());
  EXPECT_TRUE(DecodeControl(Batch(key, value)).ok());
  for (size_t size = 0; size < value.size(); ++size)
    EXPECT_FALSE(DecodeControl(Batch(key, value.substr(0, size))).ok()) << size;
  EXPECT_FALSE(DecodeControl(Batch(key, value + "x")).ok());
  EXPECT_FALSE(DecodeControl(Batch("\0", value)).ok());
  std::string newer = value;
  newer[1] = 2;
  EXPECT_FALSE(DecodeControl(Batch(key, newer)).ok());
}

}  // namespace
}  // namespace gregor
