#include "client/producer.h"

#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <mutex>
#include <numeric>
#include <thread>

#include "base/murmur2.h"
#include "base/random.h"
#include "tests/client/fake_server.h"

namespace gregor {
namespace {

constexpr auto kApplied = v1::WriteOutcome::OUTCOME_UNKNOWN;
constexpr auto kNotApplied = v1::WriteOutcome::OUTCOME_NOT_APPLIED;

struct Delivered {
  std::string topic;
  int32_t partition;
  int32_t record_count;
  int64_t base_offset;
  int64_t first_number;
  std::optional<Error> error;
};

class ProducerTest : public testing::Test {
 protected:
  ProducerTest() {
    options_.server = server_.address();
    server_.CreateTopic("orders", 1);
    server_.CreateTopic("many", 8);
  }

  std::unique_ptr<Producer> NewProducer() {
    auto producer = Producer::Create(options_, [this](const Delivery& delivery) {
      const std::lock_guard lock(mutex_);
      delivered_.push_back(
          {std::string(delivery.topic), delivery.partition.value, delivery.record_count,
           delivery.base_offset.value, delivery.first_number,
           delivery.error == nullptr ? std::nullopt : std::optional<Error>(*delivery.error)});
    });
    CHECK(producer.ok()) << producer.error();
    return *std::move(producer);
  }

  static Result<void> SendTo(Producer& producer, const std::string& topic, std::string_view value,
                             std::optional<int32_t> partition = std::nullopt,
                             std::optional<std::string_view> key = std::nullopt) {
    NewRecord record;
    record.key = key;
    record.value = value;
    record.timestamp = Timestamp{1};
    std::optional<PartitionIndex> index;
    if (partition.has_value()) index = PartitionIndex{*partition};
    return producer.Send(topic, index, record);
  }

  std::vector<Delivered> delivered() {
    const std::lock_guard lock(mutex_);
    return delivered_;
  }
  int64_t delivered_count(bool failed = false) {
    const auto all = delivered();
    return std::accumulate(all.begin(), all.end(), int64_t{0}, [&](int64_t sum, const auto& one) {
      return sum + (one.error.has_value() == failed ? one.record_count : 0);
    });
  }

  // Numbered values, each batch of them sent on its own.
  static std::vector<std::string> Numbers(int from, int to) {
    std::vector<std::string> numbers;
    for (int i = from; i < to; ++i) numbers.push_back(std::to_string(i));
    return numbers;
  }

  FakeServer server_;
  ProducerOptions options_;
  std::mutex mutex_;
  std::vector<Delivered> delivered_;
};

TEST_F(ProducerTest, RecordsArriveInTheirOrderAndDeliveriesNameTheirOffsets) {
  options_.batch_bytes = 200;
  const auto producer = NewProducer();
  for (const std::string& value : Numbers(0, 1000))
    ASSERT_TRUE(SendTo(*producer, "orders", value).ok());
  producer->Flush();
  EXPECT_EQ(server_.Values("orders", 0), Numbers(0, 1000));
  int64_t next = 0;
  for (const Delivered& one : delivered()) {
    EXPECT_EQ(one.base_offset, next);
    EXPECT_FALSE(one.error.has_value());
    next += one.record_count;
  }
  EXPECT_EQ(next, 1000);
  EXPECT_GT(delivered().size(), 10u);
}

TEST_F(ProducerTest, EveryFieldOfARecordArrives) {
  const auto producer = NewProducer();
  NewRecord record;
  record.key = "key";
  record.value = std::nullopt;
  record.headers = {{"name", "value"}, {"name", std::nullopt}};
  record.timestamp = Timestamp{1234567890123};
  ASSERT_TRUE(producer->Send("orders", std::nullopt, record).ok());
  producer->Flush();
  auto reader = RecordReader::Open(server_.Batches("orders", 0).at(0), 1 << 20);
  const RecordView view = **reader->Next();
  EXPECT_EQ(view.key, "key");
  EXPECT_EQ(view.value, std::nullopt);
  EXPECT_EQ(view.timestamp, Timestamp{1234567890123});
  const auto headers = DecodeHeaders(view);
  ASSERT_EQ(headers.size(), 2u);
  EXPECT_EQ(headers[0].value, "value");
  EXPECT_EQ(headers[1].value, std::nullopt);
}

TEST_F(ProducerTest, KeysChooseThePartitionAsKafkasClientsDo) {
  const auto producer = NewProducer();
  for (const std::string& key : Numbers(0, 100))
    ASSERT_TRUE(SendTo(*producer, "many", key, std::nullopt, key).ok());
  producer->Flush();
  for (int32_t partition = 0; partition < 8; ++partition) {
    for (const std::string& value : server_.Values("many", partition))
      EXPECT_EQ(PartitionOfKey(value, 8).value, partition);
  }
  EXPECT_EQ(delivered_count(), 100);
}

TEST_F(ProducerTest, RecordsWithoutKeyStayTogetherUntilTheirBatchIsClosed) {
  options_.batch_bytes = 1000;
  options_.linger = std::chrono::hours(1);
  const auto producer = NewProducer();
  for (const std::string& value : Numbers(0, 4000))
    ASSERT_TRUE(SendTo(*producer, "many", value).ok());
  producer->Flush();
  int partitions = 0;
  for (int32_t partition = 0; partition < 8; ++partition) {
    const auto batches = server_.Batches("many", partition);
    if (!batches.empty()) ++partitions;
    for (const RecordBatch& batch : batches) EXPECT_LE(batch.bytes.size(), 1000u);
  }
  EXPECT_GE(partitions, 6);
  EXPECT_LT(server_.frames().size(), 100u);
  EXPECT_EQ(delivered_count(), 4000);
}

TEST_F(ProducerTest, AnUnknownTopicOrPartitionIsSaidAtOnce) {
  const auto producer = NewProducer();
  const auto no_topic = SendTo(*producer, "missing", "x");
  ASSERT_FALSE(no_topic.ok());
  EXPECT_EQ(no_topic.error().reason, Reason::kTopicNotFound);
  const auto no_partition = SendTo(*producer, "many", "x", 8);
  ASSERT_FALSE(no_partition.ok());
  EXPECT_EQ(no_partition.error().reason, Reason::kPartitionNotFound);
  EXPECT_FALSE(SendTo(*producer, "many", "x", -1).ok());
}

TEST_F(ProducerTest, WithoutAServerCreateSaysWhere) {
  server_.Stop();
  const auto producer = Producer::Create(options_, nullptr);
  ASSERT_FALSE(producer.ok());
  EXPECT_TRUE(IsUnreachable(producer.error()));
  EXPECT_NE(producer.error().message.find(server_.address()), std::string::npos);
}

TEST_F(ProducerTest, ABrokenStreamLosesAndDoublesNothing) {
  options_.batch_bytes = 120;
  // Every fifth frame breaks the stream, before or after it was appended.
  server_.on_frame = [](const FrameSeen& frame) -> FrameAction {
    if (frame.number % 10 == 5) return {FrameAction::Kind::kBreak, {}};
    if (frame.number % 10 == 0) return {FrameAction::Kind::kAppendAndBreak, {}};
    return {};
  };
  const auto producer = NewProducer();
  for (const std::string& value : Numbers(0, 300))
    ASSERT_TRUE(SendTo(*producer, "orders", value).ok());
  producer->Flush();
  EXPECT_EQ(server_.Values("orders", 0), Numbers(0, 300));
  EXPECT_EQ(delivered_count(), 300);
  EXPECT_EQ(producer->first_error(), std::nullopt);
  EXPECT_GT(server_.stream_count(), 5);
}

TEST_F(ProducerTest, RestartsOfTheServerLoseAndDoubleNothing) {
  options_.batch_bytes = 200;
  const auto producer = NewProducer();
  std::atomic<bool> done{false};
  std::thread sender([&] {
    for (int i = 0; i < 20000; ++i) CHECK(SendTo(*producer, "many", std::to_string(i), i % 8).ok());
    producer->Flush();
    done = true;
  });
  while (!done) {
    server_.Stop();
    server_.Start();
    const size_t frames = server_.frames().size();
    while (!done && server_.frames().size() < frames + 20) std::this_thread::yield();
  }
  sender.join();
  for (int32_t partition = 0; partition < 8; ++partition) {
    std::vector<std::string> expected;
    for (int i = partition; i < 20000; i += 8) expected.push_back(std::to_string(i));
    EXPECT_EQ(server_.Values("many", partition), expected);
  }
  EXPECT_EQ(delivered_count(), 20000);
}

TEST_F(ProducerTest, ARefusedFrameIsSentAgainBeforeThoseBehindIt) {
  options_.batch_bytes = 120;
  server_.on_frame = [](const FrameSeen& frame) -> FrameAction {
    if (frame.number % 7 != 3) return {};
    return {FrameAction::Kind::kRefuse,
            MakeStatus(Reason::kLeaderNotAvailable, "election", kNotApplied)};
  };
  for (const bool idempotent : {true, false}) {
    options_.idempotent = idempotent;
    const std::string topic = idempotent ? "with" : "without";
    server_.CreateTopic(topic, 1);
    const auto producer = NewProducer();
    for (const std::string& value : Numbers(0, 200))
      ASSERT_TRUE(SendTo(*producer, topic, value).ok());
    producer->Flush();
    EXPECT_EQ(server_.Values(topic, 0), Numbers(0, 200));
  }
  const auto frames = server_.frames();
  EXPECT_TRUE(std::any_of(frames.begin(), frames.end(),
                          [](const FrameSeen& frame) { return frame.attempt > 1; }));
}

TEST_F(ProducerTest, WhatMayBeWrittenIsSentAgainWithTheSameSequence) {
  options_.batch_bytes = 120;
  server_.on_frame = [](const FrameSeen& frame) -> FrameAction {
    if (frame.number != 4) return {};
    return {FrameAction::Kind::kAppendAndRefuse,
            MakeStatus(Reason::kCommitTimedOut, "not committed in time", kApplied)};
  };
  const auto producer = NewProducer();
  for (const std::string& value : Numbers(0, 100))
    ASSERT_TRUE(SendTo(*producer, "orders", value).ok());
  producer->Flush();
  EXPECT_EQ(server_.Values("orders", 0), Numbers(0, 100));
  EXPECT_EQ(delivered_count(), 100);
}

TEST_F(ProducerTest, WithoutIdempotenceWhatMayBeWrittenIsNotRepeatedIfAskedSo) {
  options_.idempotent = false;
  options_.retry_unknown = false;
  server_.on_frame = [](const FrameSeen& frame) -> FrameAction {
    return {frame.number == 1 ? FrameAction::Kind::kAppendAndBreak : FrameAction::Kind::kAppend,
            {}};
  };
  const auto producer = NewProducer();
  ASSERT_TRUE(SendTo(*producer, "orders", "first").ok());
  producer->Flush();
  ASSERT_TRUE(SendTo(*producer, "orders", "second").ok());
  producer->Flush();
  EXPECT_EQ(server_.Values("orders", 0), (std::vector<std::string>{"first", "second"}));
  ASSERT_TRUE(producer->first_error().has_value());
  EXPECT_EQ(delivered_count(true), 1);
}

TEST_F(ProducerTest, ARefusedBatchFailsAloneAndLeavesNoGapInTheSequences) {
  options_.batch_bytes = 120;
  server_.on_frame = [](const FrameSeen& frame) -> FrameAction {
    if (frame.number != 3) return {};
    return {FrameAction::Kind::kRefuse,
            MakeStatus(Reason::kInvalidRecord, "not this one", kNotApplied)};
  };
  const auto producer = NewProducer();
  for (const std::string& value : Numbers(0, 200))
    ASSERT_TRUE(SendTo(*producer, "orders", value).ok());
  producer->Flush();
  const auto all = delivered();
  EXPECT_EQ(
      std::count_if(all.begin(), all.end(), [](const auto& d) { return d.error.has_value(); }), 1);
  EXPECT_EQ(delivered_count() + delivered_count(true), 200);
  EXPECT_EQ(static_cast<int64_t>(server_.Values("orders", 0).size()), delivered_count());
  EXPECT_EQ(server_.session_count(), 1);
  EXPECT_EQ(producer->first_error()->reason, Reason::kInvalidRecord);
}

TEST_F(ProducerTest, AProducerThatTheServerForgotGoesOnWithANewId) {
  const auto producer = NewProducer();
  ASSERT_TRUE(SendTo(*producer, "orders", "0").ok());
  ASSERT_TRUE(SendTo(*producer, "orders", "1").ok());
  producer->Flush();
  server_.ForgetProducers();
  ASSERT_TRUE(SendTo(*producer, "orders", "2").ok());
  producer->Flush();
  EXPECT_EQ(server_.Values("orders", 0), Numbers(0, 3));
  EXPECT_EQ(server_.session_count(), 2);
  EXPECT_EQ(producer->first_error(), std::nullopt);
}

TEST_F(ProducerTest, AFencedProducerIsFinished) {
  server_.on_frame = [](const FrameSeen&) -> FrameAction {
    return {FrameAction::Kind::kRefuse,
            MakeStatus(Reason::kProducerFenced, "another one has its id", kNotApplied)};
  };
  const auto producer = NewProducer();
  ASSERT_TRUE(SendTo(*producer, "orders", "0").ok());
  producer->Flush();
  const auto refused = SendTo(*producer, "orders", "1");
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().reason, Reason::kProducerFenced);
  EXPECT_EQ(delivered_count(true), 1);
}

TEST_F(ProducerTest, ABatchThatTheTopicNoLongerTakesIsSplit) {
  server_.CreateTopic("shrinking", 1, 100000);
  options_.linger = std::chrono::hours(1);
  const auto producer = NewProducer();
  for (const std::string& value : Numbers(0, 500))
    ASSERT_TRUE(SendTo(*producer, "shrinking", value).ok());
  server_.CreateTopic("shrinking", 1, 1000);
  producer->Flush();
  EXPECT_EQ(server_.Values("shrinking", 0), Numbers(0, 500));
  EXPECT_EQ(delivered_count(), 500);
  const auto batches = server_.Batches("shrinking", 0);
  EXPECT_GT(batches.size(), 6u);
  for (const RecordBatch& batch : batches) EXPECT_LE(batch.bytes.size(), 1000u);
}

TEST_F(ProducerTest, ARecordLargerThanTheTopicTakesIsRefusedBeforeItIsSent) {
  server_.CreateTopic("small", 1, 1000);
  const auto producer = NewProducer();
  EXPECT_TRUE(SendTo(*producer, "small", std::string(900, 'x')).ok());
  const auto refused = SendTo(*producer, "small", std::string(1000, 'x'));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().reason, Reason::kBatchTooLarge);
  producer->Flush();
  EXPECT_EQ(server_.Values("small", 0).size(), 1u);
}

// Only the compressed batch tells whether it is too large, and it may be its partition's only one.
TEST_F(ProducerTest, ACompressedRecordLargerThanTheTopicTakesFailsAndTheOthersArrive) {
  Random random(1);
  std::string noise;
  for (int i = 0; i < 2000; ++i) noise += static_cast<char>(random.Below(256));
  for (const Codec codec : {Codec::kGzip, Codec::kSnappy, Codec::kLz4, Codec::kZstd}) {
    const std::string topic(CodecName(codec));
    server_.CreateTopic(topic, 3, 500);
    options_.compression = codec;
    const auto producer = NewProducer();
    // Alone; then between others, in every partition.
    ASSERT_TRUE(SendTo(*producer, topic, noise, 0).ok());
    producer->Flush();
    for (int32_t partition = 0; partition < 3; ++partition) {
      ASSERT_TRUE(SendTo(*producer, topic, "before", partition).ok());
      ASSERT_TRUE(SendTo(*producer, topic, noise, partition).ok());
      ASSERT_TRUE(SendTo(*producer, topic, "after", partition).ok());
    }
    producer->Flush();
    for (int32_t partition = 0; partition < 3; ++partition)
      EXPECT_EQ(server_.Values(topic, partition), (std::vector<std::string>{"before", "after"}));
    ASSERT_TRUE(producer->first_error().has_value());
    EXPECT_EQ(producer->first_error()->reason, Reason::kBatchTooLarge);
    EXPECT_TRUE(IsNotApplied(*producer->first_error()));
  }
  EXPECT_EQ(delivered_count(true), 4 * 4);
  EXPECT_EQ(delivered_count(), 4 * 3 * 2);
}

TEST_F(ProducerTest, AMessageThatGrpcDoesNotTakeFailsAndTheOthersArrive) {
  server_.CreateTopic("huge", 1, 64 << 20);
  const auto producer = NewProducer();
  ASSERT_TRUE(SendTo(*producer, "huge", "small").ok());
  ASSERT_TRUE(SendTo(*producer, "huge", std::string(9 << 20, 'x')).ok());
  ASSERT_TRUE(SendTo(*producer, "huge", "after").ok());
  producer->Flush();
  EXPECT_EQ(server_.Values("huge", 0), (std::vector<std::string>{"small", "after"}));
  ASSERT_TRUE(producer->first_error().has_value());
  EXPECT_EQ(producer->first_error()->reason, Reason::kBatchTooLarge);
}

TEST_F(ProducerTest, GivesUpAfterTheDeliveryTimeoutAndSaysWhetherItWasWritten) {
  options_.delivery_timeout = std::chrono::milliseconds(300);
  server_.on_frame = [](const FrameSeen& frame) -> FrameAction {
    return {frame.number == 1 ? FrameAction::Kind::kSwallow : FrameAction::Kind::kAppend, {}};
  };
  const auto producer = NewProducer();
  ASSERT_TRUE(SendTo(*producer, "orders", "0").ok());
  producer->Flush();
  ASSERT_TRUE(producer->first_error().has_value());
  EXPECT_EQ(producer->first_error()->reason, Reason::kCommitTimedOut);
  EXPECT_EQ(DetailOf(*producer->first_error(), "outcome"), "UNKNOWN");
  // Nobody knows whether sequence 0 was used: a new session begins.
  ASSERT_TRUE(SendTo(*producer, "orders", "1").ok());
  producer->Flush();
  EXPECT_EQ(server_.Values("orders", 0), (std::vector<std::string>{"1"}));
  EXPECT_EQ(server_.session_count(), 2);
}

TEST_F(ProducerTest, WhatCouldNotBeSentAtAllWasCertainlyNotWritten) {
  options_.delivery_timeout = std::chrono::milliseconds(300);
  const auto producer = NewProducer();
  ASSERT_TRUE(SendTo(*producer, "orders", "0").ok());
  producer->Flush();
  server_.Stop();
  while (!producer->trouble().has_value()) std::this_thread::yield();
  ASSERT_TRUE(SendTo(*producer, "orders", "1").ok());
  producer->Flush();
  ASSERT_TRUE(producer->first_error().has_value());
  EXPECT_TRUE(IsNotApplied(*producer->first_error()));
  EXPECT_NE(producer->first_error()->message.find(server_.address()), std::string::npos);
}

TEST_F(ProducerTest, RecordsOfAPartitionFailInTheirOrder) {
  options_.delivery_timeout = std::chrono::milliseconds(300);
  options_.batch_bytes = 100;
  server_.on_frame = [](const FrameSeen&) -> FrameAction {
    return {FrameAction::Kind::kSwallow, {}};
  };
  const auto producer = NewProducer();
  for (const std::string& value : Numbers(0, 100))
    ASSERT_TRUE(SendTo(*producer, "orders", value).ok());
  producer->Flush();
  // Some were on their way, and the others never left.
  const auto all = delivered();
  EXPECT_FALSE(IsNotApplied(*all.front().error));
  EXPECT_TRUE(IsNotApplied(*all.back().error));
  EXPECT_TRUE(std::is_sorted(all.begin(), all.end(), [](const auto& a, const auto& b) {
    return a.first_number < b.first_number;
  }));
  EXPECT_EQ(delivered_count(true), 100);
}

TEST_F(ProducerTest, TheLastRefusalIsToldWhereNothingIsAnsweredAnyMore) {
  options_.delivery_timeout = std::chrono::milliseconds(500);
  options_.batch_bytes = 100;
  server_.on_frame = [](const FrameSeen& frame) -> FrameAction {
    if (frame.number == 1) {
      return {FrameAction::Kind::kRefuse,
              MakeStatus(Reason::kDiskFull, "no space is left", kNotApplied)};
    }
    return {frame.number == 2 ? FrameAction::Kind::kAppend : FrameAction::Kind::kSwallow, {}};
  };
  const auto producer = NewProducer();
  ASSERT_TRUE(SendTo(*producer, "orders", "0").ok());
  producer->Flush();
  EXPECT_EQ(producer->trouble(), std::nullopt);  // it was written after all
  for (const std::string& value : Numbers(1, 50))
    ASSERT_TRUE(SendTo(*producer, "orders", value).ok());
  producer->Flush();
  EXPECT_EQ(delivered_count(true), 49);
  for (const Delivered& one : delivered()) {
    if (!one.error.has_value()) continue;
    EXPECT_NE(one.error->message.find("s ago, was: no space is left [DISK_FULL]"),
              std::string::npos)
        << *one.error;
  }
}

TEST_F(ProducerTest, WhatIsAbortedIsGivenUpAtOnceAndInOrder) {
  options_.batch_bytes = 100;
  options_.memory_bytes = 16 << 10;
  server_.on_frame = [](const FrameSeen&) -> FrameAction {
    return {FrameAction::Kind::kSwallow, {}};
  };
  const auto producer = NewProducer();
  std::optional<Error> refused;
  std::atomic<int> sent{0};
  std::thread sender([&] {
    while (!refused.has_value()) {
      const auto taken = SendTo(*producer, "orders", "x");
      if (taken.ok()) ++sent;
      if (!taken.ok()) refused = taken.error();
    }
  });
  while (server_.frames().size() < 5) std::this_thread::yield();
  const MonotonicTime begin = SystemClock().Now();
  producer->Abort();
  sender.join();  // also if it waits for memory
  producer->Flush();
  EXPECT_LT(SystemClock().Now() - begin, std::chrono::seconds(30));
  EXPECT_EQ(delivered_count(true), sent);
  const auto all = delivered();
  EXPECT_EQ(DetailOf(*all.front().error, "outcome"), "UNKNOWN");
  EXPECT_EQ(DetailOf(*all.back().error, "outcome"), "NOT_APPLIED");
  EXPECT_TRUE(std::is_sorted(all.begin(), all.end(), [](const auto& a, const auto& b) {
    return a.first_number < b.first_number;
  }));
  EXPECT_NE(refused->message.find("aborted"), std::string::npos);
}

TEST_F(ProducerTest, AnAbortedProducerHearsOfWhatIsOnItsWay) {
  std::mutex gate;
  gate.lock();
  server_.on_frame = [&](const FrameSeen&) -> FrameAction {
    const std::lock_guard lock(gate);
    return {};
  };
  std::atomic<int> written{0}, failed{0};
  Producer* self = nullptr;
  auto producer = *Producer::Create(options_, [&](const Delivery& delivery) {
    (delivery.error == nullptr ? written : failed) += delivery.record_count;
    self->Abort();  // once more, where that is allowed, too
  });
  self = producer.get();
  ASSERT_TRUE(SendTo(*producer, "orders", "0").ok());
  while (server_.frames().empty()) std::this_thread::yield();
  producer->Abort();
  gate.unlock();
  producer->Flush();
  EXPECT_EQ(written, 1);
  EXPECT_EQ(failed, 0);
  EXPECT_FALSE(SendTo(*producer, "orders", "1").ok());
}

TEST_F(ProducerTest, SendWaitsForMemoryAndGoesOnWhenItIsFree) {
  options_.memory_bytes = 64 << 10;
  options_.batch_bytes = 16 << 10;
  options_.linger = std::chrono::hours(1);
  std::mutex gate;
  gate.lock();
  server_.on_frame = [&](const FrameSeen&) -> FrameAction {
    const std::lock_guard lock(gate);
    return {};
  };
  const auto producer = NewProducer();
  std::atomic<int> sent{0};
  std::thread sender([&] {
    const std::string value(1000, 'x');
    for (int i = 0; i < 1000; ++i) {
      CHECK(SendTo(*producer, "orders", value).ok());
      ++sent;
    }
  });
  // Memory for 64 records at most; whatever is sent beyond must wait for an acknowledgement.
  while (server_.frames().empty()) std::this_thread::yield();
  EXPECT_LE(sent, 65);
  gate.unlock();
  sender.join();
  producer->Flush();
  EXPECT_EQ(server_.Values("orders", 0).size(), 1000u);
}

TEST_F(ProducerTest, KeepsToTheServersWindow) {
  server_.set_window(0, 2);
  options_.idempotent = false;
  options_.batch_bytes = 100;
  std::mutex gate;
  gate.lock();
  server_.on_frame = [&](const FrameSeen&) -> FrameAction {
    const std::lock_guard lock(gate);
    return {};
  };
  const auto producer = NewProducer();
  for (const std::string& value : Numbers(0, 100))
    ASSERT_TRUE(SendTo(*producer, "orders", value).ok());
  while (server_.frames().empty()) std::this_thread::yield();
  gate.unlock();
  producer->Flush();
  EXPECT_EQ(server_.Values("orders", 0), Numbers(0, 100));
}

TEST_F(ProducerTest, RecordsGoByThemselvesWithoutFlush) {
  // Unset: each goes at once. Set: after its time, alone as each is.
  for (const auto linger : {std::optional<Duration>(), std::optional<Duration>(0),
                            std::optional<Duration>(std::chrono::milliseconds(5))}) {
    options_.linger = linger;
    std::atomic<int> arrived{0};
    auto producer = *Producer::Create(options_, [&](const Delivery&) { ++arrived; });
    for (int i = 1; i <= 20; ++i) {
      const MonotonicTime sent = SystemClock().Now();
      ASSERT_TRUE(SendTo(*producer, "orders", "x").ok());
      while (arrived < i) std::this_thread::yield();
      // The loop wakes in whole milliseconds.
      EXPECT_GE(SystemClock().Now() - sent + std::chrono::milliseconds(1),
                linger.value_or(Duration(0)));
    }
  }
}

TEST_F(ProducerTest, ALingerThatIsSetGathersRecordsUntilFlush) {
  options_.linger = std::chrono::hours(1);
  const auto producer = NewProducer();
  for (const std::string& value : Numbers(0, 100)) {
    ASSERT_TRUE(SendTo(*producer, "orders", value).ok());
    std::this_thread::yield();
  }
  EXPECT_EQ(server_.frames().size(), 0u);
  producer->Flush();
  EXPECT_EQ(server_.frames().size(), 1u);
  EXPECT_EQ(server_.Values("orders", 0), Numbers(0, 100));
}

TEST_F(ProducerTest, CompressedBatchesHoldTheSameRecords) {
  for (const Codec codec : {Codec::kGzip, Codec::kSnappy, Codec::kLz4, Codec::kZstd}) {
    const std::string topic(CodecName(codec));
    server_.CreateTopic(topic, 1);
    options_.compression = codec;
    const auto producer = NewProducer();
    for (const std::string& value : Numbers(0, 5000))
      ASSERT_TRUE(SendTo(*producer, topic, value).ok());
    producer->Flush();
    EXPECT_EQ(server_.Values(topic, 0), Numbers(0, 5000));
    EXPECT_EQ(server_.Batches(topic, 0).at(0).header.codec(), codec);
  }
}

TEST_F(ProducerTest, SeveralThreadsMaySendAndFlush) {
  options_.batch_bytes = 1000;
  const auto producer = NewProducer();
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&, thread] {
      for (int i = 0; i < 5000; ++i) {
        CHECK(SendTo(*producer, "many", std::to_string(i), 2 * thread).ok());
        if (i % 1000 == 0) producer->Flush();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  producer->Flush();
  for (int thread = 0; thread < 4; ++thread)
    EXPECT_EQ(server_.Values("many", 2 * thread), Numbers(0, 5000));
}

TEST_F(ProducerTest, LearnsOfNewPartitionsAfterTheOldOnesAreGone) {
  const auto producer = NewProducer();
  ASSERT_TRUE(SendTo(*producer, "orders", "0").ok());
  producer->Flush();
  server_.DeleteTopic("orders");
  ASSERT_TRUE(SendTo(*producer, "orders", "1").ok());  // not known yet
  producer->Flush();
  EXPECT_EQ(producer->first_error()->reason, Reason::kTopicNotFound);
  EXPECT_EQ(SendTo(*producer, "orders", "2").error().reason, Reason::kTopicNotFound);
  server_.CreateTopic("orders", 3);
  server_.CreateTopic("other", 1);
}

TEST_F(ProducerTest, WithAcksNoneTheAnswerIsAllThatIsWaitedFor) {
  options_.acks = ClientAcks::kNone;
  const auto producer = NewProducer();
  for (const std::string& value : Numbers(0, 10))
    ASSERT_TRUE(SendTo(*producer, "orders", value).ok());
  producer->Flush();
  EXPECT_EQ(server_.Values("orders", 0), Numbers(0, 10));
  EXPECT_EQ(server_.session_count(), 0);
  EXPECT_FALSE(server_.Batches("orders", 0).at(0).header.has_producer());
}

}  // namespace
}  // namespace gregor
