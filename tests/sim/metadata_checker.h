#ifndef GREGOR_TESTS_SIM_METADATA_CHECKER_H_
#define GREGOR_TESTS_SIM_METADATA_CHECKER_H_

#include <map>
#include <set>
#include <vector>

#include "controller/image/image.h"
#include "controller/image/operation.h"
#include "raft/core/types.h"
#include "tests/sim/checkers.h"

namespace gregor {

// What must hold of the cluster's metadata, as those see them who ask the controllers and who watch
// the images (numbers of reference scenarios): images of one version are equal, and so are their
// hashes (C1), what is answered is applied, and stays (C7, C11), no broker epoch and no producer id
// is given twice (C6, C10), and brokers are given their time by whoever leads (C12), and no image
// has a part of an operation (C8). One setting is set to ever higher values, so that the latest of
// two is known by its value. Thread: the simulation's.
class MetadataChecker {
 public:
  explicit MetadataChecker(Verdict& verdict) : verdict_(verdict) {}

  void OnImage(NodeId node, const MetadataImage& image);
  // The node's files were given another state: its images are wrong until one is right again.
  void OnAltered(NodeId node) { altered_.insert(node); }
  bool IsAltered(NodeId node) const { return altered_.count(node) != 0; }
  // The node was given a snapshot of which a part was missing: it must not take it (S4).
  void OnCut(NodeId node) { cut_.insert(node); }
  // The node's disk has this snapshot (S3).
  void OnSnapshot(NodeId node, const MetadataImage& image);
  // The node leads `term` from now on, as far as was seen before.
  void OnLeads(Term term, MonotonicTime now) { leads_since_.emplace(term, now); }
  // A broker that said nothing of itself is fenced: not before a controller has led for as long as
  // it waits for brokers.
  void OnChange(const MetadataDelta& delta, MonotonicTime now);
  // The setting is to be `value`, for the whole cluster and for each of `brokers`: in one step
  // (C8).
  void OnAsked(uint64_t value, std::vector<NodeId> brokers) { asked_[value] = std::move(brokers); }
  // The setting was set to `value`, says the node that serves `image`.
  void OnSet(NodeId node, uint64_t value, const MetadataImage& image);
  void OnBrokerEpoch(BrokerEpoch epoch);
  void OnProducerIds(const ProducerIdBlock& block);

  static constexpr char kSetting[] = "log.retention.ms";
  // Of the whole cluster, or of one broker.
  static uint64_t ValueIn(const MetadataImage& image, NodeId broker = NodeId{-1});
  uint64_t answered() const { return answered_; }
  size_t version_count() const { return versions_.size(); }

 private:
  struct Version {
    uint64_t hash = 0;
    uint64_t value = 0;
    uint64_t state_hash = 0;
  };
  void CheckHash(NodeId node, const MetadataImage& image, const Version& known);
  void CheckWhole(NodeId node, const MetadataImage& image);

  Verdict& verdict_;
  std::map<Offset, Version> versions_;
  std::set<NodeId> altered_;
  std::set<NodeId> cut_;
  std::map<uint64_t, std::vector<NodeId>> asked_;
  uint64_t answered_ = 0;  // the highest value
  std::map<Term, MonotonicTime> leads_since_;
  std::set<BrokerEpoch> epochs_;
  std::map<int64_t, int64_t> producer_ids_;  // ends of blocks, by where they begin
};

}  // namespace gregor

#endif  // GREGOR_TESTS_SIM_METADATA_CHECKER_H_
