#include "client/producer_core.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "base/random.h"
#include "client/channel.h"
#include "gregor/v1/produce.pb.h"

namespace gregor {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

Error NotApplied(Reason reason) { return Error(reason, "refused").With("outcome", "NOT_APPLIED"); }
Error Unknown(Reason reason) { return Error(reason, "open").With("outcome", "UNKNOWN"); }

// What was sent, as the broker sees it.
struct Sent {
  int64_t frame_id = 0;
  int32_t partition = 0;
  int32_t attempt = 0;
  RecordBatch batch;
  int32_t sequence() const { return batch.header.base_sequence.value; }
};

class ProducerCoreTest : public testing::Test {
 protected:
  ProducerCoreTest() {
    for (size_t i = 0; i < 3; ++i) partitions_[i] = {"t", PartitionIndex{static_cast<int>(i)}, i};
    options_.delivery_timeout = seconds(100);
    Begin();
  }
  void Begin() {
    core_.emplace(options_, options_.idempotent
                                ? ProducerCore::Session{ProducerId{7}, ProducerEpoch{0}}
                                : ProducerCore::Session());
    core_->OnOpened();
    core_->OnWindow(0, 0);
  }

  FilledBatch NewBatch(int records, size_t partition = 0, size_t limit = 1 << 20) {
    FilledBatch batch;
    batch.partition = &partitions_[partition];
    batch.since = now_;
    batch.batch_bytes_max = limit;
    for (int i = 0; i < records; ++i) {
      const std::string value = std::to_string(next_value_++);
      NewRecord record;
      record.value = value;
      batch.builder.Add(record);
    }
    batch.memory_bytes = batch.builder.capacity();
    return batch;
  }
  void Add(int records = 1, size_t partition = 0) { core_->Add(NewBatch(records, partition)); }

  std::optional<Sent> Next(ProducerCore::Link link = 0) {
    const auto message = core_->NextFrame(now_, link);
    if (!message.has_value()) return std::nullopt;
    v1::ProduceStreamRequest request;
    CHECK(request.ParseFromString(message->ToString()));
    const v1::ProduceFrame& frame = request.frame();
    auto batch = CheckBatch(Slice::Copy(frame.record_batch()));
    CHECK(batch.ok()) << batch.error();
    return Sent{frame.frame_id(), frame.partition(), frame.attempt(), *std::move(batch)};
  }
  std::vector<Sent> SendAll(ProducerCore::Link link = 0) {
    std::vector<Sent> all;
    while (auto sent = Next(link)) all.push_back(*std::move(sent));
    return all;
  }
  void Ack(const Sent& sent, int64_t offset = 0) {
    ASSERT_TRUE(core_->OnAck(sent.frame_id, Offset{offset}).ok());
  }
  static std::vector<int32_t> Sequences(const std::vector<Sent>& all) {
    std::vector<int32_t> sequences;
    for (const Sent& sent : all) sequences.push_back(sent.sequence());
    return sequences;
  }

  ProducerCore::Options options_;
  ProducerPartition partitions_[3];
  std::optional<ProducerCore> core_;
  MonotonicTime now_ = MonotonicTime() + std::chrono::hours(1);
  int next_value_ = 0;
};

TEST_F(ProducerCoreTest, SequencesCountRecordsPerPartition) {
  Add(3, 0);
  Add(2, 1);
  Add(4, 0);
  Add(1, 1);
  std::map<int32_t, std::vector<int32_t>> sequences;
  for (const Sent& sent : SendAll()) sequences[sent.partition].push_back(sent.sequence());
  EXPECT_EQ(sequences[0], (std::vector<int32_t>{0, 3}));
  EXPECT_EQ(sequences[1], (std::vector<int32_t>{0, 2}));
}

TEST_F(ProducerCoreTest, FiveBatchesOfAPartitionAreInFlightAtMost) {
  for (int i = 0; i < 8; ++i) Add();
  const auto first = SendAll();
  EXPECT_EQ(first.size(), 5u);
  EXPECT_FALSE(core_->CanTake(partitions_[0]));
  Ack(first[0]);
  EXPECT_EQ(SendAll().size(), 1u);
  for (size_t i = 1; i < 5; ++i) Ack(first[i]);
  EXPECT_EQ(SendAll().size(), 2u);
  EXPECT_TRUE(core_->CanTake(partitions_[0]));
  const auto unblocked = core_->TakeUnblocked();
  EXPECT_FALSE(unblocked.empty());
}

TEST_F(ProducerCoreTest, TheWindowBoundsFramesAndBytes) {
  core_->OnWindow(0, 2);
  for (size_t partition = 0; partition < 3; ++partition) Add(1, partition);
  const auto two = SendAll();
  EXPECT_EQ(two.size(), 2u);
  EXPECT_FALSE(core_->HasRoom());
  Ack(two[1]);
  EXPECT_EQ(SendAll().size(), 1u);
  core_->OnWindow(1, 0);
  Add(1, 1);
  EXPECT_EQ(SendAll().size(), 0u);
}

TEST_F(ProducerCoreTest, ARefusedFrameTakesBackThoseBehindItAndRaisesTheAttempt) {
  for (int i = 0; i < 3; ++i) Add();
  const auto first = SendAll();
  core_->OnError(first[1].frame_id, NotApplied(Reason::kLeaderNotAvailable), now_);
  EXPECT_EQ(SendAll().size(), 0u);  // it backs off
  EXPECT_GT(core_->RetryTime(), now_);
  Ack(first[0]);
  // What the broker refused because of it is no news.
  core_->OnError(first[2].frame_id, NotApplied(Reason::kPriorRequestFailed), now_);
  now_ = core_->RetryTime();
  const auto again = SendAll();
  ASSERT_EQ(again.size(), 2u);
  EXPECT_EQ(Sequences(again), (std::vector<int32_t>{1, 2}));
  EXPECT_EQ(again[0].attempt, 1);
  EXPECT_EQ(again[1].attempt, 1);
  Ack(again[0]);
  Ack(again[1]);
  EXPECT_EQ(core_->TakeOutcomes().size(), 3u);
  EXPECT_FALSE(core_->HasBatches());
  EXPECT_FALSE(core_->InFlight());
}

TEST_F(ProducerCoreTest, WaitsAsLongAsTheServerAsks) {
  Add();
  const auto sent = SendAll();
  core_->OnError(sent[0].frame_id,
                 NotApplied(Reason::kQuotaExceeded).With("retry_delay_ms", "5000"), now_);
  EXPECT_EQ(core_->RetryTime(), now_ + seconds(5));
}

TEST_F(ProducerCoreTest, ABrokenStreamSendsEverythingAgainAsItWas) {
  for (int i = 0; i < 3; ++i) Add(2);
  const auto first = SendAll();
  Ack(first[0]);
  const Error broken(Reason::kLeaderNotAvailable, "broken");
  core_->OnBroken(&broken);
  core_->OnOpened();
  const auto again = SendAll();
  ASSERT_EQ(again.size(), 2u);
  EXPECT_EQ(again[0].batch.bytes.ToString(), first[1].batch.bytes.ToString());
  EXPECT_EQ(again[1].batch.bytes.ToString(), first[2].batch.bytes.ToString());
  EXPECT_EQ(again[0].attempt, 0);
  EXPECT_GT(again[0].frame_id, first[2].frame_id);
}

TEST_F(ProducerCoreTest, ThoseBehindABatchThatFailedForGoodMoveUp) {
  for (int i = 0; i < 3; ++i) Add(2);
  const auto first = SendAll();
  core_->OnError(first[0].frame_id, NotApplied(Reason::kInvalidRecord), now_);
  const auto again = SendAll();
  EXPECT_EQ(Sequences(again), (std::vector<int32_t>{0, 2}));
  EXPECT_EQ(again[0].batch.payload().ToString(), first[1].batch.payload().ToString());
  EXPECT_FALSE(core_->NeedsSession());
  const auto outcomes = core_->TakeOutcomes();
  ASSERT_EQ(outcomes.size(), 1u);
  EXPECT_EQ(outcomes[0].error->reason, Reason::kInvalidRecord);
}

// Its sequence may be in the log: to give it to another batch would make that one a duplicate.
TEST_F(ProducerCoreTest, WhatMayBeWrittenLeavesItsSequenceToNobody) {
  Add(2);
  Add(2);
  SendAll();
  core_->OnBroken(nullptr);
  core_->OnOpened();
  const auto again = SendAll();
  core_->OnError(again[0].frame_id, NotApplied(Reason::kInvalidRecord), now_);
  EXPECT_FALSE(core_->NeedsSession());  // the second one's fate is open
  const auto second = SendAll();
  ASSERT_EQ(second.size(), 1u);
  EXPECT_EQ(second[0].sequence(), 2);
  Add(1);
  EXPECT_EQ(SendAll().size(), 0u);  // nothing new before the next session
  core_->OnError(second[0].frame_id, NotApplied(Reason::kOutOfOrderSequence), now_);
  EXPECT_TRUE(core_->NeedsSession());
  core_->BeginSession({ProducerId{8}, ProducerEpoch{0}});
  const auto anew = SendAll();
  ASSERT_EQ(anew.size(), 1u);
  EXPECT_EQ(anew[0].sequence(), 0);
  EXPECT_EQ(anew[0].batch.header.producer_id, ProducerId{8});
}

TEST_F(ProducerCoreTest, AForgottenProducerSendsAgainInANewSession) {
  Add(2);
  const auto first = SendAll();
  Ack(first[0]);
  Add(2);
  Add(2, 1);
  const auto second = SendAll();
  core_->OnError(second[0].frame_id, NotApplied(Reason::kUnknownProducerId), now_);
  EXPECT_FALSE(core_->NeedsSession());  // partition 1 is in flight
  Ack(second[1]);
  EXPECT_TRUE(core_->NeedsSession());
  core_->BeginSession({ProducerId{8}, ProducerEpoch{0}});
  const auto again = SendAll();
  ASSERT_EQ(again.size(), 1u);
  EXPECT_EQ(again[0].sequence(), 0);
  EXPECT_EQ(again[0].batch.header.producer_id, ProducerId{8});
  Ack(again[0]);
  for (const ProducerOutcome& outcome : core_->TakeOutcomes()) EXPECT_FALSE(outcome.error);
}

TEST_F(ProducerCoreTest, APartitionThatIsNewWhileASessionEndsIsTakenInTheNextOne) {
  Add();
  const auto first = SendAll();
  core_->OnError(first[0].frame_id, NotApplied(Reason::kUnknownProducerId), now_);
  EXPECT_TRUE(core_->IsRestarting());
  EXPECT_FALSE(core_->CanTake(partitions_[1]));
  core_->TakeUnblocked();
  core_->BeginSession({ProducerId{8}, ProducerEpoch{0}});
  EXPECT_FALSE(core_->IsRestarting());
  const auto unblocked = core_->TakeUnblocked();
  EXPECT_EQ(std::count(unblocked.begin(), unblocked.end(), &partitions_[1]), 1);
  EXPECT_TRUE(core_->CanTake(partitions_[1]));
}

// A broker whose disk fails says so of each batch that it had taken, and does not know of any.
TEST_F(ProducerCoreTest, WhatIsBehindABatchWhoseFateIsOpenIsOpenToo) {
  for (int i = 0; i < 3; ++i) Add();
  const auto first = SendAll();
  for (const Sent& sent : first)
    core_->OnError(sent.frame_id, Unknown(Reason::kCommitTimedOut), now_);
  now_ += seconds(101);
  EXPECT_FALSE(core_->Expire(now_));
  const auto outcomes = core_->TakeOutcomes();
  ASSERT_EQ(outcomes.size(), 3u);
  for (const ProducerOutcome& outcome : outcomes)
    EXPECT_EQ(DetailOf(*outcome.error, "outcome"), "UNKNOWN");
  EXPECT_TRUE(core_->NeedsSession());
}

// The answer to the second attempt says nothing of the first one.
TEST_F(ProducerCoreTest, WhatMayBeWrittenStaysSoWhateverALaterAttemptIsTold) {
  Add();
  ASSERT_EQ(SendAll().size(), 1u);
  const Error lost(Reason::kUnspecified, "lost");
  core_->OnBroken(&lost);
  const auto again = SendAll();
  ASSERT_EQ(again.size(), 1u);
  core_->OnError(again[0].frame_id, NotApplied(Reason::kInvalidRecord), now_);
  const auto outcomes = core_->TakeOutcomes();
  ASSERT_EQ(outcomes.size(), 1u);
  EXPECT_EQ(DetailOf(*outcomes[0].error, "outcome"), "UNKNOWN");
}

TEST_F(ProducerCoreTest, NothingThatMayBeWrittenIsRepeatedWhereThatIsNotWanted) {
  options_.idempotent = false;
  options_.retry_unknown = false;
  Begin();
  for (int i = 0; i < 3; ++i) Add();
  const auto first = SendAll();
  core_->OnError(first[1].frame_id, Unknown(Reason::kCommitTimedOut), now_);
  const auto outcomes = core_->TakeOutcomes();
  ASSERT_EQ(outcomes.size(), 2u);
  for (const ProducerOutcome& outcome : outcomes)
    EXPECT_EQ(DetailOf(*outcome.error, "outcome"), "UNKNOWN");
  Add();
  EXPECT_EQ(SendAll().size(), 1u);  // the new one
  Ack(first[0]);
}

TEST_F(ProducerCoreTest, AnOldBatchIsGivenUpOnlyOnceItIsNotInFlight) {
  Add();
  SendAll();
  now_ += seconds(101);
  EXPECT_TRUE(core_->Expire(now_));
  EXPECT_TRUE(core_->TakeOutcomes().empty());
  const Error broken(Reason::kLeaderNotAvailable, "no answer");
  core_->OnBroken(&broken);
  EXPECT_FALSE(core_->Expire(now_));
  const auto outcomes = core_->TakeOutcomes();
  ASSERT_EQ(outcomes.size(), 1u);
  EXPECT_EQ(outcomes[0].error->reason, Reason::kCommitTimedOut);
  EXPECT_FALSE(IsNotApplied(*outcomes[0].error));
  EXPECT_TRUE(core_->NeedsSession());
}

// A broker may refuse, take some after all, and say nothing from then on.
TEST_F(ProducerCoreTest, WhatIsTooOldTellsOfTheLastRefusalIfThereWasOneLately) {
  Add();
  Add(1, 1);
  const auto first = SendAll();
  core_->OnError(first[0].frame_id, NotApplied(Reason::kNotEnoughReplicas), now_);
  now_ = core_->RetryTime();
  Ack(SendAll().at(0));
  Ack(first[1]);
  EXPECT_EQ(core_->trouble(), std::nullopt);
  const auto error_of = [&](size_t partition) {
    core_->TakeOutcomes();
    Add(1, partition);
    now_ += seconds(101);
    EXPECT_FALSE(core_->Expire(now_));
    return core_->TakeOutcomes().at(0).error->message;
  };
  EXPECT_NE(error_of(0).find("101 s ago, was: refused [NOT_ENOUGH_REPLICAS]"), std::string::npos);
  EXPECT_EQ(error_of(0).find("refus"), std::string::npos);  // too long ago
  EXPECT_EQ(error_of(1).find("refus"), std::string::npos);  // it was another partition's
}

TEST_F(ProducerCoreTest, AFullDiskIsToldOfForEveryPartitionOfItsBroker) {
  for (size_t partition = 0; partition < 3; ++partition)
    core_->SetLink(partitions_[partition], partition < 2 ? 1 : 2);
  Add();
  const auto first = SendAll(1);
  core_->OnError(first[0].frame_id, NotApplied(Reason::kDiskFull), now_, 1);
  now_ = core_->RetryTime(1);
  ASSERT_TRUE(core_->OnAck(SendAll(1).at(0).frame_id, Offset{0}, 1).ok());
  core_->TakeOutcomes();
  now_ += seconds(101);
  for (const size_t partition : {size_t{1}, size_t{2}})
    core_->FailUnsent(NewBatch(1, partition), std::nullopt, now_);
  const auto outcomes = core_->TakeOutcomes();
  ASSERT_EQ(outcomes.size(), 2u);
  EXPECT_NE(outcomes[0].error->message.find("was: refused [DISK_FULL]"), std::string::npos);
  EXPECT_EQ(outcomes[1].error->message, "not sent within the delivery timeout");
  EXPECT_TRUE(IsNotApplied(*outcomes[1].error));
}

TEST_F(ProducerCoreTest, AnOldBatchThatWasNeverSentBreaksNothing) {
  core_->OnWindow(0, 1);
  Add(1, 0);
  Add(1, 1);
  const auto sent = SendAll();
  Ack(sent[0]);
  now_ += seconds(101);
  EXPECT_FALSE(core_->Expire(now_));
  const auto outcomes = core_->TakeOutcomes();
  ASSERT_EQ(outcomes.size(), 2u);
  EXPECT_TRUE(IsNotApplied(*outcomes[1].error));
  EXPECT_FALSE(core_->NeedsSession());
}

TEST_F(ProducerCoreTest, ABatchThatIsTooLargeIsHalvedWithItsSequences) {
  Add(9);
  Add(1);
  const auto first = SendAll();
  core_->OnError(first[0].frame_id, NotApplied(Reason::kBatchTooLarge), now_);
  const auto again = SendAll();
  EXPECT_EQ(Sequences(again), (std::vector<int32_t>{0, 4, 9}));
  for (const Sent& sent : again) Ack(sent);
  const auto outcomes = core_->TakeOutcomes();
  ASSERT_EQ(outcomes.size(), 3u);
  EXPECT_FALSE(outcomes[0].releases);
  EXPECT_TRUE(outcomes[1].releases);
  EXPECT_EQ(outcomes[0].record_count + outcomes[1].record_count, 9);
  EXPECT_EQ(core_->TakeOutdatedTopics(), std::vector<std::string>{"t"});
}

TEST_F(ProducerCoreTest, WhatIsLargerThanItsTopicTakesIsHalvedBeforeItIsSent) {
  FilledBatch batch = NewBatch(1000);
  batch.batch_bytes_max = 1000;
  core_->Add(std::move(batch));
  int32_t next = 0;
  while (next < 1000) {
    const auto sent = SendAll();
    ASSERT_FALSE(sent.empty());
    for (const Sent& one : sent) {
      EXPECT_LE(one.batch.bytes.size(), 1000u);
      EXPECT_EQ(one.sequence(), next);
      next += one.batch.header.record_count;
      Ack(one);
    }
  }
}

TEST_F(ProducerCoreTest, OfAStreamThatATooLargeMessageBrokeOnlyThatOneFails) {
  Add(1, 0);
  Add(1000, 1);
  Add(1, 1);
  SendAll();
  const Error broken = NotApplied(Reason::kBatchTooLarge);
  core_->OnBroken(&broken);
  core_->OnOpened();
  const auto outcomes = core_->TakeOutcomes();
  ASSERT_EQ(outcomes.size(), 1u);
  EXPECT_EQ(outcomes[0].record_count, 1000);
  const auto again = SendAll();
  ASSERT_EQ(again.size(), 2u);
  for (const Sent& sent : again) EXPECT_EQ(sent.sequence(), 0);
}

TEST_F(ProducerCoreTest, AnswersThatBreakTheProtocolAreErrors) {
  Add();
  Add();
  const auto sent = SendAll();
  EXPECT_FALSE(core_->OnAck(99, Offset{0}).ok());
  EXPECT_FALSE(core_->OnAck(sent[1].frame_id, Offset{0}).ok());  // out of order
  core_->OnError(99, NotApplied(Reason::kInvalidRecord), now_);
  EXPECT_TRUE(core_->TakeOutcomes().empty());
}

TEST_F(ProducerCoreTest, WithoutIdempotenceThereAreNoSequencesAndTheOrderStays) {
  options_.idempotent = false;
  Begin();
  for (int i = 0; i < 10; ++i) Add();
  const auto first = SendAll();
  EXPECT_EQ(first.size(), 10u);
  EXPECT_EQ(first[0].sequence(), -1);
  core_->OnError(first[4].frame_id, Unknown(Reason::kCommitTimedOut), now_);
  now_ = core_->RetryTime();
  const auto again = SendAll();
  ASSERT_EQ(again.size(), 6u);
  EXPECT_EQ(again[0].batch.bytes.ToString(), first[4].batch.bytes.ToString());
}

TEST_F(ProducerCoreTest, APartitionGoesToItsNewLeaderOnceNothingIsOnItsWayToTheOldOne) {
  for (int i = 0; i < 3; ++i) Add();
  const auto first = SendAll();
  ASSERT_EQ(first.size(), 3u);
  Add(1, 1);
  ASSERT_EQ(SendAll().size(), 1u);
  Add();
  core_->SetLink(partitions_[0], 2);
  EXPECT_EQ(core_->LinkOf(partitions_[0]), 2u);
  EXPECT_TRUE(core_->HasStrays(0));
  EXPECT_FALSE(core_->NextFrame(now_, 0).has_value());
  EXPECT_FALSE(core_->NextFrame(now_, 2).has_value());
  Ack(first[0]);
  core_->OnError(first[1].frame_id, NotApplied(Reason::kNotLeader), now_);
  EXPECT_FALSE(core_->HasStrays(0));
  // Two that were refused and one that was never sent, without a pause; what still comes of the
  // old stream does not count.
  core_->OnError(first[2].frame_id, NotApplied(Reason::kPriorRequestFailed), now_);
  std::vector<int32_t> sequences;
  while (auto sent = Next(2)) sequences.push_back(sent->sequence());
  EXPECT_EQ(sequences, (std::vector<int32_t>{1, 2, 3}));
  EXPECT_TRUE(core_->InFlight(0)) << "the other partition stays";
}

TEST_F(ProducerCoreTest, ABrokenStreamSendsAgainOnlyWhatWasOnIt) {
  core_->SetLink(partitions_[1], 1);
  Add(1, 0);
  Add(1, 1);
  ASSERT_TRUE(Next(0).has_value());
  ASSERT_TRUE(Next(1).has_value());
  core_->OnBroken(nullptr, 1);
  EXPECT_TRUE(core_->InFlight(0));
  EXPECT_FALSE(core_->InFlight(1));
  EXPECT_FALSE(Next(0).has_value());
  core_->SetLink(partitions_[1], 2);
  const auto again = Next(2);
  ASSERT_TRUE(again.has_value());
  EXPECT_EQ(again->partition, 1);
  EXPECT_EQ(again->sequence(), 0);
}

TEST_F(ProducerCoreTest, EachLinkHasAWindowOfItsOwn) {
  core_->OnWindow(0, 1, 0);
  core_->OnWindow(0, 2, 1);
  core_->SetLink(partitions_[1], 1);
  for (int i = 0; i < 3; ++i) {
    Add(1, 0);
    Add(1, 1);
  }
  EXPECT_EQ(SendAll(0).size(), 1u);
  EXPECT_EQ(SendAll(1).size(), 2u);
  EXPECT_FALSE(core_->HasRoom(0));
  EXPECT_TRUE(core_->HasRoom(2));
}

TEST_F(ProducerCoreTest, AStreamThatAPartitionComesBackToKnowsItsAttempts) {
  Add();
  const auto first = *Next(0);
  core_->OnError(first.frame_id, NotApplied(Reason::kNotLeader), now_);
  core_->SetLink(partitions_[0], 1);
  ASSERT_TRUE(Next(1).has_value());
  core_->OnBroken(nullptr, 1);
  core_->SetLink(partitions_[0], 0);
  EXPECT_GT(Next(0)->attempt, first.attempt);
}

// A broker that loses, refuses and forgets at random; what it holds in the end is what was added.
class Broker {
 public:
  explicit Broker(uint64_t seed) : random_(seed) {}

  void Receive(Sent sent) { arrived_.push_back(std::move(sent)); }
  bool empty() const { return arrived_.empty(); }

  // Answers one frame.
  void Step(ProducerCore& core, MonotonicTime now) {
    const Sent sent = std::move(arrived_.front());
    arrived_.pop_front();
    auto& failed = failed_attempts_[sent.partition];
    const auto refuse = [&](Error error) {
      failed = sent.attempt + 1;
      core.OnError(sent.frame_id, std::move(error), now);
    };
    if (sent.attempt < failed) {
      core.OnError(sent.frame_id, NotApplied(Reason::kPriorRequestFailed), now);
      return;
    }
    if (random_.Chance(0.1)) return refuse(NotApplied(Reason::kLeaderNotAvailable));
    auto& log = logs_[sent.partition];
    auto& next = next_sequence_[{sent.batch.header.producer_id.value, sent.partition}];
    int64_t offset = -1;
    if (sent.sequence() < next) {
      offset = 0;  // a duplicate
    } else if (sent.sequence() > next) {
      return refuse(NotApplied(Reason::kOutOfOrderSequence));
    } else {
      next += sent.batch.header.record_count;
      offset = static_cast<int64_t>(log.size());
      auto reader = RecordReader::Open(sent.batch, SIZE_MAX);
      for (auto record = reader->Next(); record->has_value(); record = reader->Next())
        log.emplace_back(*(*record)->value);
      if (random_.Chance(0.1)) return refuse(Unknown(Reason::kCommitTimedOut));
    }
    CHECK(core.OnAck(sent.frame_id, Offset{offset}).ok());
  }

  // Frames that arrived may be appended; their answers are lost.
  void Break() {
    ProducerCore nobody({}, {});
    while (!arrived_.empty() && random_.Chance(0.5)) {
      const Sent sent = std::move(arrived_.front());
      arrived_.pop_front();
      auto& next = next_sequence_[{sent.batch.header.producer_id.value, sent.partition}];
      if (sent.attempt < failed_attempts_[sent.partition] || sent.sequence() != next) continue;
      next += sent.batch.header.record_count;
      auto reader = RecordReader::Open(sent.batch, SIZE_MAX);
      for (auto record = reader->Next(); record->has_value(); record = reader->Next())
        logs_[sent.partition].emplace_back(*(*record)->value);
    }
    arrived_.clear();
    failed_attempts_.clear();
  }

  std::map<int32_t, std::vector<std::string>> logs_;

 private:
  Random random_;
  std::deque<Sent> arrived_;
  std::map<int32_t, int32_t> failed_attempts_;
  std::map<std::pair<int64_t, int32_t>, int32_t> next_sequence_;
};

TEST_F(ProducerCoreTest, WhateverHappensEveryRecordIsWrittenOnceAndInOrder) {
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE(seed);
    Begin();
    next_value_ = 0;
    Random random(seed);
    Broker broker(seed + 1000);
    std::map<int32_t, std::vector<std::string>> expected;
    int left = 60;
    while (left > 0 || core_->HasBatches()) {
      const size_t partition = random.Below(3);
      if (left > 0 && core_->CanTake(partitions_[partition])) {
        --left;
        const int count = static_cast<int>(1 + random.Below(5));
        for (int i = 0; i < count; ++i)
          expected[static_cast<int32_t>(partition)].push_back(std::to_string(next_value_ + i));
        Add(count, partition);
      }
      if (random.Chance(0.7)) {
        if (auto sent = Next()) broker.Receive(*std::move(sent));
      }
      if (!broker.empty() && random.Chance(0.6)) broker.Step(*core_, now_);
      if (random.Chance(0.03)) {
        broker.Break();
        core_->OnBroken(nullptr);
        core_->OnOpened();
      }
      if (core_->NeedsSession()) FAIL() << "no session was lost";
      now_ += milliseconds(random.Below(100));
    }
    EXPECT_EQ(broker.logs_, expected);
    for (const ProducerOutcome& outcome : core_->TakeOutcomes()) EXPECT_FALSE(outcome.error);
  }
}

}  // namespace
}  // namespace gregor
