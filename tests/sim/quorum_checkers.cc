#include "tests/sim/quorum_checkers.h"

#include <algorithm>

namespace gregor {

void QuorumChecker::OnLeader(NodeId node, const QuorumLeader& leader) {
  if (leader.leader.value < 0) return;
  const auto [at, is_new] = leaders_.emplace(leader.term, leader.leader);
  if (at->second != leader.leader) {
    verdict_.Fail("R1: node ", node, " takes node ", leader.leader, " for the leader of term ",
                  leader.term, ", which node ", at->second, " led");
  }
}

void QuorumChecker::OnAppended(Term term, Offset offset, const std::string& value) {
  const auto [at, is_new] = appended_.emplace(std::pair(term, offset), value);
  if (!is_new) verdict_.Fail("R4: offset ", offset, " was given twice in term ", term);
}

void QuorumChecker::OnRefused(Term term, Offset base, size_t records) {
  for (size_t i = 0; i < records; ++i) appended_.erase({term, base + static_cast<int64_t>(i)});
}

void QuorumChecker::OnDelivered(NodeId node, Offset from, const CommittedRecords& batch) {
  if (batch.base_offset < from)
    return verdict_.Fail("R12: node ", node, " is given offset ", batch.base_offset, " after ",
                         from);
  // Between them lie records of the quorum's own, which nobody is shown.
  const auto missed = records_.lower_bound(from);
  if (missed != records_.end() && missed->first < batch.base_offset)
    return verdict_.Fail("R12: node ", node, " is not given offset ", missed->first);
  for (size_t i = 0; i < batch.records.size(); ++i) {
    const Offset offset = batch.base_offset + static_cast<int64_t>(i);
    const auto [known, is_new] = records_.emplace(offset, Known{batch.term, batch.records[i]});
    if (!is_new && (known->second.value != batch.records[i] || known->second.term != batch.term)) {
      return verdict_.Fail("R6: node ", node, " is given \"", batch.records[i], "\" of term ",
                           batch.term, " at offset ", offset, ", where \"", known->second.value,
                           "\" of term ", known->second.term, " is committed");
    }
    if (!is_new) continue;
    if (offset < end_)
      return verdict_.Fail("R6: node ", node, " is given offset ", offset,
                           ", which was passed over before");
    const auto appended = appended_.find({batch.term, offset});
    if (appended == appended_.end() || appended->second != batch.records[i])
      return verdict_.Fail("R6: node ", node, " is given \"", batch.records[i], "\" at offset ",
                           offset, ", which no leader of term ", batch.term, " appended there");
    end_ = offset + 1;
  }
}

}  // namespace gregor
