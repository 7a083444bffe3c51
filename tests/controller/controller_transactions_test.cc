// Operations that write more than one batch: all of it, or nothing.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <sstream>

#include "controller/image/snapshot.h"
#include "controller/metadata_dump.h"
#include "controller/metadata_history.h"
#include "raft/host/raft_log.h"
#include "tests/base/seeds.h"
#include "tests/controller/controller_harness.h"
#include "tests/controller/image/record_maker.h"

namespace gregor {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr size_t kBatchBytes = 1000;
constexpr int32_t kPartitions = 5000;  // a record for each 1000 of them

std::string DumpRecords(ControllerHarness& node) {
  MetadataDumpOptions options;
  options.image = false;
  std::ostringstream out;
  const auto dumped = DumpMetadata(node.files(), ControllerHarness::kDataDir, options, out);
  EXPECT_TRUE(dumped.ok()) << dumped.error();
  return out.str();
}

// Offsets of the log's records that have `text`.
std::vector<Offset> OffsetsOf(const std::string& text, const std::string& dump) {
  std::vector<Offset> offsets;
  std::istringstream lines(dump);
  for (std::string line; std::getline(lines, line);) {
    constexpr std::string_view kName = "offset=";
    if (line.find(text) == std::string::npos || !line.starts_with(kName)) continue;
    offsets.push_back(Offset{std::stoll(line.substr(kName.size()))});
  }
  return offsets;
}

// What an active controller leaves behind that ends while it writes: batches at the end of the log.
class CutOffLeader final : private MetadataLog::Listener {
 public:
  explicit CutOffLeader(ControllerHarness& node)
      : loop_(node.scheduler(), "leader"), disk_(node.scheduler(), node.files()) {
    const auto identity = ReadIdentity(node.files(), ControllerHarness::kDataDir);
    RaftLogOptions options;
    options.loop = &loop_;
    options.disk = &disk_;
    options.path = MetadataPath(ControllerHarness::kDataDir);
    options.cluster_id = (*identity)->cluster_id;
    options.raft.self = {(*identity)->node_id, (*identity)->directory_id};
    options.raft.configured = {{{NodeId{1}, DirectoryId{}}, {}}};
    options.segment_bytes = node.segment_bytes;
    const bool leads = loop_.RunUntil(
        [&] {
          OpenRaftLog(std::move(options), [this](Result<std::unique_ptr<MetadataLog>> log) {
            ASSERT_TRUE(log.ok()) << log.error();
            log_ = *std::move(log);
            log_->Start(log_->end_offset(), *this);
          });
        },
        [&] { return leader_.leader == NodeId{1}; }, std::chrono::minutes(1));
    EXPECT_TRUE(leads);
  }
  ~CutOffLeader() override {
    disk_.Kill();
    loop_.Kill();
  }

  void Append(const std::vector<pb::MetadataRecord>& records) {
    Offset end{0};
    const bool is_committed = loop_.RunUntil(
        [&] {
          std::vector<std::string> bytes;
          for (const auto& record : records) bytes.push_back(SerializeRecord(record));
          const auto appended = log_->Append(leader_.term, std::move(bytes));
          ASSERT_TRUE(appended.ok()) << appended.error();
          end = appended->next_offset;
        },
        [&] { return committed_ == end; }, std::chrono::minutes(1));
    EXPECT_TRUE(is_committed);
  }

 private:
  void OnCommitted(std::vector<CommittedRecords> batches) override {
    committed_ = batches.back().next_offset();
  }
  void OnLeader(const QuorumLeader& leader) override { leader_ = leader; }
  void OnConnection(NodeId, bool) override {}
  void OnSnapshotOffered(NodeId, const raft::SnapshotId&) override {}
  void OnFailure(const Error& error) override { ADD_FAILURE() << error; }

  SimLoop loop_;
  SimDisk disk_;
  std::unique_ptr<MetadataLog> log_;
  QuorumLeader leader_;
  Offset committed_{0};
};

pb::MetadataRecord BeginRecord() {
  pb::MetadataRecord record;
  record.mutable_begin_transaction()->set_name("create_topic");
  return record;
}

class ControllerTransactionsTest : public testing::Test {
 protected:
  ControllerTransactionsTest() : node_(51) {
    node_.behavior.transaction_batch_bytes = kBatchBytes;
    EXPECT_TRUE(node_.Start());
  }
  // Every image from here on has all of each topic, or nothing of it.
  std::shared_ptr<void> WatchWhole() {
    return node_.controller().Watch([this](const MetadataDelta& delta) {
      ++images_;
      delta.after->topics.VisitAll([](const std::string& name, const TopicPtr& topic) {
        EXPECT_EQ(topic->partition_count(), kPartitions) << name;
        EXPECT_FALSE(topic->configs->empty()) << name;
      });
    });
  }
  Result<TopicPtr> CreateLarge(const std::string& name) {
    return node_.Create(name, kPartitions, {{"retention.ms", "77"}});
  }

  ControllerHarness node_;
  int images_ = 0;
};

TEST_F(ControllerTransactionsTest, NoImageHasAPartOfALargeOperation) {
  const auto watch = WatchWhole();
  const auto made = CreateLarge("orders");
  ASSERT_TRUE(made.ok()) << made.error();
  EXPECT_EQ((*made)->partition_count(), kPartitions);
  EXPECT_EQ(node_.image()->Topic("orders"), *made);
  EXPECT_EQ(images_, 2);
  const auto rows = RowsOf(*node_.image());
  node_.Kill();
  const std::string dump = DumpRecords(node_);
  const auto begins = OffsetsOf("begin_transaction", dump), ends = OffsetsOf("end_trans", dump);
  ASSERT_EQ(begins.size(), 1u);
  ASSERT_EQ(ends.size(), 1u);
  EXPECT_EQ(ends[0] - begins[0], 8);  // a topic, five times partitions, configs
  EXPECT_THAT(dump, HasSubstr("name: \"create_topic\""));
  ASSERT_TRUE(node_.Open());
  EXPECT_EQ(RowsOf(*node_.image()), rows);
}

TEST_F(ControllerTransactionsTest, AnswersKnowWhereTheirRecordsAre) {
  ASSERT_TRUE(CreateLarge("orders").ok());
  node_.Kill();
  // Registering raises the epochs of what the broker leads; its own epoch is its record's offset.
  node_.behavior.transaction_batch_bytes = 1;
  ASSERT_TRUE(node_.Open());
  const auto epoch = node_.Register(1);
  ASSERT_TRUE(epoch.ok()) << epoch.error();
  EXPECT_EQ(node_.image()->Broker(NodeId{1})->epoch, *epoch);
  node_.Kill();
  const auto offsets = OffsetsOf("register_broker", DumpRecords(node_));
  EXPECT_EQ(offsets.back().value, epoch->value);
}

TEST_F(ControllerTransactionsTest, SmallOperationsAreOneBatch) {
  ASSERT_TRUE(node_.Create("orders", 3).ok());
  node_.Kill();
  EXPECT_THAT(DumpRecords(node_), Not(HasSubstr("_transaction")));
}

TEST_F(ControllerTransactionsTest, WhatALeaderLeftUndoneIsAbortedByTheNext) {
  ASSERT_TRUE(CreateLarge("orders").ok());
  const auto rows = RowsOf(*node_.image());
  node_.Kill();
  RecordMaker make(5);
  const TopicId id = make.NewTopicId();
  {
    CutOffLeader leader(node_);
    leader.Append({BeginRecord(), make.Topic("half", id)});
    leader.Append({make.Partitions(id, 0, 1000)});
  }
  node_.files().KillProcess();
  for (int start = 0; start < 2; ++start) {
    ASSERT_TRUE(node_.Open()) << *node_.error();
    EXPECT_EQ(RowsOf(*node_.image()), rows);
    EXPECT_EQ(node_.image()->Topic("half"), nullptr);
    node_.scheduler().RunFor(std::chrono::milliseconds(100));  // the abort is durable, too
    node_.Kill();
    EXPECT_EQ(OffsetsOf("abort_transaction", DumpRecords(node_)).size(), 1u);
  }
  ASSERT_TRUE(node_.Open());
  // The name is free, and what comes next counts.
  const auto made = CreateLarge("half");
  ASSERT_TRUE(made.ok()) << made.error();
  EXPECT_NE((*made)->id, id);
  node_.Kill();
  ASSERT_TRUE(node_.Open());
  EXPECT_EQ(node_.image()->Topic("half")->partition_count(), kPartitions);
}

TEST_F(ControllerTransactionsTest, AnAbortIsWrittenBeforeAnythingElse) {
  node_.Kill();
  RecordMaker make(6);
  {
    CutOffLeader leader(node_);
    leader.Append({BeginRecord(), make.Topic("half", make.NewTopicId())});
  }
  node_.files().KillProcess();
  // The broker of before is fenced at once, as nobody hears of it.
  node_.behavior.broker_sessions.timeout = Duration(1);
  ASSERT_TRUE(node_.Open());
  node_.scheduler().RunFor(std::chrono::seconds(1));
  EXPECT_TRUE(node_.image()->Broker(NodeId{1})->fenced);
  node_.Kill();
  const std::string dump = DumpRecords(node_);
  const auto begins = OffsetsOf("begin_transaction", dump);
  const auto aborts = OffsetsOf("abort_transaction", dump);
  ASSERT_EQ(aborts.size(), 1u);
  EXPECT_LT(aborts[0], OffsetsOf("broker_change", dump).back());
  EXPECT_LE(aborts[0] - begins.back(), 3);  // the record within, and a change of the leader
}

// Snapshots are due all the time: they, and the log's beginning, are never inside of a transaction.
TEST_F(ControllerTransactionsTest, SnapshotsAndTrimsAreNeverInsideOfOne) {
  node_.Kill();
  node_.snapshot_record_bytes = 500;
  node_.segment_bytes = 2000;
  ASSERT_TRUE(node_.Start());
  std::set<Offset> snapshots;
  std::vector<Offset> begins, ends;
  Offset first_left{0};  // the first begin that the last dump has
  for (int i = 0; i < 12; ++i) {
    ASSERT_TRUE(CreateLarge("orders" + std::to_string(i)).ok());
    for (int j = 0; j < 10; ++j) {
      node_.scheduler().RunFor(std::chrono::milliseconds(100));
      const auto files =
          ListSnapshots(node_.files(), MetadataPath(ControllerHarness::kDataDir) + "/snapshots");
      ASSERT_TRUE(files.ok());
      for (const SnapshotFile& file : *files) snapshots.insert(file.end_offset);
    }
    if (i % 3 != 2) continue;
    // What is in the log just now.
    node_.Kill();
    const std::string dump = DumpRecords(node_);
    first_left = OffsetsOf("begin_transaction", dump).front();
    for (const Offset begin : OffsetsOf("begin_transaction", dump)) begins.push_back(begin);
    for (const Offset end : OffsetsOf("end_transaction", dump)) ends.push_back(end);
    ASSERT_TRUE(node_.Start());
  }
  EXPECT_GT(snapshots.size(), 5u);
  ASSERT_GT(begins.size(), 3u);
  for (const Offset begin : begins) {
    // Its own end, which was dumped together with it.
    const auto end =
        std::find_if(ends.begin(), ends.end(), [&](Offset each) { return each > begin; });
    ASSERT_NE(end, ends.end()) << begin;
    const auto snapshot = snapshots.upper_bound(begin);
    EXPECT_TRUE(snapshot == snapshots.end() || *snapshot > *end) << begin << " " << *snapshot;
  }
  EXPECT_GT(first_left, begins.front());  // the log was trimmed
}

// The state's hash is written all the time: never inside of one, and each one is right.
TEST_F(ControllerTransactionsTest, StateHashesAreNeverInsideOfOne) {
  node_.Kill();
  RecordMaker make(7);
  {
    CutOffLeader leader(node_);
    leader.Append({BeginRecord(), make.Topic("half", make.NewTopicId())});
  }
  node_.files().KillProcess();
  node_.behavior.hash_interval = std::chrono::microseconds(50);
  ASSERT_TRUE(node_.Open());
  int checks = 0;
  const auto watch = node_.controller().Watch([&](const MetadataDelta& delta) {
    if (!delta.hash_check.has_value()) return;
    ++checks;
    EXPECT_TRUE(delta.hash_check->matches());
  });
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(CreateLarge("orders" + std::to_string(i)).ok());
  node_.Kill();
  const std::string dump = DumpRecords(node_);
  const auto begins = OffsetsOf("begin_transaction", dump);
  std::vector<Offset> ends = OffsetsOf("end_transaction", dump);
  for (const Offset abort : OffsetsOf("abort_transaction", dump)) ends.push_back(abort);
  std::sort(ends.begin(), ends.end());
  const auto hashes = OffsetsOf("state_hash", dump);
  EXPECT_EQ(begins.size(), 11u);
  ASSERT_EQ(ends.size(), begins.size());
  EXPECT_GT(hashes.size(), 5u);
  EXPECT_GT(checks, 0);
  for (const Offset hash : hashes) {
    for (size_t i = 0; i < begins.size(); ++i)
      EXPECT_TRUE(hash < begins[i] || hash > ends[i]) << hash << " " << begins[i] << " " << ends[i];
  }
  ASSERT_TRUE(node_.Open());
}

TEST_F(ControllerTransactionsTest, AKillAtAnyMomentLeavesAllOrNothing) {
  int made = 0, not_made = 0;
  for (uint64_t i = 0; i < SeedCount(40); ++i) {
    const std::string name = "orders" + std::to_string(i);
    CreateTopic operation;
    operation.name = name;
    operation.partitions = kPartitions;
    operation.configs = {{"retention.ms", "77"}};
    node_.loop().Run([&] { node_.controller().Run(operation, [](const Result<TopicPtr>&) {}); });
    node_.scheduler().RunFor(std::chrono::microseconds(node_.random().Below(1000)));
    if (node_.random().Chance(0.5)) {
      node_.Kill();
    } else {
      node_.LosePower();
    }
    ASSERT_TRUE(node_.Start()) << *node_.error();
    const TopicPtr topic = node_.image()->Topic(name);
    ++(topic == nullptr ? not_made : made);
    if (topic == nullptr) continue;
    EXPECT_EQ(topic->partition_count(), kPartitions);
    EXPECT_FALSE(topic->configs->empty());
  }
  EXPECT_TRUE(made > 0 || kFewSeeds);
  EXPECT_TRUE(not_made > 0 || kFewSeeds);
}

// The batch of the log that has the record at `offset`.
BatchHeader BatchAt(ControllerHarness& node, Offset offset) {
  const auto history = MetadataHistory::Open(node.files(), ControllerHarness::kDataDir);
  EXPECT_TRUE(history.ok()) << history.error();
  BatchHeader found;
  EXPECT_TRUE(history
                  ->VisitBatches(offset, offset + 1,
                                 [&](const RecordBatch& batch) {
                                   found = batch.header;
                                   return Result<void>();
                                 })
                  .ok());
  return found;
}

TEST(ControllerTransactionsAtLevelOne, ALargeOperationIsOneBatch) {
  ControllerHarness node(52, 1);
  node.behavior.transaction_batch_bytes = kBatchBytes;
  ASSERT_TRUE(node.Start());
  const auto made = node.Create("orders", kPartitions, {{"retention.ms", "77"}});
  ASSERT_TRUE(made.ok()) << made.error();
  EXPECT_EQ((*made)->partition_count(), kPartitions);
  EXPECT_EQ(node.image()->feature_level, 1);
  node.Kill();
  const std::string dump = DumpRecords(node);
  EXPECT_THAT(dump, Not(HasSubstr("_transaction")));
  EXPECT_THAT(dump, Not(HasSubstr("state_hash")));
  const auto topics = OffsetsOf("{topic:", dump);
  ASSERT_EQ(topics.size(), 1u);
  const BatchHeader batch = BatchAt(node, topics[0]);
  EXPECT_EQ(batch.base_offset, topics[0]);
  EXPECT_EQ(batch.next_offset() - batch.base_offset, 7);  // five times partitions, and configs
  EXPECT_GT(batch.size(), 5 * kBatchBytes);
}

TEST(ControllerTransactionsAtLevelOne, WhatIsTooMuchForABatchIsRefusedUntilTheLevelIsRaised) {
  ControllerHarness node(53, 1);
  node.behavior.record_batch_bytes_max = 120'000;
  ASSERT_TRUE(node.Start());
  const auto refused = node.Create("orders", kPartitions);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().reason, Reason::kBatchTooLarge);
  EXPECT_EQ(node.image()->Topic("orders"), nullptr);
  const auto raised = node.Await<void>([&](auto done) {
    node.controller().Run(UpdateFeatures{2, false}, std::move(done));
  });
  ASSERT_TRUE(raised.ok()) << raised.error();
  const auto made = node.Create("orders", kPartitions);
  ASSERT_TRUE(made.ok()) << made.error();
  EXPECT_EQ((*made)->partition_count(), kPartitions);
  node.Kill();
  EXPECT_EQ(OffsetsOf("begin_transaction", DumpRecords(node)).size(), 1u);
  ASSERT_TRUE(node.Open());
  EXPECT_EQ(node.image()->Topic("orders")->partition_count(), kPartitions);
}

}  // namespace
}  // namespace gregor
