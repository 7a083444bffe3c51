#ifndef GREGOR_RAFT_CORE_LEADERSHIP_H_
#define GREGOR_RAFT_CORE_LEADERSHIP_H_

#include <map>
#include <optional>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "raft/core/effects.h"
#include "raft/core/log_view.h"
#include "raft/core/options.h"
#include "raft/core/progress.h"

namespace gregor::raft {

// What a node has as long as it leads one term: how far each follower is, what is on its way to it,
// who has answered lately, reads and a transfer that wait. Gone with the leadership, so nothing of
// one term is taken for another's. Thread: its owner's.
class Leadership {
 public:
  // The term begins at the end of `log`, which outlives this, as do the others.
  Leadership(const Options& options, LogView& log, Effects& effects, Term term, MonotonicTime now);

  // Appends one batch of the term: of `records` records, or one record of the quorum's own. Returns
  // its base offset.
  Offset Append(int64_t records);
  void Append(QuorumRecord record);

  // --- inputs; each is of this term ---
  void OnAppendReply(MonotonicTime now, const VoterKey& from, const AppendReply& reply);
  void OnHeartbeatReply(MonotonicTime now, const VoterKey& from, const HeartbeatReply& reply);
  void OnAttach(MonotonicTime now, const VoterKey& from, const Attach& attach);
  // The connection to a node was lost, or is there again: what was on its way may be lost.
  void Reconnect(NodeId node);
  Offset ReadLimit(const VoterKey& to) const;
  std::optional<Message> OnLogRead(const ReadLog& request, std::vector<BatchInfo> batches,
                                   Bytes bytes);
  void OnSnapshotTaken(const SnapshotId& snapshot);
  // Heartbeats, and what was silent for too long. False: no majority was heard of lately.
  bool Tick(MonotonicTime now);
  // The time was not this node's to use (it was stopped): it is not held against others. Once only
  // until one of them is heard: where the time never is this node's, it had better not lead.
  void Forgive(Duration lost);
  // Never, where there is nobody else.
  MonotonicTime next_tick() const {
    return peers_.empty() ? MonotonicTime::max() : next_heartbeat_;
  }

  // To be called at the end of each input: commits what a majority has (Raft §5.3, §5.4.2), and
  // sends what is to be sent.
  void Advance(MonotonicTime now);

  // See Raft.
  void Read(MonotonicTime now, uint64_t id);
  Result<void> ChangeVoters(MonotonicTime now, VoterSet voters);
  Result<void> Transfer(MonotonicTime now, const VoterKey& to);
  bool is_transferring() const { return transfer_.has_value(); }
  // The voter that has most of the log, besides this node.
  std::optional<VoterKey> MostAdvanced() const;
  // A voter set without this node is committed: it should lead no longer.
  bool is_removed() const;
  // Something of this term is committed, so that everything of earlier ones is.
  bool is_established() const { return log_.commit() > term_start_; }
  Offset term_start() const { return term_start_; }
  void FailReads();

  const std::map<VoterKey, Progress>& peers() const { return peers_; }

 private:
  struct WaitingRead {
    uint64_t id;
    Offset offset;  // of the commit when it was asked
  };
  struct HandOver {
    VoterKey to;
    MonotonicTime deadline;
    bool told = false;
  };

  void FollowVoters(MonotonicTime now);
  bool IsVoter(const VoterKey& key) const;
  Offset CommittableEnd(MonotonicTime now) const;
  void SendTo(Progress& peer, MonotonicTime now);
  void Probe(Progress& peer, MonotonicTime now);
  void OfferSnapshot(Progress& peer, MonotonicTime now);
  void SendHeartbeats(MonotonicTime now);
  bool HeardOfMajority(MonotonicTime now, const VoterSet& set) const;
  void ConfirmReads(MonotonicTime now);
  void AdvanceTransfer();
  Message To(const VoterKey& to) const;

  const Options& options_;
  LogView& log_;
  Effects& effects_;
  const Term term_;
  const Offset term_start_;
  bool is_first_set_open_;  // there were no voters before this term, and the set is not committed
  std::map<VoterKey, Progress> peers_;  // all but this node
  Offset voters_end_{-1};               // of the set that `peers_` was made of
  std::optional<SnapshotId> snapshot_;
  MonotonicTime next_heartbeat_;
  bool is_forgiven_ = false;
  uint64_t round_ = 0;
  // Reads that wait for `reads_round_` to be answered by a majority; those that came later wait for
  // the round after it.
  std::vector<WaitingRead> reads_;
  std::vector<WaitingRead> later_reads_;
  std::vector<uint64_t> early_reads_;  // nothing of the term is committed yet
  uint64_t reads_round_ = 0;
  std::optional<HandOver> transfer_;
};

}  // namespace gregor::raft

#endif  // GREGOR_RAFT_CORE_LEADERSHIP_H_
