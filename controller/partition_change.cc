#include "controller/partition_change.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/check.h"
#include "raft/core/mutant.h"

namespace gregor {
namespace {

template <typename Keep>
SharedList<NodeId> Filtered(const SharedList<NodeId>& nodes, Keep keep) {
  std::vector<NodeId> kept;
  kept.reserve(nodes.size());
  for (const NodeId node : nodes) {
    if (keep(node)) kept.push_back(node);
  }
  return kept.size() == nodes.size() ? nodes : SharedList<NodeId>(std::move(kept));
}

bool HadEverything(const PartitionImage& partition, NodeId node) {
  return partition.isr.Contains(node) || partition.eligible.Contains(node);
}

std::optional<DirectoryId> DirectoryOf(const PartitionImage& partition, NodeId node) {
  for (size_t i = 0; i < partition.replicas.size(); ++i) {
    if (partition.replicas[i] == node) return partition.directories[i];
  }
  return std::nullopt;
}

class Changer {
 public:
  Changer(const PartitionImage& before, PartitionWish wish, const LiveBrokers& brokers,
          int32_t min_insync_replicas)
      : before_(before),
        wish_(std::move(wish)),
        after_(wish_.partition),
        brokers_(brokers),
        min_insync_replicas_(static_cast<size_t>(min_insync_replicas)) {}

  PartitionImage Run() {
    after_.isr = Filtered(after_.isr, [&](NodeId node) {
      const bool can_serve =
          brokers_.CanServe(after_, node) || (raft::IsMutant(22) && !before_.isr.Contains(node));
      return after_.replicas.Contains(node) && can_serve && !IsLost(node);
    });
    CompleteReassignment();
    ChooseEligible();
    Elect();
    if (after_.leader.value == -1 && ReadsOn(before_.leader)) KeepReader();
    return after_;
  }

 private:
  // How many replicas have to be in sync for anything to be committed.
  size_t InSyncMin(const SharedList<NodeId>& replicas) const {
    return std::min(min_insync_replicas_, replicas.size());
  }

  // Whether `node` may lack what is committed from here on. Where nobody else has it, what `node`
  // has is all there is: it stays who it was.
  bool IsLost(NodeId node) const {
    const auto directory = DirectoryOf(before_, node);
    const bool is_moved =
        directory.has_value() && !directory->IsZero() && DirectoryOf(after_, node) != directory;
    if (is_moved) return true;
    if (wish_.lost != node || raft::IsMutant(24, 'b')) return false;
    return std::any_of(before_.replicas.begin(), before_.replicas.end(), [&](NodeId other) {
      return other != node && HadEverything(before_, other);
    });
  }

  // KIP-455. Kafka completes with any in-sync replica left; here as many are left as a commit
  // needs, or those that leave would take committed records with them.
  void CompleteReassignment() {
    if (after_.adding.empty() && after_.removing.empty()) return;
    const auto stays = [&](NodeId node) { return !after_.removing.Contains(node); };
    SharedList<NodeId> isr = Filtered(after_.isr, stays);
    SharedList<NodeId> replicas = Filtered(after_.replicas, stays);
    const bool all_came = std::all_of(after_.adding.begin(), after_.adding.end(),
                                      [&](NodeId node) { return isr.Contains(node); });
    if (!all_came || isr.size() < InSyncMin(replicas) || after_.recovering) return;
    std::vector<DirectoryId> directories;
    for (const NodeId node : replicas) directories.push_back(*DirectoryOf(after_, node));
    after_.isr = std::move(isr);
    after_.replicas = std::move(replicas);
    after_.directories = std::move(directories);
    after_.adding = {};
    after_.removing = {};
  }

  // KIP-966: with fewer in sync than a commit needs, those who have left have everything still.
  void ChooseEligible() {
    after_.eligible = {};
    if (after_.isr.size() >= InSyncMin(after_.replicas) && !raft::IsMutant(24)) return;
    after_.eligible = Filtered(after_.replicas, [&](NodeId node) {
      return HadEverything(before_, node) && !after_.isr.Contains(node) && !IsLost(node);
    });
  }

  void Elect() {
    const NodeId preferred = after_.replicas.front();
    const bool may_prefer = IsInSync(preferred) && !brokers_.IsDrained(preferred);
    if (wish_.election == Election::kPreferred && may_prefer) {
      after_.leader = preferred;
      return;
    }
    const NodeId in_sync = Choose(after_.replicas, [&](NodeId node) { return IsInSync(node); });
    // A drained one goes on where nobody else could.
    const bool goes_on = IsInSync(after_.leader) &&
                         (!brokers_.IsDrained(after_.leader) || brokers_.IsDrained(in_sync));
    if (goes_on) return;
    after_.leader = in_sync;
    if (!after_.isr.empty()) return;
    const auto can_serve = [&](NodeId node) { return brokers_.CanServe(after_, node); };
    if (const NodeId node = Choose(after_.eligible, can_serve); node.value != -1) {
      BeginWith(node);
      return ChooseEligible();
    }
    const bool may_lose = wish_.election == Election::kUnclean || raft::IsMutant(30);
    const NodeId any = may_lose ? Choose(after_.replicas, can_serve) : NodeId{-1};
    if (any.value == -1) return;
    BeginWith(any);
    after_.recovering = true;
    // What they have is from here on another history.
    after_.eligible = {};
  }

  // Whether `leader`, which cannot serve, can at least be read where it is.
  bool ReadsOn(NodeId leader) const {
    const BrokerImage* const broker = brokers_.Find(leader);
    return broker != nullptr && broker->IsActive() && !wish_.leader_restarts &&
           after_.replicas.Contains(leader) && !IsLost(leader);
  }

  // New replicas can get from it what it has.
  void KeepReader() {
    BeginWith(before_.leader);
    after_.recovering = before_.recovering;
    ChooseEligible();
  }

  // The first of those who may that is not drained, or else the first; -1: nobody may.
  template <typename May>
  NodeId Choose(const SharedList<NodeId>& nodes, May may) const {
    NodeId drained{-1};
    for (const NodeId node : nodes) {
      if (!may(node)) continue;
      if (!brokers_.IsDrained(node)) return node;
      if (drained.value == -1) drained = node;
    }
    return drained;
  }

  void BeginWith(NodeId leader) {
    after_.leader = leader;
    after_.isr = {leader};
  }

  bool IsInSync(NodeId node) const { return after_.isr.Contains(node); }

  const PartitionImage& before_;
  const PartitionWish wish_;
  PartitionImage after_;
  const LiveBrokers& brokers_;
  const size_t min_insync_replicas_;
};

void SetNodes(const SharedList<NodeId>& before, const SharedList<NodeId>& after,
              pb::NodeList* (pb::PartitionChangeRecord::*list)(),
              pb::PartitionChangeRecord& record) {
  if (before == after) return;
  pb::NodeList& nodes = *(record.*list)();
  for (const NodeId node : after) nodes.add_nodes(node.value);
}

}  // namespace

const BrokerImage* LiveBrokers::Find(NodeId node) const {
  return changed_ != nullptr && changed_->id == node ? changed_ : image_.Broker(node);
}

bool LiveBrokers::CanServe(const PartitionImage& partition, NodeId node) const {
  const BrokerImage* const broker = Find(node);
  if (broker == nullptr || !broker->IsActive()) return false;
  const auto directory = DirectoryOf(partition, node);
  return directory.has_value() && broker->HasDirectory(*directory);
}

bool LiveBrokers::IsDrained(NodeId node) const {
  const BrokerImage* const broker = Find(node);
  return broker != nullptr && broker->drained;
}

PartitionImage ChangePartition(const PartitionImage& before, PartitionWish wish,
                               const LiveBrokers& brokers, int32_t min_insync_replicas) {
  CHECK_EQ(wish.partition.directories.size(), wish.partition.replicas.size());
  return Changer(before, std::move(wish), brokers, min_insync_replicas).Run();
}

std::optional<pb::MetadataRecord> MakePartitionChange(const TopicId& topic,
                                                      const PartitionImage& before,
                                                      const PartitionImage& after) {
  if (before == after) return std::nullopt;
  pb::MetadataRecord record;
  auto& change = *record.mutable_partition_change();
  change.set_topic_id(ToBytes(topic.bytes));
  change.set_partition(before.index.value);
  const bool has_gone = std::any_of(before.replicas.begin(), before.replicas.end(),
                                    [&](NodeId node) { return !after.replicas.Contains(node); });
  if (before.leader != after.leader || has_gone) change.set_leader(after.leader.value);
  using Record = pb::PartitionChangeRecord;
  SetNodes(before.isr, after.isr, &Record::mutable_isr, change);
  SetNodes(before.eligible, after.eligible, &Record::mutable_eligible, change);
  SetNodes(before.adding, after.adding, &Record::mutable_adding, change);
  SetNodes(before.removing, after.removing, &Record::mutable_removing, change);
  if (before.recovering != after.recovering) change.set_recovering(after.recovering);
  const bool is_moved =
      before.replicas != after.replicas || before.directories != after.directories;
  if (is_moved) {
    for (const NodeId node : after.replicas) change.add_replicas(node.value);
    for (const DirectoryId& id : after.directories) change.add_directories(ToBytes(id.bytes));
  }
  return record;
}

}  // namespace gregor
