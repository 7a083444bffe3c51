#ifndef GREGOR_TESTS_SIM_QUORUM_CHECKERS_H_
#define GREGOR_TESTS_SIM_QUORUM_CHECKERS_H_

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/types.h"
#include "raft/host/metadata_log.h"
#include "raft/host/vote_file.h"
#include "tests/sim/checkers.h"
#include "tests/sim/quorum_logs.h"
#include "tests/sim/sim_network.h"

namespace gregor {

// What there is to be seen of the nodes from outside. Thread: the simulation's.
class QuorumView {
 public:
  virtual ~QuorumView() = default;
  virtual MonotonicTime Now() const = 0;
  // What a power loss would leave of its vote file.
  virtual std::optional<Vote> DurableVote(NodeId node) const = 0;
  // Of the log of a node that runs with this directory; nullopt: none does.
  virtual std::optional<LogBounds> EndsOf(const VoterKey& key) const = 0;
  // Of a record in the log of such a node; -1 where that is not known.
  virtual Term TermAt(const VoterKey& key, Offset offset) const = 0;
  // What the node knows: in which term it is, and what is committed.
  virtual Term TermOf(NodeId node) const = 0;
  virtual Offset CommitOf(NodeId node) const = 0;
  // Who votes at that offset, as the node knows.
  virtual std::optional<raft::VotersAt> VotersBefore(NodeId node, Offset offset) const = 0;
};

// What must hold of a metadata quorum, seen from its users and from its wires (numbers of reference
// scenarios):
//   one leader in a term (R1), terms do not fall (R2), one vote in a term (R3), a term and an
//   offset name one content (R4), a new leader has what is committed (R5), of which there is one
//   sequence (R6) that is durable on a majority of the voters (R7), of which no leader tells less
//   than it did (R8), that grows by records of the leader's own term (R9), that nobody cuts (R10),
//   and of which every node is given all, in order, from where it is (R12); a leader cuts nothing
//   (R11); voters change one at a time (R13), and only their votes count, each by its directory
//   (R14); what is said is durable (R15); who hears of no majority leads no more (R16); a snapshot
//   is of what is committed (S1) and of what it says (S3), and what a log does not have any more is
//   in one (S2, S5).
// Thread: the simulation's.
class QuorumChecker final : public SimNetwork::Observer {
 public:
  // `silence_max`: a leader that hears of no majority for longer has to have resigned.
  QuorumChecker(Verdict& verdict, Duration silence_max)
      : verdict_(verdict), silence_max_(silence_max) {}

  // Where to look. Once, before anything is said.
  void Watch(const QuorumView& view) { view_ = &view; }
  // The node stood still until now.
  void OnResumed(NodeId node);
  void OnSent(const raft::Message& message) override;
  void OnReceived(const raft::Message& message) override;

  void OnLeader(NodeId node, const QuorumLeader& leader);
  // `from`: what the node was given before ends there.
  void OnDelivered(NodeId node, Offset from, const CommittedRecords& batch);
  // The leader of `term` has appended it; nobody has promised anything.
  void OnAppended(Term term, Offset offset, const std::string& value);
  // ... and now it has not.
  void OnRefused(Term term, Offset base, size_t records);
  // The node goes on from a snapshot that says it ends at `end`, and has the state of `state_end`.
  void OnRestored(NodeId node, Offset end, Offset state_end);
  // The node has a snapshot, durably.
  void OnSnapshot(NodeId node, const raft::SnapshotId& snapshot);
  // After an event the log of a node that runs is as the view says, it was given so much, and its
  // snapshot ends there (0: there is none).
  void OnLog(const VoterKey& key, Offset delivered, Offset snapshot_end);
  // The node does not run, or its log is not open.
  void OnNoLog(const VoterKey& key) { logs_.Close(key); }

  // End of what is committed, as far as anybody was told.
  Offset end() const { return end_; }
  size_t record_count() const { return records_.size(); }
  size_t term_count() const { return leaders_.size(); }

 private:
  struct Known {
    Term term{0};
    std::string value;
  };
  // What one voter or observer has said.
  struct Speaker {
    Term term{0};           // the highest
    Term durable_term{0};   // as far as it was looked up
    Term leads{-1};         // the last term in which it spoke as leader
    Offset told_commit{0};  // in it
    MonotonicTime leads_since;
  };

  void CheckTerm(const raft::Message& message, Speaker& speaker);
  void CheckVote(const VoterKey& from, Term term, const VoterKey& to);
  void CheckVoteReply(const raft::Message& message, const raft::VoteReply& reply);
  void CheckAcknowledged(const raft::Message& message, Offset durable);
  void CheckLeader(const raft::Message& message, Speaker& speaker);
  // The node that is in this term at least knows that so much is committed.
  void NoteCommitted(Term term, Offset end) {
    Offset& known = committed_in_[term];
    known = std::max(known, end);
  }
  Offset CommittedBefore(Term term) const;
  void CheckComplete(const VoterKey& leader, Term term);
  void CheckElected(const VoterKey& leader, Term term);
  void CheckCommit(const raft::Message& message, Speaker& speaker, Offset commit);
  void CheckMajority(NodeId node, Offset end);
  void CheckCut(const VoterKey& key, const QuorumLogs::Cut& cut, Offset delivered);
  void CheckVoters(const VoterKey& key);
  bool HasDurably(const VoterKey& key, Offset end, Term term) const;
  QuorumLogs::TermAt TermsOf(const VoterKey& key) const {
    return [this, &key](Offset offset) { return view_->TermAt(key, offset); };
  }

  Verdict& verdict_;
  const Duration silence_max_;
  const QuorumView* view_ = nullptr;
  QuorumLogs logs_;
  std::set<std::pair<Term, Offset>> voter_sets_;  // that were looked at
  std::vector<Voter> voters_;                     // at end_
  std::map<VoterKey, Speaker> speakers_;
  std::map<Term, VoterKey> speaking_leaders_;
  std::map<std::pair<VoterKey, Term>, VoterKey> votes_;
  std::map<std::pair<NodeId, NodeId>, MonotonicTime> heard_;  // by whom, of whom
  std::map<Term, NodeId> leaders_;
  std::map<Offset, Known> records_;
  std::map<std::pair<Term, Offset>, std::string> appended_;
  std::map<Term, Offset> committed_in_;  // by who knew of it in that term
  Offset end_{0};
  Offset told_commit_{0};                             // the furthest that a leader told of
  std::map<Offset, std::vector<Voter>> told_voters_;  // its latest ones, whenever that grew
};

}  // namespace gregor

#endif  // GREGOR_TESTS_SIM_QUORUM_CHECKERS_H_
