// What the checker of the metadata quorum says of histories that are wrong.
#include "tests/sim/quorum_checkers.h"

#include <gtest/gtest.h>

namespace gregor {
namespace {

using std::chrono::hours;
using std::chrono::seconds;

constexpr NodeId kNode{1}, kOther{2};

class QuorumCheckerTest : public testing::Test {
 protected:
  // Of node 1 all is known; the other ones' logs are as its own, and their votes are durable,
  // whatever they say.
  struct View final : QuorumView {
    MonotonicTime now{hours(1)};
    std::vector<raft::VotersAt> voters;
    std::map<NodeId, std::vector<raft::VotersAt>> voters_of;  // else they are those
    std::map<NodeId, LogBounds> ends;
    std::map<std::pair<NodeId, Offset>, Term> terms;  // else it is the first
    Offset commit{100};
    Term term{1};

    MonotonicTime Now() const override { return now; }
    std::optional<Vote> DurableVote(NodeId) const override {
      Vote vote;
      vote.term = Term{9};
      return vote;
    }
    std::optional<LogBounds> EndsOf(const VoterKey& key) const override {
      const auto known = ends.find(key.node);
      if (known == ends.end()) return LogBounds{Offset{0}, Offset{100}, Offset{100}};
      return known->second.end == Offset{-1} ? std::nullopt : std::optional(known->second);
    }
    Term TermAt(const VoterKey& key, Offset offset) const override {
      const auto known = terms.find({key.node, offset});
      return known == terms.end() ? Term{1} : known->second;
    }
    Term TermOf(NodeId) const override { return term; }
    Offset CommitOf(NodeId) const override { return commit; }
    std::optional<raft::VotersAt> VotersBefore(NodeId node, Offset offset) const override {
      const auto own = voters_of.find(node);
      std::optional<raft::VotersAt> found;
      for (const raft::VotersAt& each : own == voters_of.end() ? voters : own->second) {
        if (each.end <= offset) found = each;
      }
      return found;
    }
  };

  QuorumCheckerTest() { checker_.Watch(view_); }
  static VoterKey Key(int32_t node) { return {NodeId{node}, DirectoryId{}}; }
  static raft::VotersAt Voters(int64_t end, std::vector<int32_t> nodes) {
    raft::VotersAt at{Offset{end}, {}};
    for (const int32_t node : nodes) at.voters.voters.push_back({Key(node), {}});
    return at;
  }
  void Deliver(const std::string& value) {
    const Offset offset = checker_.end();
    checker_.OnAppended(Term{1}, offset, value);
    checker_.OnDelivered(kNode, offset, {offset, Term{1}, Timestamp{0}, {value}});
  }
  void Commit(const std::string& value) {
    Deliver(value);
    EXPECT_EQ(verdict_.what().substr(0, 2), "R7");  // there are no voters here
    verdict_ = Verdict();
  }
  // What its node's log is, and what its user was given.
  void Look(const LogBounds& ends, int64_t delivered) {
    view_.ends[kNode] = ends;
    checker_.OnLog(Key(1), Offset{delivered}, Offset{0});
  }
  static LogBounds Ends(int64_t start, int64_t end, int64_t durable) {
    return {Offset{start}, Offset{end}, Offset{durable}};
  }
  void SetTerms(int64_t from, int64_t end, int32_t term) {
    for (int64_t at = from; at < end; ++at) view_.terms[{kNode, Offset{at}}] = Term{term};
  }
  void Say(Offset commit, Term term) { Say(kNode, commit, term); }
  void Say(NodeId leader, Offset commit, Term term) {
    raft::Message message;
    message.from = Key(leader.value);
    message.to = Key(3);
    message.term = term;
    message.body = raft::Heartbeat{.commit = commit, .round = 1};
    checker_.OnSent(message);
  }
  void GiveVote(const VoterKey& from, Term term, const VoterKey& to = Key(1)) {
    raft::Message message;
    message.from = from;
    message.to = to;
    message.term = term;
    message.body = raft::VoteReply{.pre = false, .granted = true};
    checker_.OnSent(message);
  }
  void ExpectFailure(const std::string& invariant) {
    EXPECT_EQ(verdict_.what().substr(0, invariant.size() + 1), invariant + ":") << verdict_.what();
  }
  void ExpectNone() { EXPECT_EQ(verdict_.what(), ""); }

  View view_;
  Verdict verdict_;
  QuorumChecker checker_{verdict_, std::chrono::seconds(2)};
};

TEST_F(QuorumCheckerTest, ALeaderDoesNotTellOfLessThanBefore) {
  Say(Offset{5}, Term{1});
  Say(Offset{5}, Term{1});
  Say(Offset{3}, Term{2});  // elected again
  EXPECT_EQ(verdict_.what(), "");
  Say(Offset{2}, Term{2});
  ExpectFailure("R8");
}

TEST_F(QuorumCheckerTest, TermsDoNotFall) {
  GiveVote(Key(2), Term{3});
  GiveVote(Key(3), Term{2});  // another one
  ExpectNone();
  GiveVote(Key(2), Term{2});
  ExpectFailure("R2");
}

TEST_F(QuorumCheckerTest, ThereIsOneVoteInATerm) {
  GiveVote(Key(2), Term{1});
  GiveVote(Key(2), Term{1});  // it was asked again
  GiveVote(Key(2), Term{2}, Key(3));
  ExpectNone();
  GiveVote(Key(2), Term{2});
  ExpectFailure("R3");
}

TEST_F(QuorumCheckerTest, ATermAndAnOffsetNameOneContent) {
  checker_.OnAppended(Term{1}, Offset{4}, "a");
  checker_.OnAppended(Term{2}, Offset{4}, "b");
  ExpectNone();
  checker_.OnAppended(Term{1}, Offset{4}, "a");
  ExpectFailure("R4");
}

TEST_F(QuorumCheckerTest, WhatIsCommittedIsOneSequence) {
  Commit("a");
  const auto deliver = [&](const std::string& value, Term term) {
    checker_.OnAppended(term, Offset{0}, value);
    checker_.OnDelivered(kOther, Offset{0}, {Offset{0}, term, Timestamp{0}, {value}});
  };
  checker_.OnDelivered(kOther, Offset{0}, {Offset{0}, Term{1}, Timestamp{0}, {"a"}});
  ExpectNone();
  deliver("a", Term{2});
  ExpectFailure("R6");
}

TEST_F(QuorumCheckerTest, NothingIsCommittedThatNoLeaderAppended) {
  checker_.OnAppended(Term{1}, Offset{0}, "a");
  checker_.OnDelivered(kNode, Offset{0}, {Offset{0}, Term{1}, Timestamp{0}, {"b"}});
  ExpectFailure("R6");
}

TEST_F(QuorumCheckerTest, ALeaderCommitsByARecordOfItsTerm) {
  SetTerms(5, 9, 2);
  Say(Offset{6}, Term{2});
  ExpectNone();
  SetTerms(6, 9, 2);
  Say(Offset{8}, Term{3});
  ExpectFailure("R9");
}

TEST_F(QuorumCheckerTest, EachIsGivenAllInOrder) {
  for (const char* const value : {"a", "b", "c"}) Commit(value);
  const auto deliver = [&](int64_t from, int64_t base, const std::string& value) {
    checker_.OnDelivered(kOther, Offset{from}, {Offset{base}, Term{1}, Timestamp{0}, {value}});
  };
  deliver(0, 0, "a");
  deliver(1, 1, "b");
  ExpectNone();
  deliver(2, 1, "b");
  ExpectFailure("R12");
  verdict_ = Verdict();
  deliver(1, 2, "c");
  ExpectFailure("R12");
}

TEST_F(QuorumCheckerTest, WhatIsSaidIsDurable) {
  GiveVote(Key(2), Term{8});
  ExpectNone();
  GiveVote(Key(2), Term{9});
  ExpectFailure("R15");
}

TEST_F(QuorumCheckerTest, WhatIsAcknowledgedIsDurable) {
  raft::Message message;
  message.from = Key(2);
  message.to = Key(1);
  message.term = Term{1};
  message.body = raft::HeartbeatReply{.round = 1, .received = Offset{9}, .durable = Offset{5}};
  view_.ends[kOther] = Ends(0, 9, 5);
  checker_.OnSent(message);
  ExpectNone();
  view_.ends[kOther] = Ends(0, 9, 4);
  checker_.OnSent(message);
  ExpectFailure("R15");
}

TEST_F(QuorumCheckerTest, ASnapshotHasTheStateThatItSays) {
  checker_.OnRestored(kNode, Offset{5}, Offset{5});
  ExpectNone();
  checker_.OnRestored(kNode, Offset{5}, Offset{6});
  ExpectFailure("S3");
}

TEST_F(QuorumCheckerTest, WhatWasDeliveredIsNotCut) {
  Look(Ends(0, 3, 3), 3);
  ExpectNone();
  Look(Ends(0, 2, 2), 3);
  ExpectFailure("R10");
}

// The log is as long afterwards.
TEST_F(QuorumCheckerTest, WhatIsAppendedAtOnceHidesNoCut) {
  Look(Ends(0, 8, 6), 3);
  SetTerms(4, 9, 2);
  Look(Ends(0, 9, 4), 3);
  ExpectNone();
  SetTerms(2, 9, 3);
  Look(Ends(0, 9, 2), 3);
  ExpectFailure("R10");
}

// Not even by the same records.
TEST_F(QuorumCheckerTest, WhatIsNotDurableAnyMoreWasCut) {
  Look(Ends(0, 8, 6), 3);
  Look(Ends(0, 8, 2), 3);
  ExpectFailure("R10");
}

// ... though this node was not told so.
TEST_F(QuorumCheckerTest, NobodyCutsWhatOthersHaveCommitted) {
  for (const char* const value : {"a", "b", "c"}) Commit(value);
  SetTerms(2, 4, 2);
  Look(Ends(0, 4, 4), 0);
  SetTerms(2, 4, 3);
  Look(Ends(0, 4, 2), 0);
  ExpectNone();
  SetTerms(1, 4, 4);
  Look(Ends(0, 4, 1), 0);
  ExpectFailure("R10");
}

TEST_F(QuorumCheckerTest, AnOpenedLogMayHaveLostWhatWasNotDurable) {
  Look(Ends(0, 8, 2), 1);
  checker_.OnNoLog(Key(1));
  Look(Ends(0, 2, 2), 1);
  Look(Ends(2, 2, 2), 2);  // trimmed, or a snapshot took its place
  ExpectFailure("S5");
  verdict_ = Verdict();
  Look(Ends(0, 6, 6), 2);
  ExpectNone();
}

TEST_F(QuorumCheckerTest, ALeaderCutsNothing) {
  Say(Offset{0}, Term{1});
  Look(Ends(0, 8, 6), 3);
  view_.term = Term{2};  // it follows another one
  Look(Ends(0, 6, 6), 3);
  ExpectNone();
  view_.term = Term{1};
  Look(Ends(0, 5, 5), 3);
  ExpectFailure("R11");
}

TEST_F(QuorumCheckerTest, ANewLeaderHasWhatIsCommitted) {
  for (const char* const value : {"a", "b", "c"}) Commit(value);
  view_.ends[kNode] = Ends(0, 3, 3);
  Say(Offset{3}, Term{1});
  ExpectNone();
  view_.ends[kNode] = Ends(0, 2, 2);
  Say(Offset{0}, Term{2});
  ExpectFailure("R5");
}

// Votes may come late: what a later leader has committed meanwhile is nothing of this one's.
TEST_F(QuorumCheckerTest, ALeaderThatIsElectedLateNeedNotHaveWhatALaterOneCommitted) {
  Commit("a");
  view_.term = Term{3};
  Commit("b");
  view_.ends[kNode] = Ends(0, 1, 1);
  Say(Offset{1}, Term{2});
  ExpectNone();
  view_.ends[kNode] = Ends(0, 1, 1);
  Say(Offset{1}, Term{4});
  ExpectFailure("R5");
}

// As many records as that are not enough.
TEST_F(QuorumCheckerTest, ANewLeaderHasTheCommittedRecords) {
  for (const char* const value : {"a", "b", "c"}) Commit(value);
  SetTerms(1, 2, 2);
  view_.ends[kNode] = Ends(2, 3, 3);  // what came before is in a snapshot
  Say(Offset{3}, Term{1});
  ExpectNone();
  view_.ends[kNode] = Ends(0, 9, 9);
  Say(Offset{3}, Term{2});
  ExpectFailure("R5");
}

TEST_F(QuorumCheckerTest, CommittedIsWhatAMajorityHas) {
  view_.voters = {Voters(0, {1, 2, 3})};
  view_.ends[NodeId{2}] = Ends(0, 0, 0);
  Deliver("a");
  ExpectNone();
  view_.ends[NodeId{3}] = Ends(0, 2, 1);
  Deliver("b");
  ExpectFailure("R7");
}

// Who is told of a commit may know later than the leader by whom it is one.
TEST_F(QuorumCheckerTest, CommittedIsWhatAMajorityOfTheLeadersVotersHas) {
  view_.voters = {Voters(0, {1, 2})};
  view_.ends[NodeId{1}] = Ends(0, 0, 0);
  view_.voters_of[kOther] = {Voters(0, {1, 2}), Voters(9, {2})};
  Say(kOther, Offset{1}, Term{1});
  verdict_ = Verdict();  // of its votes
  view_.voters_of[kOther].pop_back();
  Deliver("a");
  ExpectNone();
  Say(kOther, Offset{2}, Term{1});
  Deliver("b");
  ExpectFailure("R7");
}

TEST_F(QuorumCheckerTest, AnotherTailIsNoCopy) {
  view_.voters = {Voters(0, {1, 2, 3})};
  view_.ends[NodeId{2}] = Ends(0, 0, 0);
  view_.terms[{NodeId{3}, Offset{1}}] = Term{0};
  Deliver("a");
  ExpectNone();
  Deliver("b");
  ExpectFailure("R7");
}

TEST_F(QuorumCheckerTest, WhatWasDurableCountsWhenItsNodeIsGone) {
  view_.voters = {Voters(0, {1, 2, 3})};
  view_.ends[NodeId{2}] = Ends(0, 0, 0);
  view_.ends[NodeId{3}] = Ends(0, 9, 1);
  checker_.OnLog(Key(3), Offset{0}, Offset{0});
  view_.ends[NodeId{3}].end = Offset{-1};
  Deliver("a");
  ExpectNone();
  Deliver("b");
  ExpectFailure("R7");
}

TEST_F(QuorumCheckerTest, ALeaderHasTheVotesOfAMajorityOfTheVoters) {
  view_.voters = {Voters(0, {1, 2, 3})};
  GiveVote(Key(2), Term{1});
  Say(Offset{0}, Term{1});
  ExpectNone();
  // Of the same node with another disk.
  DirectoryId other;
  other.bytes.fill(7);
  GiveVote({NodeId{2}, other}, Term{2});
  Say(Offset{0}, Term{2});
  ExpectFailure("R14");
}

TEST_F(QuorumCheckerTest, VotersChangeOneAtATime) {
  view_.voters = {Voters(1, {1, 2}), Voters(2, {1, 2, 3}), Voters(3, {1, 2})};
  Look(Ends(0, 4, 4), 0);
  ExpectNone();
  view_.voters.push_back(Voters(5, {1, 3}));
  Look(Ends(0, 5, 5), 0);
  ExpectFailure("R13");
}

TEST_F(QuorumCheckerTest, VotersChangeWhenTheLastChangeIsCommitted) {
  Say(Offset{0}, Term{1});
  verdict_ = Verdict();
  view_.voters = {Voters(1, {1, 2}), Voters(4, {1, 2, 3})};
  view_.commit = Offset{1};
  Look(Ends(0, 4, 4), 0);
  ExpectNone();
  view_.voters.push_back(Voters(5, {1, 2}));
  view_.commit = Offset{3};
  Look(Ends(0, 5, 5), 0);
  ExpectFailure("R13");
}

TEST_F(QuorumCheckerTest, VotersChangeWhenSomethingOfTheTermIsCommitted) {
  SetTerms(2, 5, 2);
  Say(Offset{0}, Term{2});
  verdict_ = Verdict();
  view_.voters = {Voters(1, {1, 2}), Voters(4, {1, 2, 3})};
  view_.commit = Offset{2};
  Look(Ends(0, 4, 4), 0);
  ExpectFailure("R13");
}

TEST_F(QuorumCheckerTest, ALogBeginsNoLaterThanItsSnapshotEnds) {
  view_.ends[kNode] = Ends(2, 3, 3);
  checker_.OnLog(Key(1), Offset{3}, Offset{2});
  ExpectNone();
  view_.ends[kNode] = Ends(3, 3, 3);
  checker_.OnLog(Key(1), Offset{3}, Offset{2});
  ExpectFailure("S5");
}

TEST_F(QuorumCheckerTest, ASnapshotIsOfWhatIsCommitted) {
  Commit("a");
  Commit("b");
  checker_.OnSnapshot(kNode, {Offset{2}, Term{1}});
  EXPECT_EQ(verdict_.what(), "");
  checker_.OnSnapshot(kNode, {Offset{3}, Term{1}});
  ExpectFailure("S1");
}

TEST_F(QuorumCheckerTest, ASnapshotIsOfTheTermOfItsLastRecord) {
  Commit("a");
  checker_.OnSnapshot(kNode, {Offset{1}, Term{2}});
  ExpectFailure("S1");
}

TEST_F(QuorumCheckerTest, WhoHearsOfNoMajorityOfTheLatestVotersLeadsNoMore) {
  Commit("a");
  view_.voters = {Voters(1, {1, 2})};
  GiveVote(Key(2), Term{1});
  Say(Offset{1}, Term{1});
  view_.now += seconds(2);
  Say(Offset{1}, Term{1});
  EXPECT_EQ(verdict_.what(), "");
  // It has removed the other one, which need not be committed.
  view_.now += seconds(1);
  view_.voters = {Voters(2, {1})};
  Say(Offset{1}, Term{1});
  EXPECT_EQ(verdict_.what(), "");
  view_.voters = {Voters(2, {1, 2})};
  Say(Offset{1}, Term{1});
  EXPECT_EQ(verdict_.what().substr(0, 3), "R16");
}

}  // namespace
}  // namespace gregor
