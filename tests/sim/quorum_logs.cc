#include "tests/sim/quorum_logs.h"

#include <algorithm>

namespace gregor {
namespace {

// The last offset of [low, high] before which `holds` says yes; it says no for none before one for
// which it says yes.
template <typename Holds>
Offset LastBefore(Offset low, Offset high, Holds holds) {
  while (low < high) {
    const Offset middle = high - (high - low) / 2;
    if (holds(middle - 1)) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low;
}

}  // namespace

Term QuorumLogs::Copy::TermOf(Offset offset) const {
  if (offset < ends.start || offset >= ends.end) return Term{-1};
  const auto after =
      std::partition_point(terms.begin(), terms.end(),
                           [&](const raft::TermStart& each) { return each.start <= offset; });
  return after == terms.begin() ? Term{-1} : std::prev(after)->term;
}

std::optional<QuorumLogs::Cut> QuorumLogs::FindCut(const VoterKey& key, const LogBounds& now,
                                                   const TermAt& term_at) const {
  const auto known = copies_.find(key);
  if (known == copies_.end() || !known->second.is_open) return std::nullopt;
  const Copy& copy = known->second;
  const LogBounds& was = copy.ends;
  // What a snapshot took the place of is not looked at.
  const Offset low = std::max(was.start, now.start);
  Offset kept = std::min(was.end, low);
  if (const Offset high = std::min(was.end, now.end); low < high) {
    const auto is_same = [&](Offset offset) { return term_at(offset) == copy.TermOf(offset); };
    kept = is_same(high - 1) ? high : LastBefore(low, high, is_same);
  }
  // Only what is cut is not durable any more: also where the same was appended again at once.
  if (now.durable < was.durable) kept = std::min(kept, std::max(now.durable, now.start));
  if (kept >= was.end) return std::nullopt;
  return Cut{kept, was.end};
}

bool QuorumLogs::Look(const VoterKey& key, const LogBounds& now, const TermAt& term_at) {
  Copy& copy = copies_[key];
  const bool is_empty = now.start >= now.end;
  const bool is_same =
      copy.is_open && copy.ends == now && (is_empty || term_at(now.end - 1) == copy.last_term());
  if (is_same) return false;
  Offset from = now.start;
  if (copy.is_open && now.start < copy.ends.end) {
    const auto cut = FindCut(key, now, term_at);
    from = std::max(now.start, cut.has_value() ? cut->from : copy.ends.end);
  }
  while (!copy.terms.empty() && copy.terms.back().start >= from) copy.terms.pop_back();
  if (from == now.start) copy.terms.clear();
  while (from < now.end) {
    const Term term = term_at(from);
    if (copy.terms.empty() || copy.terms.back().term != term) copy.terms.push_back({term, from});
    from = LastBefore(from + 1, now.end, [&](Offset offset) { return term_at(offset) == term; });
  }
  copy.is_open = true;
  copy.ends = now;
  return true;
}

void QuorumLogs::Close(const VoterKey& key) {
  const auto known = copies_.find(key);
  if (known != copies_.end()) known->second.is_open = false;
}

Term QuorumLogs::TermOf(const VoterKey& key, Offset offset) const {
  const auto known = copies_.find(key);
  return known == copies_.end() ? Term{-1} : known->second.TermOf(offset);
}

bool QuorumLogs::HasDurably(const VoterKey& key, Offset end, Term term) const {
  const auto known = copies_.find(key);
  if (known == copies_.end()) return false;
  const Copy& copy = known->second;
  if (copy.ends.start >= end) return true;
  return copy.ends.durable >= end && copy.TermOf(end - 1) == term;
}

}  // namespace gregor
