// A voter whose metadata log was damaged gets back from the others what it lost, before it votes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/sim/quorum_checkers.h"
#include "tests/sim/quorum_node.h"
#include "tests/sim/sim_network.h"

namespace gregor {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using testing::HasSubstr;

constexpr char kMetadata[] = "/node/metadata";

// Offset of a batch's leader epoch, which no checksum of its own covers.
constexpr uint64_t kEpochAt = 12;

class Quorum {
 public:
  explicit Quorum(uint64_t seed)
      : scheduler_(seed), network_(scheduler_), checker_(verdict_, std::chrono::hours(1)) {
    QuorumNode::Options options;
    options.cluster = scheduler_.random().NewUuid<ClusterId>();
    options.segment_bytes = 4000;
    options.fetch = [](NodeId) { return std::nullopt; };
    for (int id = 1; id <= 3; ++id) options.configured.push_back({{NodeId{id}, DirectoryId{}}, {}});
    for (int id = 1; id <= 3; ++id) {
      options.node = NodeId{id};
      nodes_.push_back(std::make_unique<QuorumNode>(scheduler_, network_, checker_, options,
                                                    seed * 10 + static_cast<uint64_t>(id)));
    }
    for (auto& node : nodes_) node->Start();
  }

  QuorumNode& node(int id) { return *nodes_[static_cast<size_t>(id - 1)]; }
  // What keeps it from going on, for a message.
  std::string Why(int id) {
    return node(id).failure().has_value() ? node(id).failure()->message : "it goes on";
  }
  Scheduler& scheduler() { return scheduler_; }
  SimNetwork& network() { return network_; }
  const Verdict& verdict() const { return verdict_; }

  int Leader() {
    for (int id = 1; id <= 3; ++id) {
      if (node(id).leads()) return id;
    }
    return 0;
  }
  bool WaitForLeader() {
    return scheduler_.RunUntil([&] { return Leader() != 0; }, minutes(2));
  }
  // Records that all running nodes are given.
  bool Append(int count) {
    if (!WaitForLeader()) return false;
    const Offset target = checker_.end() + count;
    for (int i = 0; i < count; ++i) {
      node(Leader()).Append("value" + std::to_string(++last_value_) + std::string(100, '.'), 1);
      scheduler_.RunFor(std::chrono::milliseconds(5));
      if (!WaitForLeader()) return false;
    }
    return checker_.end() >= target && WaitForAll();
  }
  bool WaitForAll() {
    return scheduler_.RunUntil(
        [&] {
          for (auto& each : nodes_) {
            if (each->is_running() && (!each->is_open() || each->delivered() < checker_.end()))
              return false;
          }
          return Leader() != 0;
        },
        minutes(2));
  }
  // ... and what was synced is in the journals.
  void Settle() { scheduler_.RunFor(seconds(5)); }
  void KillAll() {
    for (auto& each : nodes_) each->Stop(StopKind::kKill);
  }

  // Of its log.
  std::string Folder(int id) {
    const std::string log = MetadataLogPath(kMetadata);
    const auto entries = node(id).files().List(log);
    EXPECT_TRUE(entries.ok());
    for (const DirectoryEntry& entry : *entries) {
      if (entry.is_directory) return JoinPath(log, entry.name);
    }
    return "";
  }
  std::vector<std::string> Segments(int id) {
    std::vector<std::string> paths;
    const std::string folder = Folder(id);
    const auto entries = node(id).files().List(folder);
    EXPECT_TRUE(entries.ok());
    for (const DirectoryEntry& entry : *entries) {
      if (entry.name.ends_with(".log")) paths.push_back(JoinPath(folder, entry.name));
    }
    return paths;
  }
  // The batches of all its segments, without the room behind them.
  std::map<std::string, std::string> Content(int id) {
    std::map<std::string, std::string> content;
    for (const std::string& path : Segments(id)) {
      std::string text = *ReadWholeFile(node(id).files(), path, 1u << 20);
      text.resize(text.find_last_not_of('\0') + 1);
      content[path] = text;
    }
    return content;
  }
  bool HasDamagedFilesAside(int id) {
    return *node(id).files().Exists(JoinPath(kMetadata, "damaged-1"));
  }
  void Cut(int id, const std::string& path, uint64_t size) {
    const auto file = node(id).files().Open(path, OpenMode::kReadWrite);
    ASSERT_TRUE(file.ok());
    ASSERT_TRUE((*file)->Truncate(size).ok());
    ASSERT_TRUE((*file)->Sync().ok());
  }
  bool Flip(int id, const std::string& path, uint64_t position) {
    return node(id).files().FlipBit(path, position, 3);
  }

 private:
  Scheduler scheduler_;
  SimNetwork network_;
  Verdict verdict_;
  QuorumChecker checker_;
  std::vector<std::unique_ptr<QuorumNode>> nodes_;
  int last_value_ = 0;
};

// Where the last batch of a segment's content begins.
uint64_t LastBatch(const std::string& content) {
  uint64_t at = 0;
  while (true) {
    const auto* const bytes = reinterpret_cast<const uint8_t*>(content.data()) + at;
    const size_t size = BatchHeader::Decode(bytes).size();
    if (at + size + kBatchHeaderBytes > content.size()) return at;
    at += size;
  }
}

TEST(LogRepair, ABitThatFlippedAnywhereIsAsItWas) {
  Quorum quorum(1);
  ASSERT_TRUE(quorum.Append(100));
  for (int turn = 0; turn < 12; ++turn) {
    quorum.Settle();
    const int id = 1 + turn % 3;
    quorum.node(id).Stop(StopKind::kKill);
    const auto before = quorum.Content(id);
    ASSERT_GT(before.size(), 3u);
    const auto& [path, content] =
        *std::next(before.begin(), turn % static_cast<int>(before.size()));
    const uint64_t position = (static_cast<uint64_t>(turn) * 331 + 25) % content.size();
    SCOPED_TRACE(path + " at " + std::to_string(position));
    ASSERT_TRUE(quorum.Flip(id, path, position));
    quorum.node(id).Start();
    ASSERT_TRUE(quorum.WaitForAll()) << quorum.Why(id);
    for (const auto& [file, was] : before)
      EXPECT_EQ(quorum.Content(id)[file].substr(0, was.size()), was) << file;
    EXPECT_TRUE(quorum.HasDamagedFilesAside(id));
  }
  ASSERT_TRUE(quorum.Append(10));
  EXPECT_FALSE(quorum.verdict().failed()) << quorum.verdict().what();
}

// What is above the mark in the journal looks like a torn write: a killed process must have left
// the mark of its very last sync, and the voter does not vote with less than it acknowledged.
TEST(LogRepair, WhatWasAcknowledgedJustBeforeAKillIsMissedToo) {
  Quorum quorum(7);
  ASSERT_TRUE(quorum.Append(100));
  for (int turn = 0; turn < 9; ++turn) {
    quorum.Settle();
    ASSERT_TRUE(quorum.Append(1));
    const int id = 1 + turn % 3;
    const Offset end = quorum.node(id).durable_end();
    quorum.node(id).Stop(StopKind::kKill);
    const auto before = quorum.Content(id);
    const auto& [path, content] = *before.rbegin();
    SCOPED_TRACE(path + " of node " + std::to_string(id));
    ASSERT_TRUE(quorum.Flip(id, path, LastBatch(content) + 30));
    quorum.node(id).Start();
    ASSERT_TRUE(quorum.WaitForAll()) << quorum.Why(id);
    EXPECT_GE(quorum.node(id).durable_end(), end);
    EXPECT_TRUE(quorum.HasDamagedFilesAside(id));
  }
  EXPECT_FALSE(quorum.verdict().failed()) << quorum.verdict().what();
}

TEST(LogRepair, TwoOfThreeDamagedAtDifferentPlacesHealEachOther) {
  Quorum quorum(2);
  ASSERT_TRUE(quorum.Append(100));
  quorum.Settle();
  quorum.KillAll();
  const auto first = quorum.Content(1);
  const auto second = quorum.Content(2);
  ASSERT_TRUE(quorum.Flip(1, first.begin()->first, 300));
  ASSERT_TRUE(quorum.Flip(1, std::next(first.begin(), 2)->first, 0));
  ASSERT_TRUE(quorum.Flip(2, std::prev(second.end())->first, 20));
  ASSERT_TRUE(quorum.Flip(2, std::next(second.begin())->first, 1000));
  // The third, which is whole, stays away: what each needs only the other one has.
  quorum.node(1).Start();
  quorum.node(2).Start();
  ASSERT_TRUE(quorum.WaitForAll()) << quorum.Why(1);
  for (const auto& [file, was] : first) {
    EXPECT_EQ(quorum.Content(1)[file].substr(0, was.size()), was) << file;
    EXPECT_EQ(quorum.Content(2)[file].substr(0, was.size()), was) << file;
  }
  quorum.node(3).Start();
  ASSERT_TRUE(quorum.Append(10));
  EXPECT_FALSE(quorum.verdict().failed()) << quorum.verdict().what();
}

TEST(LogRepair, WhatIsDamagedOnAllOfThemIsRefused) {
  Quorum quorum(3);
  ASSERT_TRUE(quorum.Append(50));
  quorum.Settle();
  quorum.KillAll();
  const std::string path = quorum.Content(1).begin()->first;
  for (int id = 1; id <= 3; ++id) {
    ASSERT_TRUE(quorum.Flip(id, path, 500));
    quorum.node(id).Start();
  }
  quorum.scheduler().RunFor(minutes(2));
  for (int id = 1; id <= 3; ++id) {
    ASSERT_TRUE(quorum.node(id).failure().has_value());
    EXPECT_THAT(quorum.node(id).failure()->message,
                HasSubstr("no other controller has what is missing"));
    EXPECT_FALSE(quorum.node(id).leads());
    EXPECT_FALSE(quorum.HasDamagedFilesAside(id)) << "the files are left as they are";
  }
}

TEST(LogRepair, ADamagedNodeWaitsForTheOthersAndDoesNotVote) {
  Quorum quorum(4);
  ASSERT_TRUE(quorum.Append(50));
  quorum.Settle();
  quorum.KillAll();
  const auto last = std::prev(quorum.Content(1).end())->first;
  quorum.Cut(1, last, 100);
  quorum.node(1).Start();
  quorum.scheduler().RunFor(minutes(5));
  EXPECT_FALSE(quorum.node(1).failure().has_value()) << "nobody has said that there is no help";
  EXPECT_FALSE(quorum.node(1).is_open());
  quorum.node(2).Start();
  ASSERT_TRUE(quorum.WaitForAll());
  EXPECT_FALSE(quorum.verdict().failed()) << quorum.verdict().what();
}

TEST(LogRepair, ALogThatIsGoneComesBackWhole) {
  Quorum quorum(5);
  ASSERT_TRUE(quorum.Append(60));
  quorum.Settle();
  quorum.KillAll();
  const auto before = quorum.Content(2);
  ASSERT_TRUE(RemoveTree(quorum.node(2).files(), quorum.Folder(2)).ok());
  for (int id = 1; id <= 3; ++id) quorum.node(id).Start();
  ASSERT_TRUE(quorum.WaitForAll()) << quorum.Why(2);
  ASSERT_TRUE(quorum.Append(5));
  EXPECT_FALSE(quorum.verdict().failed()) << quorum.verdict().what();
}

TEST(LogRepair, AMissingSegmentComesBack) {
  Quorum quorum(6);
  ASSERT_TRUE(quorum.Append(100));
  quorum.Settle();
  for (int id = 1; id <= 3; ++id) {
    quorum.node(id).Stop(StopKind::kKill);
    auto segments = quorum.Segments(id);
    ASSERT_GT(segments.size(), 3u);
    const std::vector<size_t> which = {0, 1, segments.size() - 1};
    ASSERT_TRUE(quorum.node(id).files().Remove(segments[which[static_cast<size_t>(id - 1)]]).ok());
    quorum.node(id).Start();
    ASSERT_TRUE(quorum.WaitForAll()) << id << quorum.Why(id);
    quorum.Settle();
  }
  EXPECT_FALSE(quorum.verdict().failed()) << quorum.verdict().what();
}

TEST(LogRepair, WhatTheDiskCannotReadAnyMoreComesBack) {
  Quorum quorum(10);
  ASSERT_TRUE(quorum.Append(60));
  quorum.Settle();
  quorum.node(2).Stop(StopKind::kKill);
  quorum.node(2).files().FailNext(SimOperation::kRead, quorum.Segments(2)[1]);
  quorum.node(2).Start();
  ASSERT_TRUE(quorum.WaitForAll()) << quorum.Why(2);
  EXPECT_TRUE(quorum.HasDamagedFilesAside(2));
  ASSERT_TRUE(quorum.Append(5));
  EXPECT_FALSE(quorum.verdict().failed()) << quorum.verdict().what();
}

TEST(LogRepair, AWrongTermThatNoChecksumCoversIsFound) {
  Quorum quorum(7);
  ASSERT_TRUE(quorum.Append(30));
  quorum.Settle();
  const int id = 1 + quorum.Leader() % 3;
  quorum.node(id).Stop(StopKind::kKill);
  const auto before = quorum.Content(id);
  const auto& [path, content] = *std::prev(before.end());
  ASSERT_TRUE(quorum.Flip(id, path, LastBatch(content) + kEpochAt + 3));
  quorum.node(id).Start();
  ASSERT_TRUE(quorum.WaitForAll()) << quorum.Why(id);
  EXPECT_EQ(quorum.Content(id)[path].substr(0, content.size()), content);
  EXPECT_FALSE(quorum.verdict().failed()) << quorum.verdict().what();
}

// A node that is down, and whose log is damaged in what only it had, and what therefore was never
// committed: nobody can give that back, and the others have gone on without it. 0: it did not come
// to that.
int DamageWhatOnlyOneHas(Quorum& quorum) {
  if (!quorum.Append(30)) return 0;
  quorum.Settle();
  const int leader = quorum.Leader();
  const int other = 1 + leader % 3, third = 1 + other % 3;
  for (const int id : {other, third}) {
    quorum.network().Cut(NodeId{leader}, NodeId{id}, false);
    quorum.network().Cut(NodeId{id}, NodeId{leader}, false);
  }
  for (int i = 0; i < 3; ++i) quorum.node(leader).Append("lost" + std::to_string(i), 1);
  quorum.scheduler().RunFor(std::chrono::milliseconds(900));
  quorum.node(leader).Stop(StopKind::kKill);
  quorum.network().HealAll();
  const auto content = quorum.Content(leader);
  const auto& [path, last] = *std::prev(content.end());
  if (!quorum.Flip(leader, path, LastBatch(last) + 30)) return 0;
  return quorum.scheduler().RunUntil([&] { return quorum.Leader() != 0; }, minutes(1)) ? leader : 0;
}

TEST(LogRepair, WhatWasNeverCommittedIsGivenUpForWhatWas) {
  Quorum quorum(8);
  const int damaged = DamageWhatOnlyOneHas(quorum);
  ASSERT_NE(damaged, 0);
  quorum.node(damaged).Start();
  ASSERT_TRUE(quorum.WaitForAll()) << quorum.Why(damaged);
  ASSERT_TRUE(quorum.Append(5));
  EXPECT_FALSE(quorum.verdict().failed()) << quorum.verdict().what();
}

// Starts node `damaged`; the power fails at the `step`th change of its disk, if it gets there.
void CrashInRepair(Quorum& quorum, int damaged, uint64_t step) {
  SimFileSystem& files = quorum.node(damaged).files();
  files.FailPowerAt(files.mutation_count() + step);
  quorum.node(damaged).Start();
  quorum.scheduler().RunUntil([&] { return files.is_powerless(); }, seconds(20));
  quorum.node(damaged).Stop(StopKind::kPowerLoss);
  quorum.node(damaged).Start();
  ASSERT_TRUE(quorum.WaitForAll()) << quorum.Why(damaged);
  EXPECT_FALSE(quorum.verdict().failed()) << quorum.verdict().what();
}

TEST(LogRepair, ACrashAtAnyStepOfARepairLeavesOneThatGoesOn) {
  for (uint64_t step = 1; step < 60; step += 2) {
    SCOPED_TRACE(step);
    Quorum quorum(9);
    ASSERT_TRUE(quorum.Append(40));
    quorum.Settle();
    quorum.node(1).Stop(StopKind::kKill);
    ASSERT_TRUE(quorum.Flip(1, quorum.Segments(1)[1], 700));
    CrashInRepair(quorum, 1, step);
  }
}

TEST(LogRepair, ACrashAtAnyStepLeavesOneThatGoesOnWhereWhatIsCommittedTakesItsPlace) {
  for (uint64_t step = 1; step < 60; ++step) {
    SCOPED_TRACE(step);
    Quorum quorum(8 + step % 3);
    const int damaged = DamageWhatOnlyOneHas(quorum);
    ASSERT_NE(damaged, 0);
    CrashInRepair(quorum, damaged, step);
  }
}

}  // namespace
}  // namespace gregor
