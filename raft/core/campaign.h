#ifndef GREGOR_RAFT_CORE_CAMPAIGN_H_
#define GREGOR_RAFT_CORE_CAMPAIGN_H_

#include <map>
#include <set>
#include <vector>

#include "raft/core/types.h"

namespace gregor::raft {

// Who decides an election: a majority of the voter set, or, as long as none was ever written, each
// node that the settings name. All of them, because a node that was in a first set already then
// stands against a second one (its log is newer than the others'), however many disks were wiped.
class Electorate {
 public:
  explicit Electorate(VoterSet set) : set_(std::move(set)) {}
  // `configured`: with directories of zero.
  static Electorate FromSettings(const std::vector<Voter>& configured);

  bool is_first() const { return is_first_; }
  bool Has(const VoterKey& key) const;
  size_t needed() const;
  const std::vector<Voter>& voters() const { return set_.voters; }

 private:
  VoterSet set_;
  bool is_first_ = false;
};

// One candidacy: counts what is answered.
class Campaign {
 public:
  enum class Outcome { kOpen, kWon, kLost };

  // `term`: to be led. A pre-vote (thesis §9.6) only asks whether it could be won.
  Campaign(Electorate electorate, Term term, bool pre, bool forced)
      : electorate_(std::move(electorate)), term_(term), pre_(pre), forced_(forced) {}

  const Electorate& electorate() const { return electorate_; }
  Term term() const { return term_; }
  bool pre() const { return pre_; }
  bool forced() const { return forced_; }

  // The first answer of each voter counts; of others none.
  void Count(const VoterKey& voter, bool granted);
  // `gone`: nodes that are not expected to answer. Once a voter is for somebody else, not even all
  // that may yet answer decide a vote that needs one of them: it is lost.
  Outcome outcome(const std::set<NodeId>& gone) const;
  std::vector<VoterKey> granting() const;

 private:
  size_t CountOf(bool granted) const;

  Electorate electorate_;
  Term term_;
  bool pre_;
  bool forced_;
  std::map<VoterKey, bool> answers_;  // while there is no voter set: one for each node
};

}  // namespace gregor::raft

#endif  // GREGOR_RAFT_CORE_CAMPAIGN_H_
