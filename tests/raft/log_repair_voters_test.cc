// Whom a node with a damaged log asks for what it lacks.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "raft/host/log_inspection.h"
#include "tests/raft/follower_harness.h"

namespace gregor {
namespace {

using testing::Contains;
using testing::IsSupersetOf;
using testing::Not;

constexpr Term kTerm{1};
constexpr size_t kBatchMax = 1u << 20;

std::string Folder() { return "/data/metadata/log/" + MetadataLogId().ToString(); }

// Node 1 has `count` committed records, and a voter set with node 4, which its settings do not
// name.
void FollowFour(FollowerHarness& node, int count) {
  ASSERT_TRUE(node.Start()) << *node.error();
  node.Send(2, kTerm, Offset{0}, Term{0}, {"first"}, Offset{0});
  node.SendVoters(2, kTerm, Offset{1}, kTerm, node.VotersWithFourth(), Offset{0});
  for (int i = 0; i < count; ++i)
    node.Send(2, kTerm, Offset{2 + i}, kTerm, {std::string(600, 'x')}, Offset{0});
  ASSERT_TRUE(node.WaitForDurable(Offset{2 + count}));
  node.Heartbeat(2, kTerm, Offset{2 + count});
  ASSERT_TRUE(node.RunUntil([&] { return node.delivered().count(Offset{1 + count}) != 0; }));
  node.scheduler().RunFor(std::chrono::seconds(3));
  node.may_be_empty = false;
}

// The batches of all its segments.
Bytes Content(FollowerHarness& node) {
  Bytes content;
  const auto segments = ListSegments(node.files(), Folder());
  for (const SegmentFile& segment : *segments) {
    content.Append(
        *ReadSoundBatches(node.files(), Folder(), segment.name.base, 1u << 30, kBatchMax));
  }
  return content;
}

// What of `content` begins at `from`.
LogRange RangeOf(const Bytes& content, Offset from) {
  LogRange range;
  range.start = PeekHeader(content, kBatchMax)->base_offset;
  for (size_t at = 0; at < content.size();) {
    const Bytes rest = content.Sub(at, content.size() - at);
    const auto header = PeekHeader(rest, kBatchMax);
    if (header->base_offset == from) range.batches = rest;
    at += header->size();
  }
  return range;
}

// Node 4 has everything, and the others nothing of it.
void OnlyFourthHas(FollowerHarness& node, const Bytes& content) {
  node.ranges = [content](NodeId asked, Offset from) -> Result<LogRange> {
    return asked == NodeId{4} ? RangeOf(content, from) : LogRange();
  };
}

void Damage(FollowerHarness& node, size_t segment) {
  const auto segments = *ListSegments(node.files(), Folder());
  ASSERT_TRUE(node.files().FlipBit(JoinPath(Folder(), segments[segment].name.FileName("log")),
                                   segment == 0 ? 1200 : 100, 1));
}

bool KnowsFourth(FollowerHarness& node) {
  const auto& told = node.transport().voters();
  return std::any_of(told.begin(), told.end(),
                     [&](const VoterSet& set) { return set == node.VotersWithFourth(); });
}

TEST(LogRepairVoters, AVoterOfTheLogIsAskedThatTheSettingsDoNotName) {
  FollowerHarness node(1);
  FollowFour(node, 10);
  node.Kill();
  OnlyFourthHas(node, Content(node));
  Damage(node, 0);
  ASSERT_TRUE(node.Start()) << *node.error();
  EXPECT_THAT(node.transport().asked(), Contains(NodeId{4}));
  EXPECT_TRUE(KnowsFourth(node));
  EXPECT_EQ(node.log().end_offset(), Offset{12});
}

TEST(LogRepairVoters, AVoterOfBeforeATrimmedLogIsAskedToo) {
  FollowerHarness node(2);
  FollowFour(node, 80);
  node.loop().Run([&] { node.log().TrimBefore(Offset{40}); });
  node.scheduler().RunFor(std::chrono::minutes(2));
  ASSERT_EQ(node.log().start_offset(), Offset{40});
  node.Kill();
  ASSERT_GT(ListSegments(node.files(), Folder())->front().name.base, Offset{2});
  OnlyFourthHas(node, Content(node));
  Damage(node, 1);
  ASSERT_TRUE(node.Start(Offset{40})) << *node.error();
  EXPECT_THAT(node.transport().asked(), Contains(NodeId{4}));
  EXPECT_TRUE(KnowsFourth(node));
  EXPECT_EQ(node.log().end_offset(), Offset{82});
}

// As long as one that may have it has not answered, the node waits.
TEST(LogRepairVoters, WhoDoesNotVoteAnyMoreIsNotWaitedFor) {
  FollowerHarness node(3);
  FollowFour(node, 10);
  VoterSet two = node.voters();
  two.voters.pop_back();
  node.SendVoters(2, kTerm, Offset{12}, kTerm, node.voters(), Offset{12});
  node.SendVoters(2, kTerm, Offset{13}, kTerm, two, Offset{13});
  ASSERT_TRUE(node.WaitForDurable(Offset{14}));
  node.Heartbeat(2, kTerm, Offset{14});
  node.scheduler().RunFor(std::chrono::seconds(3));
  node.Kill();
  Damage(node, 0);
  node.ranges = [](NodeId, Offset) -> Result<LogRange> { return LogRange(); };
  EXPECT_FALSE(node.Start());
  EXPECT_THAT(node.error()->message, testing::HasSubstr("no other controller has what is missing"));
  EXPECT_THAT(node.transport().asked(), Not(Contains(NodeId{4})));
  EXPECT_THAT(node.transport().asked(), IsSupersetOf({NodeId{2}, NodeId{3}}));
}

}  // namespace
}  // namespace gregor
