#include "tests/raft/scenario.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

#include "base/check.h"

namespace gregor::raft {

Command Command::Parse(const std::string& line) {
  Command command;
  std::istringstream words(line);
  words >> command.name;
  for (std::string word; words >> word;) {
    const size_t equals = word.find('=');
    if (equals == std::string::npos) {
      command.words.push_back(word);
    } else {
      command.options[word.substr(0, equals)] = word.substr(equals + 1);
    }
  }
  return command;
}

bool Command::Has(const std::string& word) const {
  return std::find(words.begin(), words.end(), word) != words.end();
}

std::string Command::Option(const std::string& option, std::string otherwise) const {
  const auto found = options.find(option);
  return found == options.end() ? otherwise : found->second;
}

int Command::Number(const std::string& option, int otherwise) const {
  return std::stoi(Option(option, std::to_string(otherwise)));
}

Scenario::Scenario() { options_.quick_jitter = std::chrono::milliseconds(150); }

std::string Scenario::Run(const std::vector<std::string>& lines) {
  text_.clear();
  for (const std::string& line : lines) {
    const Command command = Command::Parse(line);
    const auto handler = Handlers().find(command.name);
    if (handler == Handlers().end()) {
      ADD_FAILURE() << "there is no command \"" << command.name << "\"";
      continue;
    }
    (this->*handler->second)(command);
    TellCommits();
    TellViolations();
  }
  return text_;
}

Scenario::Instance& Scenario::Find(const std::string& name) {
  const auto found = instances_.find(name);
  CHECK(found != instances_.end()) << "there is no node " << name;
  return found->second;
}

// The words that are nodes; all nodes where there is none.
std::vector<Scenario::Instance*> Scenario::Named(const Command& command) {
  std::vector<Instance*> named;
  for (const std::string& word : command.words) {
    const auto found = instances_.find(word);
    if (found != instances_.end()) named.push_back(&found->second);
  }
  if (!named.empty()) return named;
  for (auto& [name, instance] : instances_) named.push_back(&instance);
  return named;
}

void Scenario::AddInstance(const std::string& name, VoterKey key) {
  Instance& instance = instances_[name];
  instance.name = name;
  instance.node = std::make_unique<RaftNode>(key, options_, checks_);
  std::vector<const RaftNode*> all;
  for (const auto& [each, other] : instances_) all.push_back(other.node.get());
  checks_.SetNodes(std::move(all));
}

void Scenario::BootOne(Instance& instance, Offset applied) {
  const StoredNode& stored = instance.node->stored();
  if (stored.snapshot.has_value()) applied = std::max(applied, stored.snapshot->id.end);
  instance.told = Told();
  instance.told.hard = stored.hard;
  instance.told.term = stored.hard.value_or(HardState{}).term;
  instance.told.leader.term = instance.told.term;
  for (const StoredBatch& batch : stored.log)
    instance.told.log.emplace_back(batch.info.next, batch.chain);
  if (const auto set = stored.VotersBefore(stored.end())) {
    for (const Voter& voter : set->voters.voters) instance.told.voters.push_back(voter.key);
  }
  const auto seed = static_cast<uint64_t>(instance.node->key().node.value);
  instance.node->Boot(now_, Random(seed), std::max(applied, stored.start));
  instance.told.commit = instance.node->raft().log().commit();
  Drain(instance);
}

void Scenario::Drain(Instance& instance) {
  if (!instance.node->is_up()) return;
  const auto send = [this](Message message) { flying_.push_back(std::move(message)); };
  instance.node->Drain(now_, send);
  TellChanges(instance);
  if (!instance.has_slow_disk) WriteDisk(instance);
}

void Scenario::WriteDisk(Instance& instance) {
  RaftNode& node = *instance.node;
  const auto send = [this](Message message) { flying_.push_back(std::move(message)); };
  while (node.HasUnsavedVote() || node.HasUnsyncedLog()) {
    if (node.HasUnsavedVote()) {
      node.SaveVote(now_);
    } else {
      node.SyncLog(now_);
    }
    node.Drain(now_, send);
    TellChanges(instance);
  }
}

bool Scenario::IsCut(const Message& message) const {
  return cuts_.count({message.from.node, message.to.node}) != 0;
}

void Scenario::Receive(Instance& instance, Message message) {
  if (!instance.node->is_up()) return;
  instance.node->raft().Receive(now_, std::move(message));
  Drain(instance);
}

// To every process that says it is the node.
void Scenario::DeliverTo(const Message& message) {
  for (auto& [name, instance] : instances_) {
    if (instance.node->key().node == message.to.node) Receive(instance, message);
  }
}

// Delivers everything, but what is cut off, or to who is down (lost) or paused (waits).
void Scenario::Settle() {
  std::deque<Message> waiting;
  for (int i = 0; !flying_.empty(); ++i) {
    if (i == 100'000) return Say("it does not come to rest");
    Message message = std::move(flying_.front());
    flying_.pop_front();
    if (IsCut(message)) continue;
    const auto paused = [&](const auto& each) {
      return each.second.is_paused && each.second.node->key().node == message.to.node;
    };
    if (std::any_of(instances_.begin(), instances_.end(), paused)) {
      waiting.push_back(std::move(message));
    } else {
      DeliverTo(message);
    }
  }
  flying_ = std::move(waiting);
}

void Scenario::Tick(Instance& instance) {
  if (!instance.node->is_up() || instance.is_paused) return;
  if (instance.node->raft().next_tick() > now_) return;
  instance.node->raft().Tick(now_);
  Drain(instance);
}

bool Scenario::Matches(const Link& link, const Message& message) const {
  return (link.from == "*" || link.from == Name(message.from.node)) &&
         (link.to == "*" || link.to == Name(message.to.node));
}

// The messages in flight that a command's A->B, KIND, `first` and `last` name.
std::vector<Message> Scenario::Take(const Command& command, bool remove) {
  std::vector<Link> links;
  std::string kind;
  for (const std::string& word : command.words) {
    const size_t arrow = word.find("->");
    if (arrow != std::string::npos) {
      links.push_back({word.substr(0, arrow), word.substr(arrow + 2)});
    } else if (word != "first" && word != "last" && word != "all") {
      kind = word;
    }
  }
  std::vector<size_t> taken;
  for (size_t i = 0; i < flying_.size(); ++i) {
    const bool is_named = std::any_of(links.begin(), links.end(),
                                      [&](const Link& link) { return Matches(link, flying_[i]); });
    if (is_named && (kind.empty() || kind == KindOf(flying_[i]))) taken.push_back(i);
  }
  if (command.Has("first") && taken.size() > 1) taken.resize(1);
  if (command.Has("last") && taken.size() > 1) taken.erase(taken.begin(), taken.end() - 1);
  std::vector<Message> messages;
  for (const size_t i : taken) messages.push_back(flying_[i]);
  if (!remove) return messages;
  for (auto at = taken.rbegin(); at != taken.rend(); ++at)
    flying_.erase(flying_.begin() + static_cast<ptrdiff_t>(*at));
  return messages;
}

}  // namespace gregor::raft
