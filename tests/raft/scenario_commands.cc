// What a scenario's commands do; testdata/README.md describes them.
#include <algorithm>
#include <sstream>

#include "base/check.h"
#include "tests/raft/message_text.h"
#include "tests/raft/scenario.h"

namespace gregor::raft {
namespace {

// "150ms", "30s", "2m".
Duration TimeOf(const std::string& word) {
  size_t digits = 0;
  const int64_t count = std::stoll(word, &digits);
  const std::string unit = word.substr(digits);
  if (unit == "ms") return std::chrono::milliseconds(count);
  if (unit == "s") return std::chrono::seconds(count);
  CHECK_EQ(unit, "m");
  return std::chrono::minutes(count);
}

}  // namespace

const std::map<std::string, Scenario::Handler>& Scenario::Handlers() {
  static const std::map<std::string, Handler> handlers = {
      {"cluster", &Scenario::Cluster},     {"set-log", &Scenario::SetLog},
      {"boot", &Scenario::Boot},           {"crash", &Scenario::Crash},
      {"wipe", &Scenario::Wipe},           {"clone", &Scenario::Clone},
      {"lose", &Scenario::Lose},           {"stop", &Scenario::Stop},
      {"advance", &Scenario::Pass},        {"campaign", &Scenario::CampaignOf},
      {"elect", &Scenario::Elect},         {"stabilize", &Scenario::Stabilize},
      {"deliver", &Scenario::DeliverSome}, {"drop", &Scenario::Drop},
      {"hold", &Scenario::Keep},           {"copy", &Scenario::Keep},
      {"inject", &Scenario::Inject},       {"disks", &Scenario::Disks},
      {"log-reads", &Scenario::LogReads},  {"save", &Scenario::Save},
      {"sync", &Scenario::Sync},           {"isolate", &Scenario::Isolate},
      {"cut", &Scenario::CutLinks},        {"bridge", &Scenario::Bridge},
      {"ring", &Scenario::Ring},           {"heal", &Scenario::Heal},
      {"connect", &Scenario::Connection},  {"disconnect", &Scenario::Connection},
      {"pause", &Scenario::Pause},         {"resume", &Scenario::Pause},
      {"propose", &Scenario::Propose},     {"transfer", &Scenario::TransferTo},
      {"add", &Scenario::ChangeVoters},    {"remove", &Scenario::ChangeVoters},
      {"voters", &Scenario::ChangeVoters}, {"read", &Scenario::ReadAt},
      {"snapshot", &Scenario::Snapshot},   {"fetch", &Scenario::Fetch},
      {"state", &Scenario::State},         {"logs", &Scenario::Logs},
      {"messages", &Scenario::Messages},   {"expect-violations", &Scenario::ExpectViolations},
  };
  return handlers;
}

void Scenario::Cluster(const Command& command) {
  const int voters = command.Number("voters", 3);
  for (int id = 1; id <= voters; ++id)
    options_.configured.push_back({{NodeId{id}, DirectoryId{}}, {}});
  options_.learner_lag_max = command.Number("learner-lag", 1000);
  options_.append_bytes_max = static_cast<size_t>(command.Number("append-bytes", 1 << 20));
  options_.in_flight_messages_max = static_cast<size_t>(command.Number("in-flight", 64));
  options_.in_flight_bytes_max = static_cast<size_t>(command.Number("in-flight-bytes", 8 << 20));
  const int all = voters + command.Number("observers", 0);
  for (int id = 1; id <= all; ++id)
    AddInstance(std::to_string(id), {NodeId{id}, TestDirectory(NodeId{id})});
  if (command.Has("down")) return;
  is_quiet_ = command.Has("formed");
  for (auto& [name, instance] : instances_) BootOne(instance, Offset{0});
  if (!is_quiet_) return;
  Elect(Command::Parse("elect 1"));
  Pass(Command::Parse("advance 500ms"));
  TellCommits();
  is_quiet_ = false;
}

// set-log NODE TERM... [term=T] [vote=N] [voters=N]: one record of each term.
void Scenario::SetLog(const Command& command) {
  Instance& instance = Find(command.words.front());
  StoredNode stored;
  VoterSet set;
  for (int id = 1; id <= command.Number("voters", static_cast<int>(options_.configured.size()));
       ++id) {
    set.voters.push_back({{NodeId{id}, TestDirectory(NodeId{id})}, {}});
  }
  stored.voters_before_start = VotersAt{Offset{0}, set};
  Term term{0};
  for (size_t i = 1; i < command.words.size(); ++i) {
    term = Term{std::stoi(command.words[i])};
    StoredBatch batch;
    batch.info = {
        .base = stored.end(), .next = stored.end() + 1, .term = term, .bytes = 1, .voters = {}};
    batch.content = "x";
    batch.chain = NextChain(stored.chain(), batch.info, batch.content);
    stored.log.push_back(std::move(batch));
  }
  stored.hard = HardState{.term = Term{command.Number("term", term.value)}, .voted_for = {}};
  if (const int vote = command.Number("vote", 0); vote != 0)
    stored.hard->voted_for = VoterKey{NodeId{vote}, TestDirectory(NodeId{vote})};
  instance.node->SetStored(std::move(stored));
}

void Scenario::Boot(const Command& command) {
  for (Instance* const instance : Named(command)) {
    if (!instance->node->is_up()) BootOne(*instance, Offset{command.Number("applied", 0)});
  }
}

// crash NODE... [keep=BATCHES] [vote]
void Scenario::Crash(const Command& command) {
  for (Instance* const instance : Named(command)) {
    if (!instance->node->is_up()) continue;
    instance->node->Crash(static_cast<size_t>(command.Number("keep", 0)), command.Has("vote"));
  }
}

// lose NODE BATCHES
void Scenario::Lose(const Command& command) {
  Find(command.words[0]).node->Lose(std::stoul(command.words[1]));
}

void Scenario::Wipe(const Command& command) {
  for (Instance* const instance : Named(command)) {
    if (instance->node->is_up()) instance->node->Crash(0, false);
    const NodeId node = instance->node->key().node;
    instance->node->Wipe(TestDirectory(node, ++wipes_[node]));
  }
}

// clone NODE as NAME: a copy of its disk, which is booted as the same node.
void Scenario::Clone(const Command& command) {
  const RaftNode& node = *Find(command.words[0]).node;
  AddInstance(command.words[2], node.key());
  Instance& clone = Find(command.words[2]);
  clone.node->SetStored(Find(command.words[0]).node->stored());
  BootOne(clone, Offset{0});
}

// Its disk has failed.
void Scenario::Stop(const Command& command) {
  for (Instance* const instance : Named(command)) {
    instance->node->raft().Stop();
    Drain(*instance);
  }
}

// advance TIME: everything works on meanwhile.
void Scenario::Pass(const Command& command) {
  const MonotonicTime end = now_ + TimeOf(command.words.front());
  while (now_ < end) {
    now_ = std::min<MonotonicTime>(end, now_ + std::chrono::milliseconds(10));
    Settle();
    for (auto& [name, instance] : instances_) Tick(instance);
    Settle();
  }
}

void Scenario::CampaignOf(const Command& command) {
  for (Instance* const instance : Named(command)) {
    CHECK(instance->node->is_up());
    now_ = std::max(now_, instance->node->raft().next_tick());
    Tick(*instance);
  }
}

void Scenario::Elect(const Command& command) {
  CampaignOf(command);
  Settle();
}

void Scenario::Stabilize(const Command& /*command*/) { Settle(); }

void Scenario::DeliverSome(const Command& command) {
  for (const Message& message : Take(command, /*remove=*/true)) {
    Say(TextOf(message) + (IsCut(message) ? ": lost" : ""));
    if (!IsCut(message)) DeliverTo(message);
  }
}

void Scenario::Drop(const Command& command) {
  for (const Message& message : Take(command, /*remove=*/true)) Say("lost: " + TextOf(message));
}

// hold|copy A->B KIND as=NAME: the first such message; a copy stays in flight, too.
void Scenario::Keep(const Command& command) {
  Command first = command;
  if (!command.Has("last")) first.words.emplace_back("first");
  const auto messages = Take(first, /*remove=*/command.name == "hold");
  if (messages.empty()) return Say("there is no such message");
  kept_[command.Option("as", "kept")] = messages.front();
  Say("kept: " + TextOf(messages.front()));
}

void Scenario::Inject(const Command& command) {
  const auto found = kept_.find(command.words.front());
  if (found == kept_.end()) return Say("there is no such message");
  const Message message = found->second;
  const std::string into = command.Option("into", "");
  Say(TextOf(message) + (into.empty() ? "" : " into " + into));
  if (into.empty()) return DeliverTo(message);
  Receive(Find(into), message);
}

// disks slow|fast NODE...: slow ones write when they are told to.
void Scenario::Disks(const Command& command) {
  for (Instance* const instance : Named(command)) {
    instance->has_slow_disk = command.words.front() == "slow";
    if (!instance->has_slow_disk && instance->node->is_up()) WriteDisk(*instance);
  }
}

// log-reads slow|fast NODE...: slow ones are answered when they get fast.
void Scenario::LogReads(const Command& command) {
  for (Instance* const instance : Named(command)) {
    instance->node->SetReadsSlowly(command.words.front() == "slow");
    if (command.words.front() == "slow" || !instance->node->is_up()) continue;
    instance->node->AnswerReads(now_,
                                [this](Message message) { flying_.push_back(std::move(message)); });
    Drain(*instance);
  }
}

void Scenario::Save(const Command& command) {
  for (Instance* const instance : Named(command)) {
    if (!instance->node->is_up() || !instance->node->HasUnsavedVote()) continue;
    instance->node->SaveVote(now_);
    Drain(*instance);
  }
}

void Scenario::Sync(const Command& command) {
  for (Instance* const instance : Named(command)) {
    while (instance->node->is_up() && instance->node->HasUnsyncedLog()) {
      instance->node->SyncLog(now_);
      Drain(*instance);
    }
  }
}

void Scenario::Isolate(const Command& command) {
  for (const Instance* const instance : Named(command)) {
    for (const auto& [name, other] : instances_) {
      const NodeId node = instance->node->key().node;
      const NodeId peer = other.node->key().node;
      if (node == peer) continue;
      CutLink(node, peer);
      CutLink(peer, node);
    }
  }
}

// cut A->B...
void Scenario::CutLinks(const Command& command) {
  for (const std::string& word : command.words) {
    const size_t arrow = word.find("->");
    for (const auto& [from, sender] : instances_) {
      for (const auto& [to, receiver] : instances_) {
        const std::string left = word.substr(0, arrow);
        const std::string right = word.substr(arrow + 2);
        if (from != to && (left == "*" || left == from) && (right == "*" || right == to))
          CutLink(sender.node->key().node, receiver.node->key().node);
      }
    }
  }
}

// bridge NODE: the others reach it, and of each other only those on their side (lower, higher).
void Scenario::Bridge(const Command& command) {
  const NodeId bridge{std::stoi(command.words.front())};
  for (const auto& [a, left] : instances_) {
    for (const auto& [b, right] : instances_) {
      const NodeId from = left.node->key().node;
      const NodeId to = right.node->key().node;
      if (from != bridge && to != bridge && (from < bridge) != (to < bridge)) CutLink(from, to);
    }
  }
}

// Each node reaches its two neighbours.
void Scenario::Ring(const Command& /*command*/) {
  const auto count = static_cast<int>(instances_.size());
  for (int a = 1; a <= count; ++a) {
    for (int b = 1; b <= count; ++b) {
      const int distance = (a - b + count) % count;
      if (distance > 1 && distance < count - 1) CutLink(NodeId{a}, NodeId{b});
    }
  }
}

void Scenario::Heal(const Command& /*command*/) { cuts_.clear(); }

// connect|disconnect A B: both notice.
void Scenario::Connection(const Command& command) {
  Instance& a = Find(command.words[0]);
  Instance& b = Find(command.words[1]);
  for (const auto& [node, other] : {std::pair(&a, &b), std::pair(&b, &a)}) {
    if (!node->node->is_up()) continue;
    if (command.name == "connect") {
      node->node->raft().OnConnected(now_, other->node->key().node);
    } else {
      node->node->raft().OnDisconnected(now_, other->node->key().node);
    }
    Drain(*node);
  }
}

void Scenario::Pause(const Command& command) {
  for (Instance* const instance : Named(command)) instance->is_paused = command.name == "pause";
}

// propose NODE [COUNT] [records=N]
void Scenario::Propose(const Command& command) {
  Instance& instance = Find(command.words.front());
  const int count = command.words.size() > 1 ? std::stoi(command.words[1]) : 1;
  for (int i = 0; i < count; ++i) {
    const auto base = instance.node->Propose(now_, command.Number("records", 1),
                                             "p" + std::to_string(proposals_++));
    if (!base.has_value()) return Say(instance.name + " takes nothing");
    Drain(instance);
  }
}

// transfer NODE [TO]
void Scenario::TransferTo(const Command& command) {
  Instance& instance = Find(command.words.front());
  std::optional<VoterKey> to;
  if (command.words.size() > 1) to = Find(command.words[1]).node->key();
  if (!instance.node->raft().Transfer(now_, to).ok()) Say(instance.name + " refuses");
  Drain(instance);
}

// voters LEADER NODE...: these from now on.
// add|remove LEADER NODE [first]: with the disk that it has, or that it had first.
void Scenario::ChangeVoters(const Command& command) {
  Instance& leader = Find(command.words[0]);
  const std::string& name = command.words[1];
  VoterKey key{NodeId{std::stoi(name)}, TestDirectory(NodeId{std::stoi(name)})};
  if (command.words.size() == 2) key = Find(name).node->key();
  VoterSet set;
  if (const auto* const now = leader.node->raft().log().voters()) set = now->voters;
  std::erase_if(set.voters, [&](const Voter& voter) { return voter.key == key; });
  if (command.name == "add") set.voters.push_back({key, {}});
  if (command.name == "voters") {
    set.voters.clear();
    for (size_t i = 1; i < command.words.size(); ++i)
      set.voters.push_back({Find(command.words[i]).node->key(), {}});
  }
  const auto result = leader.node->raft().ChangeVoters(now_, std::move(set));
  if (!result.ok()) {
    const Reason reason = result.error().reason;
    Say(leader.name + " refuses: " +
        (reason == Reason::kReassignmentInProgress ? "not yet"
         : reason == Reason::kNotController        ? "it does not lead"
                                                   : "that cannot be"));
  }
  Drain(leader);
}

void Scenario::ReadAt(const Command& command) {
  Instance& instance = Find(command.words.front());
  const uint64_t id = reads_++;
  if (!instance.node->raft().Read(now_, id).ok())
    Say(instance.name + " refuses read " + std::to_string(id));
  Drain(instance);
}

// snapshot NODE [keep|unsynced]: of all that is committed, and the log begins there; `keep`: as it
// did; `unsynced`: it is begun.
void Scenario::Snapshot(const Command& command) {
  Instance& instance = Find(command.words.front());
  instance.node->TakeSnapshot();
  if (!instance.node->HasUnsyncedSnapshot()) return Say(instance.name + " takes none");
  if (command.Has("unsynced")) {
    Say(instance.name + " begins a snapshot");
    return Drain(instance);
  }
  instance.node->SyncSnapshot();
  const SnapshotId& id = instance.node->stored().snapshot->id;
  if (!command.Has("keep")) instance.node->TrimBefore(id.end);
  std::ostringstream text;
  text << instance.name << " has snapshot " << id.term << "/" << id.end;
  Say(text.str());
  Drain(instance);
}

// fetch NODE [FROM]: installs the snapshot that it wants, from its leader.
void Scenario::Fetch(const Command& command) {
  Instance& instance = Find(command.words.front());
  const std::string from = command.words.size() > 1
                               ? command.words[1]
                               : std::to_string(instance.node->raft().leader().node.value);
  const Offset before = instance.node->stored().start;
  if (instance.node->wanted_snapshot().has_value())
    instance.node->InstallFrom(now_, Find(from).node->stored());
  const bool is_new = instance.node->stored().start != before;
  Say(instance.name + (is_new ? " installs a snapshot" : " installs nothing"));
  if (is_new) instance.told.log.clear();
  Drain(instance);
}

void Scenario::State(const Command& command) {
  for (const Instance* const instance : Named(command)) Say(StateOf(*instance));
}

void Scenario::Logs(const Command& command) {
  for (const Instance* const instance : Named(command)) Say(LogOf(*instance));
}

// What is in flight.
void Scenario::Messages(const Command& /*command*/) {
  for (const Message& message : flying_) Say(TextOf(message));
}

void Scenario::ExpectViolations(const Command& /*command*/) { may_violate_ = true; }

}  // namespace gregor::raft
