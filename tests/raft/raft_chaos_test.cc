// Random runs of the algorithm alone, on a network and disks that do what they like: what must hold
// is checked after every step, and in the end, when all is well again, that it gets on.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/raft/raft_cluster.h"

namespace gregor::raft {
namespace {

using std::chrono::milliseconds;

DirectoryId Directory(uint8_t id) {
  DirectoryId directory;
  directory.bytes[15] = id;
  return directory;
}

class ChaosRun {
 public:
  explicit ChaosRun(uint64_t seed) : random_(seed) {
    const int voters = 1 + static_cast<int>(random_.Below(5));
    const int observers = static_cast<int>(random_.Below(3));
    for (int id = 1; id <= voters; ++id)
      options_.configured.push_back({{NodeId{id}, DirectoryId{}}, {}});
    options_.append_bytes_max = 1 + random_.Below(200);
    options_.in_flight_bytes_max = 1 + random_.Below(2000);
    options_.in_flight_messages_max = 1 + random_.Below(10);
    options_.learner_lag_max = 50;
    for (int id = 1; id <= voters + observers; ++id) {
      const VoterKey key{NodeId{id}, Directory(static_cast<uint8_t>(id))};
      nodes_.push_back(std::make_unique<RaftNode>(key, options_, checks_));
    }
    std::vector<const RaftNode*> all;
    for (const auto& node : nodes_) all.push_back(node.get());
    checks_.SetNodes(std::move(all));
    for (auto& node : nodes_) Boot(*node);
    loss_ = random_.Chance(0.3) ? 0 : random_.Fraction() * 0.3;
    duplicates_ = random_.Chance(0.5) ? 0 : random_.Fraction() * 0.2;
    faults_ = random_.Chance(0.2) ? 0 : random_.Fraction() * 0.02;
    slow_disk_ = random_.Fraction();
  }

  void Run(int steps) {
    for (int i = 0; i < steps && checks_.violations().empty(); ++i) Step();
  }

  // No more faults: there has to be a leader, and what is proposed gets committed everywhere.
  bool Settle() {
    loss_ = duplicates_ = faults_ = 0;
    cut_off_.clear();
    for (auto& node : nodes_) {
      if (!node->is_up()) Boot(*node);
    }
    Connect();
    const MonotonicTime end = now_ + std::chrono::seconds(60);
    std::optional<Offset> wanted;
    Term term{0};
    while (now_ < end && checks_.violations().empty()) {
      Advance(milliseconds(1));
      for (auto& node : nodes_) {
        if (node->HasUnsavedVote()) node->SaveVote(now_);
        Drain(*node);
        while (node->HasUnsyncedLog()) {
          node->SyncLog(now_);
          Drain(*node);
        }
        if (!wanted.has_value()) {
          const auto base = node->Propose(now_, 1, "last");
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

  const RaftChecks& checks() const { return checks_; }
  std::string Describe() {
    std::string text;
    for (auto& node : nodes_) {
      text += "node " + std::to_string(node->key().node.value);
      if (!node->is_up()) {
        text += " down\n";
        continue;
      }
      Raft& raft = node->raft();
      text += " role " + std::to_string(static_cast<int>(raft.role())) + " term " +
              std::to_string(raft.hard_state().term.value) + " leader " +
              std::to_string(raft.leader().node.value) + " log " +
              std::to_string(raft.log().start().value) + ".." +
              std::to_string(raft.log().end().value) + " durable " +
              std::to_string(raft.log().durable().value) + " commit " +
              std::to_string(raft.log().commit().value) +
              (raft.is_voter() ? " voter" : " observer") + "\n";
      if (raft.leadership() == nullptr) continue;
      for (const auto& [key, peer] : raft.leadership()->peers()) {
        text += "   peer " + std::to_string(key.node.value) + " state " +
                std::to_string(static_cast<int>(peer.state())) + " match " +
                std::to_string(peer.match().value) + " next " + std::to_string(peer.next().value) +
                "\n";
      }
    }
    return text;
  }

 private:
  struct Flying {
    MonotonicTime due;
    uint64_t order;
    Message message;
  };

  void Boot(RaftNode& node) {
    const Offset applied =
        node.stored().snapshot.has_value() ? node.stored().snapshot->end : Offset{0};
    node.Boot(now_, random_.Fork(), std::max(applied, node.stored().start));
    Drain(node);
  }

  void Drain(RaftNode& node) {
    node.Drain(now_, [this](Message message) {
      if (random_.Chance(loss_)) return;
      const int copies = random_.Chance(duplicates_) ? 2 : 1;
      for (int i = 0; i < copies; ++i) {
        const bool is_late = random_.Chance(0.02) && loss_ > 0;
        const Duration delay = is_late ? milliseconds(random_.Between(100, 20'000))
                                       : milliseconds(random_.Between(0, 5));
        flying_.push_back({now_ + delay, order_++, message});
      }
    });
  }

  bool IsCut(NodeId from, NodeId to) const { return cut_off_.count({from, to}) != 0; }

  void Advance(Duration by) {
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
    for (Flying& each : due) {
      RaftNode* const to = Find(each.message.to.node);
      if (to == nullptr || !to->is_up() || IsCut(each.message.from.node, to->key().node)) continue;
      to->raft().Receive(now_, std::move(each.message));
      Drain(*to);
    }
    for (auto& node : nodes_) {
      if (!node->is_up() || node->raft().next_tick() > now_) continue;
      node->raft().Tick(now_);
      Drain(*node);
    }
  }

  RaftNode* Find(NodeId id) {
    for (auto& node : nodes_) {
      if (node->key().node == id) return node.get();
    }
    return nullptr;
  }
  RaftNode& Any() { return *nodes_[random_.Below(nodes_.size())]; }
  RaftNode* leader() {
    RaftNode* found = nullptr;
    for (auto& node : nodes_) {
      if (node->is_up() && node->raft().role() == Role::kLeader &&
          (found == nullptr || node->raft().hard_state().term > found->raft().hard_state().term))
        found = node.get();
    }
    return found;
  }

  void Connect() {
    for (auto& from : nodes_) {
      for (auto& to : nodes_) {
        if (from == to || !from->is_up()) continue;
        from->raft().OnConnected(now_, to->key().node);
        Drain(*from);
      }
    }
  }

  void FetchSnapshot(RaftNode& node) {
    if (!node.is_up() || !node.wanted_snapshot().has_value()) return;
    RaftNode* const from = Find(node.raft().leader().node);
    if (from == nullptr) return;
    node.InstallFrom(now_, from->stored());
    Drain(node);
  }

  void Step() {
    Advance(random_.Chance(0.5) ? milliseconds(random_.Between(0, 3))
                                : milliseconds(random_.Between(0, 100)));
    for (auto& node : nodes_) {
      if (!node->is_up()) continue;
      if (node->HasUnsavedVote() && !random_.Chance(slow_disk_ * 0.9)) node->SaveVote(now_);
      Drain(*node);
      if (node->HasUnsyncedLog() && !random_.Chance(slow_disk_ * 0.9)) node->SyncLog(now_);
      Drain(*node);
      if (random_.Chance(0.2)) {
        const int64_t records = 1 + static_cast<int64_t>(random_.Below(4));
        node->Propose(now_, records, "p" + std::to_string(proposals_++));
        Drain(*node);
      }
      if (random_.Chance(0.01)) node->TakeSnapshot();
      if (random_.Chance(0.2)) FetchSnapshot(*node);
      if (random_.Chance(0.05) && node->raft().Read(now_, proposals_).ok()) {
        reads_[proposals_++] = checks_.committed();
        Drain(*node);
      }
      for (const ReadReady& read : node->TakeReads()) {
        if (read.offset.has_value() && *read.offset < reads_[read.id])
          checks_.Violate("a read is older than what was committed when it was asked");
      }
    }
    if (random_.Chance(faults_)) Fault();
  }

  void Fault() {
    RaftNode& node = Any();
    switch (random_.Below(6)) {
      case 0:
      case 1:
        if (node.is_up()) {
          node.Crash(random_.Below(5), random_.Chance(0.5));
        } else {
          Boot(node);
        }
        return;
      case 2:
        for (auto& other : nodes_) {
          if (random_.Chance(0.7)) cut_off_.insert({node.key().node, other->key().node});
          if (random_.Chance(0.7)) cut_off_.insert({other->key().node, node.key().node});
          if (other->is_up()) {
            other->raft().OnDisconnected(now_, node.key().node);
            Drain(*other);
          }
        }
        return;
      case 3:
        cut_off_.clear();
        Connect();
        return;
      case 4:
        return ChangeVoters();
      case 5:
        if (node.is_up()) {
          (void)node.raft().Transfer(now_, std::nullopt);
          Drain(node);
        }
        return;
    }
  }

  void ChangeVoters() {
    RaftNode* const node = leader();
    if (node == nullptr || node->raft().log().voters() == nullptr) return;
    VoterSet voters = node->raft().log().voters()->voters;
    const VoterKey key = Any().key();
    if (voters.Has(key)) {
      std::erase_if(voters.voters, [&](const Voter& voter) { return voter.key == key; });
    } else {
      voters.voters.push_back({key, {}});
    }
    (void)node->raft().ChangeVoters(now_, std::move(voters));
    Drain(*node);
  }

  Random random_;
  Options options_;
  RaftChecks checks_;
  std::vector<std::unique_ptr<RaftNode>> nodes_;
  MonotonicTime now_{std::chrono::seconds(100)};
  std::vector<Flying> flying_;
  uint64_t order_ = 0;
  uint64_t proposals_ = 1;
  std::map<uint64_t, Offset> reads_;
  std::set<std::pair<NodeId, NodeId>> cut_off_;
  double loss_ = 0, duplicates_ = 0, faults_ = 0, slow_disk_ = 0;
};

// GREGOR_RAFT_SEEDS=FIRST:COUNT runs others.
TEST(RaftChaos, EveryInvariantHoldsAndTheQuorumGetsOnWhenFaultsEnd) {
  uint64_t first = 1, count = 300;
  if (const char* const given = std::getenv("GREGOR_RAFT_SEEDS")) {
    ASSERT_EQ(std::sscanf(given, "%lu:%lu", &first, &count), 2);
  }
  for (uint64_t seed = first; seed < first + count; ++seed) {
    ChaosRun run(seed);
    run.Run(1500);
    const bool settled = run.checks().violations().empty() && run.Settle();
    ASSERT_EQ(run.checks().violations(), std::vector<std::string>()) << "seed " << seed << "\n"
                                                                     << run.Describe();
    ASSERT_TRUE(settled) << "seed " << seed << "\n" << run.Describe();
  }
}

}  // namespace
}  // namespace gregor::raft
