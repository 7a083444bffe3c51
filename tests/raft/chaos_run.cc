#include "tests/raft/chaos_run.h"

#include <algorithm>
#include <iomanip>
#include <limits>
#include <sstream>

#include "tests/raft/message_text.h"

namespace gregor::raft {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Offset kEnd{std::numeric_limits<int64_t>::max()};

const char* NameOf(Progress::State state) {
  switch (state) {
    case Progress::State::kStream:
      return "stream";
    case Progress::State::kProbe:
      return "probe";
    case Progress::State::kSnapshot:
      return "snapshot";
  }
  return "";
}

std::string DescribeVoters(const RaftNode& node) {
  std::ostringstream text;
  text << "   is " << node.key() << "\n";
  if (const auto& before = node.memory().voters_before_start) {
    text << "   voters before " << before->end << ":";
    for (const Voter& voter : before->voters.voters) text << " " << voter.key;
    text << "\n";
  }
  for (const StoredBatch& batch : node.memory().log) {
    if (!batch.info.voters.has_value()) continue;
    text << "   " << batch.info.base << ", term " << batch.info.term << ": " << batch.content
         << "\n";
  }
  return text.str();
}

}  // namespace

const std::vector<std::string_view>& ChaosRun::FaultNames() {
  static const std::vector<std::string_view> names = {
      "crash", "cut",        "cut-leader", "change-voters", "transfer", "wipe",     "pause",
      "stall", "disconnect", "loss",       "duplicate",     "late",     "slow-disk"};
  return names;
}

template <typename... Parts>
void ChaosRun::Note(const Parts&... parts) {
  if (!setup_.note) return;
  std::ostringstream text;
  text << std::fixed << std::setw(11) << std::setprecision(3)
       << std::chrono::duration<double>(now_ - kBegin).count() << " s  ";
  (text << ... << parts);
  setup_.note(text.str());
}

ChaosRun::ChaosRun(Setup setup) : setup_(std::move(setup)), random_(setup_.seed) {
  const int voters = 1 + static_cast<int>(random_.Below(5));
  const int observers = static_cast<int>(random_.Below(3));
  for (int id = 1; id <= voters; ++id)
    options_.configured.push_back({{NodeId{id}, DirectoryId{}}, {}});
  options_.append_bytes_max = 1 + random_.Below(200);
  options_.in_flight_bytes_max = 1 + random_.Below(2000);
  options_.in_flight_messages_max = 1 + random_.Below(10);
  options_.learner_lag_max = 50;
  for (int id = 1; id <= voters + observers; ++id) {
    const VoterKey key{NodeId{id}, TestDirectory(NodeId{id})};
    nodes_.push_back(std::make_unique<RaftNode>(key, options_, checks_));
  }
  std::vector<const RaftNode*> all;
  for (const auto& node : nodes_) all.push_back(node.get());
  checks_.SetNodes(std::move(all));
  for (auto& node : nodes_) Boot(*node);
  ChooseFaults();
}

void ChaosRun::ChooseFaults() {
  loss_ = random_.Chance(0.3) ? 0 : random_.Fraction() * 0.3;
  late_ = random_.Chance(0.3) ? 0 : random_.Fraction() * 0.04;
  duplicates_ = random_.Chance(0.5) ? 0 : random_.Fraction() * 0.2;
  fault_rate_ = random_.Chance(0.2) ? 0 : random_.Fraction() * (random_.Chance(0.3) ? 0.1 : 0.02);
  slow_disk_ = random_.Fraction();
  snapshots_ = random_.Chance(0.5) ? 0.01 : 0.1;
  changes_ = random_.Chance(0.8) ? 0 : 0.1;
  const bool slow_reads = random_.Chance(0.3);
  for (auto& node : nodes_) node->SetReadsSlowly(slow_reads);
  for (const Fault fault :
       {Fault::kCrash, Fault::kCrash, Fault::kCut, Fault::kCutLeader, Fault::kChangeVoters,
        Fault::kTransfer, Fault::kWipe, Fault::kPause, Fault::kStall, Fault::kDisconnect}) {
    if (random_.Chance(0.6)) faults_.push_back(fault);
  }
  if (faults_.empty()) fault_rate_ = 0;
  // Drawn all the same, so that what is left stays what it was.
  if (LeavesOut(Fault::kLoss)) loss_ = 0;
  if (LeavesOut(Fault::kDuplicate)) duplicates_ = 0;
  if (LeavesOut(Fault::kLate)) late_ = 0;
  if (LeavesOut(Fault::kSlowDisk)) slow_disk_ = 0;
}

void ChaosRun::Boot(RaftNode& node) {
  Note("node ", node.key().node, " starts");
  const auto& snapshot = node.stored().snapshot;
  const Offset applied = snapshot.has_value() ? snapshot->id.end : Offset{0};
  node.Boot(Now(node), random_.Fork(), std::max(applied, node.stored().start));
  Of(node).leads_since = now_;
  Drain(node);
}

void ChaosRun::Send(Message message) {
  if (random_.Chance(loss_)) return;
  const int copies = random_.Chance(duplicates_) ? 2 : 1;
  for (int i = 0; i < copies; ++i) {
    const Duration delay = random_.Chance(late_) ? milliseconds(random_.Between(100, 20'000))
                                                 : milliseconds(random_.Between(0, 5));
    flying_.push_back({now_ + delay, order_++, message});
  }
}

void ChaosRun::Drain(RaftNode& node) {
  node.Drain(Now(node), [this](Message message) { Send(std::move(message)); });
}

// By its own clock, which stands at times and never goes back.
MonotonicTime ChaosRun::Now(const RaftNode& node) {
  const Around& around = Of(node);
  return std::max(now_, around.stalled_until) - around.lag;
}

void ChaosRun::Deliver(Flying flying) {
  RaftNode* const to = Find(flying.message.to.node);
  const NodeId from = flying.message.from.node;
  if (to == nullptr || !to->is_up() || IsCut(from, to->key().node)) return;
  if (IsPaused(*to)) {
    flying.due = Of(*to).paused_until;
    flying_.push_back(std::move(flying));
    return;
  }
  Note(TextOf(flying.message));
  Of(*to).heard[from] = now_;
  to->raft().Receive(Now(*to), std::move(flying.message));
  Drain(*to);
}

void ChaosRun::Advance(Duration by) {
  now_ += by;
  std::vector<Flying> due;
  for (size_t i = 0; i < flying_.size();) {
    if (flying_[i].due <= now_) {
      due.push_back(std::move(flying_[i]));
      flying_[i] = std::move(flying_.back());
      flying_.pop_back();
    } else {
      ++i;
    }
  }
  std::sort(due.begin(), due.end(), [](const Flying& a, const Flying& b) {
    return std::pair(a.due, a.order) < std::pair(b.due, b.order);
  });
  for (Flying& each : due) Deliver(std::move(each));
  for (auto& node : nodes_) {
    if (!node->is_up() || IsPaused(*node)) continue;
    CheckLeader(*node);
    if (node->raft().next_tick() > Now(*node)) continue;
    node->raft().Tick(Now(*node));
    Drain(*node);
  }
}

// R16: who leads hears of a majority.
void ChaosRun::CheckLeader(RaftNode& node) {
  Around& around = Of(node);
  const VotersAt* const set = node.raft().log().voters();
  if (node.raft().role() != Role::kLeader || around.stalled_until > now_ || set == nullptr ||
      set->end != around.voters_end) {
    around.leads_since = now_;
    around.voters_end = set == nullptr ? Offset{-1} : set->end;
    return;
  }
  const Duration bound = options_.election_timeout_max + milliseconds(500);
  if (now_ - around.leads_since <= bound) return;
  size_t silent = 0;
  for (const Voter& voter : set->voters.voters) {
    if (voter.key != node.key() && now_ - around.heard[voter.key.node] > bound) ++silent;
  }
  if (2 * silent >= set->voters.voters.size())
    checks_.Violate("R16: a leader leads on that hears of no majority");
}

RaftNode* ChaosRun::Find(NodeId id) {
  for (auto& node : nodes_) {
    if (node->key().node == id) return node.get();
  }
  return nullptr;
}

RaftNode* ChaosRun::leader() {
  RaftNode* found = nullptr;
  for (auto& node : nodes_) {
    if (node->is_up() && node->raft().role() == Role::kLeader &&
        (found == nullptr || node->raft().hard_state().term > found->raft().hard_state().term))
      found = node.get();
  }
  return found;
}

void ChaosRun::Connect() {
  for (auto& from : nodes_) {
    for (auto& to : nodes_) {
      if (from == to || !from->is_up()) continue;
      from->raft().OnConnected(Now(*from), to->key().node);
      Drain(*from);
    }
  }
}

void ChaosRun::FetchSnapshot(RaftNode& node) {
  if (!node.is_up() || !node.wanted_snapshot().has_value()) return;
  RaftNode* const from = Find(node.raft().leader().node);
  if (from == nullptr) return;
  node.InstallFrom(Now(node), from->stored());
  Drain(node);
}

void ChaosRun::Run(int steps) {
  for (int i = 0; i < steps && checks_.violations().empty(); ++i) Step();
}

void ChaosRun::Step() {
  Advance(random_.Chance(0.5) ? milliseconds(random_.Between(0, 3))
                              : milliseconds(random_.Between(0, 100)));
  for (auto& node : nodes_) {
    if (node->is_up() && !IsPaused(*node)) StepNode(*node);
  }
  if (random_.Chance(fault_rate_)) DoFault();
}

void ChaosRun::StepNode(RaftNode& node) {
  const auto is_slow = [&] { return random_.Chance(slow_disk_ * 0.9); };
  if (node.HasUnsavedVote() && !is_slow()) node.SaveVote(Now(node));
  Drain(node);
  if (node.HasUnsyncedLog() && !is_slow()) node.SyncLog(Now(node));
  Drain(node);
  if (node.HasUnsyncedSnapshot() && !is_slow()) node.SyncSnapshot();
  if (!is_slow())
    node.AnswerReads(Now(node), [this](Message message) { Send(std::move(message)); });
  Work(node);
}

void ChaosRun::Work(RaftNode& node) {
  if (random_.Chance(0.2)) {
    const int64_t records = 1 + static_cast<int64_t>(random_.Below(4));
    node.Propose(Now(node), records, "p" + std::to_string(proposals_++));
    Drain(node);
  }
  if (node.raft().role() == Role::kLeader && random_.Chance(changes_)) ChangeVoters();
  if (random_.Chance(snapshots_)) node.TakeSnapshot();
  if (random_.Chance(0.2)) FetchSnapshot(node);
  if (random_.Chance(0.05) && node.raft().Read(Now(node), proposals_).ok()) {
    reads_[proposals_++] = checks_.committed();
    Drain(node);
  }
  for (const ReadReady& read : node.TakeReads()) {
    if (read.offset.has_value() && *read.offset < reads_[read.id])
      checks_.Violate("C11: a read is older than what was committed when it was asked");
  }
}

void ChaosRun::DoFault() {
  if (random_.Chance(0.2)) return Heal();
  RaftNode& node = Any();
  Around& around = Of(node);
  const Fault fault = faults_[random_.Below(faults_.size())];
  if (LeavesOut(fault)) return;
  Note("fault: ", FaultNames()[static_cast<size_t>(fault)], ", node ", node.key().node);
  switch (fault) {
    case Fault::kCrash:
      return CrashOrBoot(node);
    case Fault::kCut:
      return Cut(node);
    case Fault::kCutLeader:
      return CutLeader();
    case Fault::kChangeVoters:
      return ChangeVoters();
    case Fault::kTransfer:
      if (!node.is_up()) return;
      (void)node.raft().Transfer(Now(node), std::nullopt);
      return Drain(node);
    case Fault::kWipe:
      return Wipe(node);
    case Fault::kPause:
      around.paused_until = now_ + milliseconds(random_.Between(10, 8'000));
      around.leads_since = around.paused_until;
      return;
    case Fault::kStall: {
      if (around.stalled_until > now_) return;
      const Duration stall = milliseconds(random_.Between(10, 8'000));
      around.stalled_until = now_ + stall;
      around.lag += stall;
      return;
    }
    case Fault::kDisconnect:
      if (!node.is_up()) return;
      node.raft().OnDisconnected(Now(node), Any().key().node);
      return Drain(node);
    default:
      return;  // those of the network and the disks are there all the time
  }
}

void ChaosRun::CrashOrBoot(RaftNode& node) {
  if (!node.is_up()) return Boot(node);
  const bool keeps_vote = random_.Chance(0.5);
  node.Crash(random_.Below(5), keeps_vote);
  // Often it is back before anybody has noticed.
  if (random_.Chance(0.3)) Boot(node);
}

void ChaosRun::Cut(RaftNode& node) {
  const bool is_noticed = random_.Chance(0.5);
  for (auto& other : nodes_) {
    if (random_.Chance(0.7)) cut_off_.insert({node.key().node, other->key().node});
    if (random_.Chance(0.7)) cut_off_.insert({other->key().node, node.key().node});
    if (!other->is_up() || !is_noticed) continue;
    other->raft().OnDisconnected(Now(*other), node.key().node);
    Drain(*other);
  }
}

// What it takes then is in nobody else's log.
void ChaosRun::CutLeader() {
  RaftNode* const node = leader();
  if (node == nullptr) return;
  Cut(*node);
  for (uint64_t left = random_.Below(30); left > 0; --left)
    node->Propose(Now(*node), 1, "p" + std::to_string(proposals_++));
  Drain(*node);
}

void ChaosRun::Heal() {
  Note("nothing is cut off any more");
  cut_off_.clear();
  Connect();
}

void ChaosRun::ChangeVoters() {
  RaftNode* const node = leader();
  if (node == nullptr || node->raft().log().voters() == nullptr) return;
  VoterSet voters = node->raft().log().voters()->voters;
  VoterKey key = Any().key();
  // A directory that is gone leaves the set at some time.
  for (const Voter& voter : voters.voters) {
    const RaftNode* const owner = Find(voter.key.node);
    if (owner->key() != voter.key && random_.Chance(0.7)) key = voter.key;
  }
  if (voters.Has(key)) {
    std::erase_if(voters.voters, [&](const Voter& voter) { return voter.key == key; });
  } else {
    voters.voters.push_back({key, {}});
  }
  // The leader refuses to do without the living, but learns a while later who they are.
  if (!IsAlive(voters, nullptr)) return;
  (void)node->raft().ChangeVoters(Now(*node), std::move(voters));
  Drain(*node);
}

// Where a majority of a set's disks are gone nothing gets on any more, and must not.
bool ChaosRun::IsAlive(const VoterSet& set, const RaftNode* without) const {
  const auto left = std::count_if(nodes_.begin(), nodes_.end(), [&](const auto& each) {
    return each.get() != without && set.Has(each->key());
  });
  return 2 * static_cast<size_t>(left) > set.voters.size();
}

bool ChaosRun::MayWipe(const RaftNode& node) const {
  // The first set is not committed before every disk in it has agreed.
  if (checks_.committed() == Offset{0}) return false;
  // Nodes that the settings name, all of them empty, cannot know of a set without them.
  const auto knows = [&](const Voter& voter) {
    return voter.key.node != node.key().node &&
           nodes_[static_cast<size_t>(voter.key.node.value - 1)]->stored().VotersBefore(kEnd);
  };
  if (std::none_of(options_.configured.begin(), options_.configured.end(), knows)) return false;
  for (const auto& each : nodes_) {
    for (const StoredNode* const stored : {&each->stored(), &each->memory()}) {
      for (const StoredBatch& batch : stored->log) {
        if (batch.info.voters.has_value() && !IsAlive(*batch.info.voters, &node)) return false;
      }
      const auto& before = stored->voters_before_start;
      if (before.has_value() && !IsAlive(before->voters, &node)) return false;
    }
  }
  return true;
}

void ChaosRun::Wipe(RaftNode& node) {
  if (!MayWipe(node)) return;
  if (node.is_up()) node.Crash(0, false);
  node.Wipe(TestDirectory(node.key().node, ++wipes_));
  Boot(node);
}

bool ChaosRun::Settle() {
  loss_ = duplicates_ = fault_rate_ = late_ = 0;
  for (auto& node : nodes_) {
    node->SetReadsSlowly(false);
    Around& around = Of(*node);
    around.paused_until = {};
    if (around.stalled_until > now_) around.lag -= around.stalled_until - now_;
    around.stalled_until = {};
    around.leads_since = now_;
    if (!node->is_up()) Boot(*node);
    node->AnswerReads(Now(*node), [this](Message message) { Send(std::move(message)); });
  }
  Heal();
  if (!GetOn(seconds(60))) return false;
  CheckReturnOfFollower();
  return true;
}

// Until something new is committed everywhere.
bool ChaosRun::GetOn(Duration within) {
  const MonotonicTime end = now_ + within;
  std::optional<Offset> wanted;
  Term term{0};
  while (now_ < end && checks_.violations().empty()) {
    Advance(milliseconds(1));
    for (auto& node : nodes_) {
      if (node->HasUnsavedVote()) node->SaveVote(Now(*node));
      Drain(*node);
      while (node->HasUnsyncedLog()) {
        node->SyncLog(Now(*node));
        Drain(*node);
      }
      if (node->HasUnsyncedSnapshot()) node->SyncSnapshot();
      if (!wanted.has_value()) {
        const auto base = node->Propose(Now(*node), 1, "last");
        if (base.has_value()) {
          wanted = *base + 1;
          term = node->raft().hard_state().term;
        }
      }
      Drain(*node);
      FetchSnapshot(*node);
    }
    // Lost, if another one leads.
    if (leader() != nullptr && leader()->raft().hard_state().term > term) wanted.reset();
    const bool done = wanted.has_value() && checks_.committed() >= *wanted &&
                      std::all_of(nodes_.begin(), nodes_.end(), [&](const auto& node) {
                        return node->raft().log().commit() >= *wanted;
                      });
    if (done) return true;
  }
  return false;
}

// L6: a follower that heard of nobody for a while comes back, and the leader stays (B4).
void ChaosRun::CheckReturnOfFollower() {
  RaftNode* const leads = leader();
  RaftNode& gone = Any();
  if (leads == nullptr || &gone == leads) return;
  const Term term = leads->raft().hard_state().term;
  if (!IsAlive(leads->raft().log().voters()->voters, &gone)) return;
  // A wish to hand over that comes so late is followed all the same.
  std::erase_if(flying_, [&](const Flying& each) { return each.due > now_ + milliseconds(10); });
  for (auto& other : nodes_) {
    cut_off_.insert({other->key().node, gone.key().node});
    cut_off_.insert({gone.key().node, other->key().node});
  }
  for (int i = 0; i < 800 && checks_.violations().empty(); ++i) {
    Advance(milliseconds(10));
    for (auto& node : nodes_) {
      if (node->HasUnsavedVote()) node->SaveVote(Now(*node));
      Drain(*node);
      if (node->HasUnsyncedLog()) node->SyncLog(Now(*node));
      Drain(*node);
    }
    if (i == 500) Heal();
  }
  if (leads->raft().role() != Role::kLeader || leads->raft().hard_state().term != term)
    checks_.Violate("L6: a follower that came back has disturbed the leader");
}

std::string ChaosRun::Describe() const {
  std::string text;
  for (const auto& node : nodes_) {
    text += "node " + std::to_string(node->key().node.value);
    if (!node->is_up()) {
      text += " down\n";
      continue;
    }
    const Raft& raft = node->raft();
    text += std::string(" ") + NameOf(raft.role()) + " term " +
            std::to_string(raft.hard_state().term.value) + " leader " +
            std::to_string(raft.leader().node.value) + " log " +
            std::to_string(raft.log().start().value) + ".." +
            std::to_string(raft.log().end().value) + " durable " +
            std::to_string(raft.log().durable().value) + " commit " +
            std::to_string(raft.log().commit().value) + (raft.is_voter() ? " voter" : " observer") +
            "\n";
    text += DescribeVoters(*node);
    if (raft.leadership() == nullptr) continue;
    for (const auto& [key, peer] : raft.leadership()->peers()) {
      text += "   peer " + std::to_string(key.node.value) + " state " + NameOf(peer.state()) +
              " match " + std::to_string(peer.match().value) + " next " +
              std::to_string(peer.next().value) + "\n";
    }
  }
  return text;
}

}  // namespace gregor::raft
