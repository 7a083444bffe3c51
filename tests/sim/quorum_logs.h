#ifndef GREGOR_TESTS_SIM_QUORUM_LOGS_H_
#define GREGOR_TESTS_SIM_QUORUM_LOGS_H_

#include <functional>
#include <map>
#include <optional>
#include <vector>

#include "base/types.h"
#include "raft/core/log_view.h"

namespace gregor {

// Where a node's log begins and ends, and up to where it is durable.
struct LogBounds {
  Offset start{0};
  Offset end{0};
  Offset durable{0};
  friend bool operator==(const LogBounds&, const LogBounds&) = default;
};

// What each directory's log was when it was looked at last, by the terms of its records: a term and
// an offset name one content (R4). Kept when the node goes, and its disk: what was durable there
// once counts. Thread: the simulation's.
class QuorumLogs {
 public:
  // Term of the record at an offset of the log as it is now, from its start to its end.
  using TermAt = std::function<Term(Offset)>;
  // Records that a log had, and has no more.
  struct Cut {
    Offset from{0};
    Offset end{0};
  };

  // What the log has lost since it was looked at last, or may have written anew: also where as much
  // as before was appended since. nullopt: nothing, or the log was opened meanwhile.
  std::optional<Cut> FindCut(const VoterKey& key, const LogBounds& now,
                             const TermAt& term_at) const;
  // Remembers it. Returns whether it has changed.
  bool Look(const VoterKey& key, const LogBounds& now, const TermAt& term_at);
  // It is not open: what it has then may be less than it had, if that was not durable.
  void Close(const VoterKey& key);

  // Of a record of the log as it was; -1: it had none there.
  Term TermOf(const VoterKey& key, Offset offset) const;
  // Whether what is committed up to `end`, the last record being of `term`, was durable there: in
  // the log, or in the snapshot before it.
  bool HasDurably(const VoterKey& key, Offset end, Term term) const;

 private:
  struct Copy {
    bool is_open = false;
    LogBounds ends;
    std::vector<raft::TermStart> terms;

    Term TermOf(Offset offset) const;
    Term last_term() const { return TermOf(ends.end - 1); }
  };

  std::map<VoterKey, Copy> copies_;
};

}  // namespace gregor

#endif  // GREGOR_TESTS_SIM_QUORUM_LOGS_H_
