// How a scenario tells what happens.
#include <algorithm>
#include <sstream>

#include "tests/raft/message_text.h"
#include "tests/raft/scenario.h"

namespace gregor::raft {

void Scenario::Say(const std::string& line) {
  if (!is_quiet_) text_ += line + "\n";
}

// A node with another disk than its first: 1', 1''.
std::string Scenario::Name(const VoterKey& key) const {
  return Name(key.node) + std::string(key.directory.bytes[14], '\'');
}

std::string Scenario::Names(const std::vector<VoterKey>& keys) const {
  std::string text;
  for (const VoterKey& key : keys) text += (text.empty() ? "" : " ") + Name(key);
  return text.empty() ? "none" : text;
}

void Scenario::TellCut(Instance& instance) {
  std::vector<std::pair<Offset, uint64_t>> log;
  const StoredNode& memory = instance.node->memory();
  for (const StoredBatch& batch : memory.log) log.emplace_back(batch.info.next, batch.chain);
  const auto& old = instance.told.log;
  // What was trimmed is no cut.
  size_t from = 0;
  while (from < old.size() && old[from].first <= memory.start) ++from;
  for (size_t i = 0; from + i < old.size(); ++i) {
    if (i < log.size() && log[i] == old[from + i]) continue;
    std::ostringstream text;
    text << instance.name << " cuts its log at "
         << (i == 0 ? memory.start : old[from + i - 1].first);
    Say(text.str());
    break;
  }
  instance.told.log = std::move(log);
}

void Scenario::TellReads(Instance& instance) {
  for (const ReadReady& read : instance.node->TakeReads()) {
    std::ostringstream text;
    text << instance.name << " read " << read.id;
    if (read.offset.has_value()) {
      text << " at " << *read.offset;
    } else {
      text << " fails";
    }
    Say(text.str());
  }
}

void Scenario::TellChanges(Instance& instance) {
  const Raft& raft = instance.node->raft();
  Told& told = instance.told;
  const Term term = raft.hard_state().term;
  std::ostringstream text;
  if (raft.is_stopped() && !told.is_stopped) Say(instance.name + " stops");
  told.is_stopped = raft.is_stopped();
  if (raft.role() != told.role || term != told.term || !(raft.leader() == told.leader)) {
    text << instance.name << " is " << NameOf(raft.role()) << " in term " << term;
    if (raft.role() == Role::kFollower && raft.leader().node.value >= 0)
      text << " of " << raft.leader().node;
    Say(text.str());
    told.role = raft.role();
    told.term = term;
    told.leader = raft.leader();
  }
  TellCut(instance);
  const auto& hard = instance.node->stored().hard;
  if (hard != told.hard) {
    text.str("");
    text << instance.name << " has saved term " << hard->term;
    if (hard->voted_for.has_value()) text << ", vote for " << Name(*hard->voted_for);
    Say(text.str());
    told.hard = hard;
  }
  std::vector<VoterKey> voters;
  if (raft.log().voters() != nullptr) {
    for (const Voter& voter : raft.log().voters()->voters.voters) voters.push_back(voter.key);
  }
  if (voters != told.voters) Say(instance.name + " takes for voters: " + Names(voters));
  told.voters = std::move(voters);
  const auto wanted = instance.node->wanted_snapshot();
  if (wanted.has_value() && wanted != told.wanted) {
    text.str("");
    text << instance.name << " wants snapshot " << wanted->term << "/" << wanted->end;
    Say(text.str());
  }
  told.wanted = wanted;
  if (instance.node->transfer_failed() && !told.transfer_failed)
    Say(instance.name + " has not handed over");
  told.transfer_failed = instance.node->transfer_failed();
  TellReads(instance);
}

// Together, at the end of each command.
void Scenario::TellCommits() {
  std::string line;
  for (auto& [name, instance] : instances_) {
    if (!instance.node->is_up()) continue;
    const Offset commit = instance.node->raft().log().commit();
    if (commit == instance.told.commit) continue;
    instance.told.commit = commit;
    line += " " + name + "=" + std::to_string(commit.value);
  }
  if (!line.empty()) Say("committed:" + line);
}

// Only which rule it is.
void Scenario::TellViolations() {
  const auto& all = checks_.violations();
  std::set<std::string> rules;
  for (; violations_told_ < all.size(); ++violations_told_)
    rules.insert(all[violations_told_].substr(0, all[violations_told_].find(':')));
  for (const std::string& rule : rules) Say("violated: " + rule);
}

std::string Scenario::StateOf(const Instance& instance) const {
  std::ostringstream text;
  text << instance.name << ": ";
  const RaftNode& node = *instance.node;
  if (!node.is_up()) {
    text << "down, log " << node.stored().start << ".." << node.stored().end() << ", term "
         << node.stored().hard.value_or(HardState{}).term;
    return text.str();
  }
  const Raft& raft = node.raft();
  text << NameOf(raft.role()) << " in term " << raft.hard_state().term;
  if (raft.role() == Role::kFollower && raft.leader().node.value >= 0)
    text << " of " << raft.leader().node;
  text << ", log " << raft.log().start() << ".." << raft.log().end() << ", durable "
       << raft.log().durable() << ", committed " << raft.log().commit();
  if (!raft.is_voter()) text << ", no voter";
  if (raft.is_stopped()) text << ", stopped";
  return text.str();
}

// The term of each record; records of one batch are joined by a dash.
std::string Scenario::LogOf(const Instance& instance) const {
  std::ostringstream text;
  const StoredNode& log =
      instance.node->is_up() ? instance.node->memory() : instance.node->stored();
  text << instance.name << ":";
  if (log.start > Offset{0}) text << " (" << log.start << ")";
  for (const StoredBatch& batch : log.log) {
    text << " " << batch.info.term;
    for (int64_t i = 1; i < batch.info.next - batch.info.base; ++i) text << "-" << batch.info.term;
  }
  return text.str();
}

}  // namespace gregor::raft
