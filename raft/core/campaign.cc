#include "raft/core/campaign.h"

#include <algorithm>

#include "raft/core/mutant.h"
#include "raft/core/quorum.h"

namespace gregor::raft {

Electorate Electorate::FromSettings(const std::vector<Voter>& configured) {
  Electorate electorate(VoterSet{configured});
  electorate.is_first_ = true;
  return electorate;
}

bool Electorate::Has(const VoterKey& key) const {
  return std::any_of(set_.voters.begin(), set_.voters.end(), [&](const Voter& voter) {
    return is_first_ || IsMutant(13) ? voter.key.node == key.node : voter.key == key;
  });
}

size_t Electorate::needed() const {
  return is_first_ ? set_.voters.size() : MajorityOf(set_.voters.size());
}

void Campaign::Count(const VoterKey& voter, bool granted) {
  if (!electorate_.Has(voter)) return;
  // A node whose disk was exchanged meanwhile is not counted twice.
  const auto same = std::find_if(answers_.begin(), answers_.end(), [&](const auto& answer) {
    return answer.first.node == voter.node;
  });
  if (same == answers_.end()) answers_.emplace(voter, granted);
}

size_t Campaign::CountOf(bool granted) const {
  return static_cast<size_t>(std::count_if(
      answers_.begin(), answers_.end(), [&](const auto& each) { return each.second == granted; }));
}

Campaign::Outcome Campaign::outcome(const std::set<NodeId>& gone) const {
  if (CountOf(true) >= electorate_.needed()) return Outcome::kWon;
  const size_t refused = CountOf(false);
  size_t can_still = electorate_.voters().size() - refused;
  if (can_still < electorate_.needed()) return Outcome::kLost;
  if (pre_ || refused == 0) return Outcome::kOpen;
  for (const Voter& voter : electorate_.voters()) {
    const bool has_answered =
        std::any_of(answers_.begin(), answers_.end(),
                    [&](const auto& answer) { return answer.first.node == voter.key.node; });
    if (!has_answered && gone.contains(voter.key.node)) --can_still;
  }
  return can_still < electorate_.needed() ? Outcome::kLost : Outcome::kOpen;
}

std::vector<VoterKey> Campaign::granting() const {
  std::vector<VoterKey> keys;
  for (const auto& [key, granted] : answers_) {
    if (granted) keys.push_back(key);
  }
  return keys;
}

}  // namespace gregor::raft
