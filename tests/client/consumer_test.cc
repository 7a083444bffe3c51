#include "client/consumer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <climits>
#include <map>
#include <thread>

#include "client/record_cursor.h"
#include "tests/client/fake_server.h"

namespace gregor {
namespace {

using Kind = StartPosition::Kind;
constexpr Duration kPatience = std::chrono::seconds(20);

RecordBatch BatchOf(const std::vector<std::string>& values, int64_t time = 1,
                    Codec codec = Codec::kNone) {
  BatchBuilder builder({.codec = codec});
  for (const std::string& value : values) {
    NewRecord record;
    record.value = value;
    record.timestamp = Timestamp{time};
    builder.Add(record);
  }
  return builder.Build();
}

class ConsumerTest : public testing::Test {
 protected:
  ConsumerTest() {
    options_.server = server_.address();
    server_.CreateTopic("orders", 2);
  }

  // Batches of ten numbered records.
  void Fill(int from, int to, int32_t partition = 0) {
    for (int i = from; i < to; i += 10) {
      std::vector<std::string> values;
      for (int j = i; j < std::min(to, i + 10); ++j) values.push_back(std::to_string(j));
      server_.Append("orders", partition, BatchOf(values, i));
    }
  }
  void Assign(StartPosition start, int32_t partition = 0) {
    consumer_->Assign("orders", PartitionIndex{partition}, start);
  }

  // Polls until the end of what is there; the values.
  std::vector<std::string> ReadToEnd() {
    std::vector<std::string> values;
    while (true) {
      auto consumed = consumer_->Poll(kPatience);
      CHECK(consumed.ok()) << consumed.error();
      CHECK(consumed->has_value()) << "nothing came";
      RecordCursor cursor(**consumed);
      while (true) {
        auto record = cursor.Next();
        CHECK(record.ok()) << record.error();
        if (!record->has_value()) break;
        values.emplace_back((*record)->value.value_or("(null)"));
      }
      if ((*consumed)->caught_up) return values;
    }
  }
  // Polls until each of the partitions has so many; the values of each.
  std::map<int32_t, std::vector<std::string>> ReadSome(const std::map<int32_t, size_t>& counts) {
    std::map<int32_t, std::vector<std::string>> values;
    const auto is_short = [&](const auto& count) {
      return values[count.first].size() < count.second;
    };
    while (std::any_of(counts.begin(), counts.end(), is_short)) {
      const auto consumed = consumer_->Poll(kPatience);
      CHECK(consumed.ok()) << consumed.error();
      CHECK(consumed->has_value()) << "nothing came";
      RecordCursor cursor(**consumed);
      for (auto record = cursor.Next(); record->has_value(); record = cursor.Next())
        values[(*consumed)->partition.value].emplace_back(*(*record)->value);
    }
    return values;
  }
  Error PollError() {
    while (true) {
      auto consumed = consumer_->Poll(kPatience);
      if (!consumed.ok()) return std::move(consumed).error();
      CHECK(consumed->has_value()) << "nothing came";
    }
  }

  static std::vector<std::string> Numbers(int from, int to) {
    std::vector<std::string> numbers;
    for (int i = from; i < to; ++i) numbers.push_back(std::to_string(i));
    return numbers;
  }
  void Start() { consumer_ = Consumer::Create(options_); }

  FakeServer server_;
  ConsumerOptions options_;
  std::unique_ptr<Consumer> consumer_;
};

TEST_F(ConsumerTest, ReadsFromTheBeginningAndFollows) {
  Fill(0, 100);
  Start();
  Assign({Kind::kEarliest, 0});
  EXPECT_EQ(ReadToEnd(), Numbers(0, 100));
  Fill(100, 130);
  std::vector<std::string> more;
  while (more.size() < 30) {
    const auto next = ReadToEnd();
    more.insert(more.end(), next.begin(), next.end());
  }
  EXPECT_EQ(more, Numbers(100, 130));
}

TEST_F(ConsumerTest, BeginsInTheMiddleOfABatchWithoutWhatIsBefore) {
  Fill(0, 100);
  Start();
  Assign({Kind::kOffset, 37});
  EXPECT_EQ(ReadToEnd(), Numbers(37, 100));
}

TEST_F(ConsumerTest, BeginsWithTheLastRecords) {
  Fill(0, 100);
  Start();
  Assign({Kind::kTail, 5});
  EXPECT_EQ(ReadToEnd(), Numbers(95, 100));
}

TEST_F(ConsumerTest, BeginsAtATime) {
  Fill(0, 100);
  Start();
  Assign({Kind::kTimestamp, 55});
  EXPECT_EQ(ReadToEnd(), Numbers(60, 100));
}

TEST_F(ConsumerTest, BeginsWithTheNextRecordWhereNoneIsAsYoung) {
  Fill(0, 100);
  Start();
  Assign({Kind::kTimestamp, 1000});
  EXPECT_EQ(ReadToEnd(), Numbers(0, 0));
  Fill(100, 110);
  EXPECT_EQ(ReadToEnd(), Numbers(100, 110));
}

// The end as of Assign() must not move when the connection breaks before anything has come.
TEST_F(ConsumerTest, FromTheEndMissesNothingWhenTheConnectionBreaks) {
  Fill(0, 100);
  Start();
  Assign({Kind::kLatest, 0});
  const auto consumed = consumer_->Poll(kPatience);
  ASSERT_TRUE(consumed.ok());
  EXPECT_EQ((*consumed)->next_offset, Offset{100});
  server_.Stop();
  Fill(100, 120);
  server_.Start();
  EXPECT_EQ(ReadToEnd(), Numbers(100, 120));
}

TEST_F(ConsumerTest, ATopicWithoutRecordsIsAtItsEndAtOnce) {
  Start();
  Assign({Kind::kEarliest, 0});
  const auto consumed = consumer_->Poll(kPatience);
  ASSERT_TRUE(consumed.ok() && consumed->has_value());
  EXPECT_TRUE((*consumed)->caught_up);
  EXPECT_EQ((*consumed)->next_offset, Offset{0});
}

TEST_F(ConsumerTest, PollGivesUpAfterItsTimeout) {
  Start();
  const auto consumed = consumer_->Poll(std::chrono::milliseconds(10));
  ASSERT_TRUE(consumed.ok());
  EXPECT_FALSE(consumed->has_value());
}

TEST_F(ConsumerTest, BrokenStreamsAndRestartsLoseAndDoubleNothing) {
  options_.message_bytes = 200;
  options_.credit_bytes = 500;
  Fill(0, 5000);
  Start();
  Assign({Kind::kEarliest, 0});
  std::vector<std::string> values;
  for (int i = 0; values.size() < 5000; ++i) {
    if (i % 50 == 10) server_.BreakStreams();
    if (i % 200 == 30) {
      server_.Stop();
      server_.Start();
    }
    const auto consumed = consumer_->Poll(kPatience);
    ASSERT_TRUE(consumed.ok()) << consumed.error();
    ASSERT_TRUE(consumed->has_value());
    RecordCursor cursor(**consumed);
    for (auto record = cursor.Next(); record->has_value(); record = cursor.Next())
      values.emplace_back(*(*record)->value);
  }
  EXPECT_EQ(values, Numbers(0, 5000));
}

TEST_F(ConsumerTest, SeveralPartitionsComeEachInItsOrder) {
  Fill(0, 300, 0);
  Fill(1000, 1300, 1);
  Start();
  Assign({Kind::kEarliest, 0}, 0);
  Assign({Kind::kEarliest, 0}, 1);
  std::map<int32_t, std::vector<std::string>> values;
  while (values[0].size() < 300 || values[1].size() < 300) {
    const auto consumed = consumer_->Poll(kPatience);
    ASSERT_TRUE(consumed.ok() && consumed->has_value());
    RecordCursor cursor(**consumed);
    for (auto record = cursor.Next(); record->has_value(); record = cursor.Next())
      values[(*consumed)->partition.value].emplace_back(*(*record)->value);
  }
  EXPECT_EQ(values[0], Numbers(0, 300));
  EXPECT_EQ(values[1], Numbers(1000, 1300));
}

TEST_F(ConsumerTest, AssigningAgainSeeksAndDropsWhatWasOnItsWay) {
  Fill(0, 100);
  Start();
  Assign({Kind::kEarliest, 0});
  EXPECT_EQ(ReadToEnd(), Numbers(0, 100));
  Assign({Kind::kOffset, 90});
  Assign({Kind::kOffset, 50});
  EXPECT_EQ(ReadToEnd(), Numbers(50, 100));
}

TEST_F(ConsumerTest, WhatIsUnassignedDoesNotComeAnyMore) {
  Fill(0, 100, 0);
  Fill(0, 10, 1);
  Start();
  Assign({Kind::kEarliest, 0}, 0);
  ASSERT_TRUE(consumer_->Poll(kPatience)->has_value());
  consumer_->Unassign("orders", PartitionIndex{0});
  Fill(100, 200, 0);
  Assign({Kind::kEarliest, 0}, 1);
  for (bool caught_up = false; !caught_up;) {
    const auto consumed = consumer_->Poll(kPatience);
    ASSERT_TRUE(consumed.ok() && consumed->has_value());
    EXPECT_EQ((*consumed)->partition, PartitionIndex{1});
    caught_up = (*consumed)->caught_up;
  }
}

TEST_F(ConsumerTest, NoMoreComesThanTheCreditAllows) {
  options_.credit_bytes = 1000;
  options_.message_bytes = 500;
  Fill(0, 2000);
  Start();
  Assign({Kind::kEarliest, 0});
  ASSERT_TRUE(consumer_->Poll(kPatience)->has_value());
  // Only what was taken is granted again.
  EXPECT_LE(server_.fetched_credit(), 2000);
  const auto rest = ReadToEnd();
  EXPECT_EQ(rest.back(), "1999");
  EXPECT_LE(server_.fetched_credit(), 1000 + 200 * 200);
}

TEST_F(ConsumerTest, ABatchLargerThanAMessageMakesMessagesLarger) {
  options_.message_bytes = 1000;
  Fill(0, 20);
  server_.Append("orders", 0, BatchOf({std::string(5000, 'x')}));
  Fill(21, 30);
  Start();
  Assign({Kind::kEarliest, 0});
  const auto values = ReadToEnd();
  EXPECT_EQ(values.size(), 30u);
  EXPECT_EQ(values[20].size(), 5000u);
  EXPECT_GE(server_.fetch_message_bytes(), 5000);
}

TEST_F(ConsumerTest, LargeBatchesOfSeveralPartitionsMakeMessagesLarger) {
  options_.message_bytes = 1000;
  for (int32_t partition = 0; partition < 2; ++partition) {
    Fill(0, 20, partition);
    server_.Append("orders", partition, BatchOf({std::string(5000, 'x')}));
  }
  Start();
  for (int32_t partition = 0; partition < 2; ++partition) Assign({Kind::kEarliest, 0}, partition);
  auto values = ReadSome({{0, 21}, {1, 21}});
  for (int32_t partition = 0; partition < 2; ++partition) {
    ASSERT_EQ(values[partition].size(), 21u);
    EXPECT_EQ(values[partition][20].size(), 5000u);
  }
}

TEST_F(ConsumerTest, ABatchLargerThanTheLargestMessageIsAnError) {
  options_.message_bytes = 1000;
  options_.message_bytes_max = 2000;
  server_.Append("orders", 0, BatchOf({std::string(5000, 'x')}));
  Start();
  Assign({Kind::kEarliest, 0});
  const Error error = PollError();
  EXPECT_EQ(error.reason, Reason::kFetchTooSmall);
  EXPECT_EQ(DetailOf(error, "topic"), "orders");
  EXPECT_EQ(DetailOf(error, "partition"), "0");
}

TEST_F(ConsumerTest, AnOffsetThatIsNotThereIsAnErrorAndTheOthersGoOn) {
  Fill(0, 100, 0);
  Fill(0, 50, 1);
  server_.SetLogStart("orders", 0, 20);
  Start();
  Assign({Kind::kOffset, 10}, 0);
  EXPECT_EQ(PollError().reason, Reason::kOffsetOutOfRange);
  Assign({Kind::kEarliest, 0}, 1);
  EXPECT_EQ(ReadToEnd(), Numbers(0, 50));
  consumer_->Unassign("orders", PartitionIndex{1});
  Assign({Kind::kEarliest, 0}, 0);
  EXPECT_EQ(ReadToEnd(), Numbers(20, 100));
}

TEST_F(ConsumerTest, AnUnknownTopicIsAnError) {
  Start();
  consumer_->Assign("missing", PartitionIndex{0}, {Kind::kLatest, 0});
  EXPECT_EQ(PollError().reason, Reason::kTopicNotFound);
  consumer_->Assign("missing", PartitionIndex{0}, {Kind::kOffset, 5});
  EXPECT_EQ(PollError().reason, Reason::kTopicNotFound);
}

TEST_F(ConsumerTest, ATopicThatIsCreatedAnewIsNotReadOn) {
  Fill(0, 100, 0);
  Fill(0, 100, 1);
  Start();
  Assign({Kind::kEarliest, 0}, 0);
  Assign({Kind::kEarliest, 0}, 1);
  const auto values = ReadSome({{0, 100}, {1, 100}});
  EXPECT_EQ(values.at(0), Numbers(0, 100));
  EXPECT_EQ(values.at(1), Numbers(0, 100));
  server_.Stop();
  server_.DeleteTopic("orders");
  server_.CreateTopic("orders", 2);
  Fill(1000, 1200, 0);
  Fill(1000, 1200, 1);
  server_.Start();
  std::vector<std::string> partitions;
  for (int i = 0; i < 2; ++i) {
    const Error error = PollError();
    EXPECT_EQ(error.reason, Reason::kUnknownTopicId);
    EXPECT_NE(error.message.find("\"orders\" was deleted and created anew"), std::string::npos);
    partitions.emplace_back(DetailOf(error, "partition"));
  }
  EXPECT_EQ(partitions, (std::vector<std::string>{"0", "1"}));
  // Who wants the new one assigns it.
  Assign({Kind::kEarliest, 0}, 0);
  EXPECT_EQ(ReadToEnd(), Numbers(1000, 1200));
}

TEST_F(ConsumerTest, ATopicThatIsDeletedIsAnError) {
  Fill(0, 100);
  Start();
  Assign({Kind::kEarliest, 0});
  EXPECT_EQ(ReadToEnd(), Numbers(0, 100));
  server_.DeleteTopic("orders");
  const Error error = PollError();
  EXPECT_EQ(error.reason, Reason::kUnknownTopicId);
  EXPECT_EQ(error.message, "topic \"orders\" was deleted");
}

// A broker may hear of a topic later than another one.
TEST_F(ConsumerTest, ATopicThatIsNotKnownForAMomentIsTriedAgain) {
  Fill(0, 100);
  server_.FailCalls("slot",
                    MakeStatus(Reason::kUnknownTopicId, "no topic has the id",
                               v1::WriteOutcome::OUTCOME_UNSPECIFIED),
                    3);
  Start();
  Assign({Kind::kEarliest, 0});
  EXPECT_EQ(ReadToEnd(), Numbers(0, 100));
}

TEST_F(ConsumerTest, PartitionsThatAreAddedAreReadFromTheirBeginning) {
  options_.topic_interval = std::chrono::milliseconds(20);
  Fill(0, 100);
  Start();
  Assign({Kind::kLatest, 0}, 0);
  Assign({Kind::kLatest, 0}, 1);
  consumer_->FollowTopic("orders", PartitionIndex{2});
  Fill(500, 510, 2);
  Fill(600, 620, 3);
  server_.CreateTopic("orders", 4);
  auto values = ReadSome({{2, 10}, {3, 20}});
  EXPECT_EQ(values[0], Numbers(0, 0));
  EXPECT_EQ(values[2], Numbers(500, 510));
  EXPECT_EQ(values[3], Numbers(600, 620));
}

TEST_F(ConsumerTest, APartitionThatIsNotAvailableIsTriedAgain) {
  Fill(0, 100);
  server_.FailCalls(
      "slot",
      MakeStatus(Reason::kLeaderNotAvailable, "election", v1::WriteOutcome::OUTCOME_UNSPECIFIED),
      3);
  server_.FailCalls(
      "ListOffsets",
      MakeStatus(Reason::kLeaderNotAvailable, "election", v1::WriteOutcome::OUTCOME_UNSPECIFIED),
      2);
  Start();
  Assign({Kind::kEarliest, 0});
  EXPECT_EQ(ReadToEnd(), Numbers(0, 100));
  EXPECT_EQ(consumer_->trouble(), std::nullopt);
}

TEST_F(ConsumerTest, ItDoesNotBeginInATopicThatWasCreatedAnewMeanwhile) {
  Fill(0, 100);
  const auto election =
      MakeStatus(Reason::kLeaderNotAvailable, "election", v1::WriteOutcome::OUTCOME_UNSPECIFIED);
  // Until the topic is another one: a trouble that is over may not be seen.
  server_.FailCalls("ListOffsets", election, INT_MAX);
  Start();
  Assign({Kind::kLatest, 0});
  while (!consumer_->trouble().has_value()) std::this_thread::yield();
  // It has the id of the topic, and no offset yet.
  server_.DeleteTopic("orders");
  server_.CreateTopic("orders", 1);
  server_.FailCalls("ListOffsets", election, 0);
  EXPECT_EQ(PollError().reason, Reason::kUnknownTopicId);
}

TEST_F(ConsumerTest, AServerThatIsAwayIsWaitedForAndSaidToBe) {
  server_.Stop();
  Start();
  Assign({Kind::kEarliest, 0});
  while (!consumer_->trouble().has_value()) std::this_thread::yield();
  EXPECT_TRUE(IsUnreachable(*consumer_->trouble()));
  server_.Start();
  Fill(0, 10);
  std::vector<std::string> values;
  while (values.empty()) values = ReadToEnd();
  EXPECT_EQ(values, Numbers(0, 10));
}

TEST_F(ConsumerTest, AStreamThatIsRefusedForGoodEndsEverything) {
  server_.FailCalls(
      "FetchStream",
      MakeStatus(Reason::kAccessDenied, "not you", v1::WriteOutcome::OUTCOME_UNSPECIFIED), 1);
  Start();
  Assign({Kind::kOffset, 0});
  const Error error = PollError();
  EXPECT_EQ(error.reason, Reason::kAccessDenied);
  EXPECT_EQ(DetailOf(error, "topic"), "");
}

TEST_F(ConsumerTest, CompressedBatchesAreReadLikeOthers) {
  for (const Codec codec : {Codec::kGzip, Codec::kSnappy, Codec::kLz4, Codec::kZstd})
    server_.Append("orders", 0, BatchOf(Numbers(0, 1000), 1, codec));
  Start();
  Assign({Kind::kOffset, 3500});
  EXPECT_EQ(ReadToEnd(), Numbers(500, 1000));
}

}  // namespace
}  // namespace gregor
