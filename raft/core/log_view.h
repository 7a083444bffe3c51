#ifndef GREGOR_RAFT_CORE_LOG_VIEW_H_
#define GREGOR_RAFT_CORE_LOG_VIEW_H_

#include <optional>
#include <vector>

#include "raft/core/messages.h"
#include "raft/core/mutant.h"
#include "raft/core/types.h"

namespace gregor::raft {

// Where a term's records begin.
struct TermStart {
  Term term{0};
  Offset start{0};
  friend bool operator==(const TermStart&, const TermStart&) = default;
};
struct TermEnd {
  Term term{0};
  Offset end{0};
};
// A voter set, and the offset behind its record.
struct VotersAt {
  Offset end{0};
  VoterSet voters;
};

// What there is to know of a log before the algorithm runs.
struct RestoredLog {
  Offset start{0};
  Offset end{0};  // all of it durable
  // Known to be committed: what the state machine has applied durably. start <= commit <= end.
  Offset commit{0};
  // Term of the record before `start`; nullopt where that is not known. Zero where start is 0.
  std::optional<Term> term_before_start = Term{0};
  std::vector<TermStart> terms;  // of the records from `start` on; both rise
  std::vector<VotersAt> voters;  // oldest first; those in the log, and the last one before it
};

// A log without its bytes: its ends, where terms begin, and who votes from where on. The bytes
// follow: what is appended or cut here is on its way to the disk. Thread: its owner's.
class LogView {
 public:
  explicit LogView(RestoredLog log);

  Offset start() const { return start_; }
  Offset end() const { return end_; }
  // Below it everything is durable.
  Offset durable() const { return durable_; }
  Offset commit() const { return commit_; }
  Term last_term() const {
    return terms_.empty() ? term_before_start_.value_or(Term{0}) : terms_.back().term;
  }

  // Term of the record before `offset`; nullopt where the log does not say (outside of it).
  std::optional<Term> TermBefore(Offset offset) const;
  // The largest term <= `term`, and the offset where it ends in this log; {0, 0} where the log does
  // not reach back so far.
  TermEnd EndOf(Term term) const;
  // Whether the log has all that is in a snapshot of the leader's.
  bool Has(const SnapshotId& snapshot) const {
    return snapshot.end <= commit_ || TermBefore(snapshot.end) == snapshot.term;
  }
  // Whether a log that ends like this is at least as new as this one (Raft §5.4.1).
  bool IsUpToDate(Term last_term, Offset end) const;

  void Append(const BatchInfo& batch);
  // REQUIRES: commit() <= end <= end().
  void Truncate(Offset end);
  void OnTruncated();
  // Durable up to `end`; ignored while a cut is under way, and where it says nothing new.
  void OnSynced(Offset end);
  // Returns whether it rose. REQUIRES: offset <= end().
  bool CommitUpTo(Offset offset);
  void TrimBefore(Offset start);
  // The log is empty behind the snapshot.
  void Reset(const SnapshotId& snapshot, const VoterSet& voters);

  // The latest voter set, committed or not (thesis §4.1: it counts from when it is in the log);
  // nullptr: none was ever written.
  const VotersAt* voters() const {
    if (voters_.empty()) return nullptr;
    return IsMutant(12, 'b') ? &voters_.front() : &voters_.back();
  }
  // The latest that was written before `offset`, if it is still known.
  const VotersAt* VotersBefore(Offset offset) const;
  // Whether it votes by the latest set, or by one before that may still be in force.
  bool MayBeVoter(const VoterKey& key) const;
  bool is_voters_committed() const { return voters_.empty() || voters_.back().end <= commit_; }

 private:
  Offset start_;
  Offset end_;
  Offset durable_;
  Offset commit_;
  std::optional<Term> term_before_start_;
  std::vector<TermStart> terms_;
  std::vector<VotersAt> voters_;
  int cuts_under_way_ = 0;
};

}  // namespace gregor::raft

#endif  // GREGOR_RAFT_CORE_LOG_VIEW_H_
