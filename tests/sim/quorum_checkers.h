#ifndef GREGOR_TESTS_SIM_QUORUM_CHECKERS_H_
#define GREGOR_TESTS_SIM_QUORUM_CHECKERS_H_

#include <map>
#include <string>

#include "base/types.h"
#include "raft/host/metadata_log.h"
#include "tests/sim/checkers.h"

namespace gregor {

// What must hold of a metadata quorum, seen from its users: one leader in a term, and one sequence
// of committed records, of which every node is given all, in order, from where it is (R1, R6, R12).
// Thread: the simulation's.
class QuorumChecker {
 public:
  explicit QuorumChecker(Verdict& verdict) : verdict_(verdict) {}

  void OnLeader(NodeId node, const QuorumLeader& leader);
  // `from`: what the node was given before ends there.
  void OnDelivered(NodeId node, Offset from, const CommittedRecords& batch);
  // The leader of `term` has appended it; nobody has promised anything.
  void OnAppended(Term term, Offset offset, const std::string& value);

  // ... and now it has not.
  void OnRefused(Term term, Offset base, size_t records);

  // End of what is committed, as far as anybody was told.
  Offset end() const { return end_; }
  size_t record_count() const { return records_.size(); }
  size_t term_count() const { return leaders_.size(); }

 private:
  struct Known {
    Term term{0};
    std::string value;
  };

  Verdict& verdict_;
  std::map<Term, NodeId> leaders_;
  std::map<Offset, Known> records_;
  std::map<std::pair<Term, Offset>, std::string> appended_;
  Offset end_{0};
};

}  // namespace gregor

#endif  // GREGOR_TESTS_SIM_QUORUM_CHECKERS_H_
