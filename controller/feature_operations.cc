// Operations on the feature level.
#include <algorithm>
#include <string>
#include <vector>

#include "controller/image/feature_needs.h"
#include "controller/operations.h"

namespace gregor {
namespace {

Error Failed(const std::string& what) { return Error(Reason::kFeatureUpdateFailed, what); }

std::string Range(int32_t min, int32_t max) {
  return min == max ? std::to_string(min) : std::to_string(min) + " to " + std::to_string(max);
}

// The nodes in whose way the level is, and why; the first few of many.
class Obstacles {
 public:
  void Add(const std::string& what) {
    if (++count_ <= kShown) text_ += (text_.empty() ? "" : "; ") + what;
  }
  bool empty() const { return count_ == 0; }
  std::string text() const {
    if (count_ <= kShown) return text_;
    return text_ + "; and " + std::to_string(count_ - kShown) + " more";
  }

 private:
  static constexpr size_t kShown = 5;

  size_t count_ = 0;
  std::string text_;
};

Obstacles NodesInTheWay(int32_t level, const PlanContext& context) {
  Obstacles obstacles;
  context.image.brokers.VisitAll([&](NodeId node, const auto& broker) {
    if (broker->SupportsLevel(level)) return;
    obstacles.Add("broker " + std::to_string(node.value) + " supports " +
                  Range(broker->feature_level_min, broker->feature_level_max) +
                  (broker->fenced ? " (it is fenced: unregister it if it has gone for good)" : ""));
  });
  const QuorumStatus quorum = context.quorum ? context.quorum() : QuorumStatus();
  if (quorum.voters.empty()) obstacles.Add("who votes on the metadata is not known yet");
  for (const QuorumMember& voter : quorum.voters) {
    const std::string name = "controller " + std::to_string(voter.key.node.value);
    const int32_t min = voter.feature_level_min, max = voter.feature_level_max;
    if (max == 0) {
      obstacles.Add(name + " is not connected, or does not say what it supports");
    } else if (level < min || level > max) {
      obstacles.Add(name + " supports " + Range(min, max));
    }
  }
  return obstacles;
}

}  // namespace

Result<Planned> Plan(const UpdateFeatures& operation, const PlanContext& context) {
  const int32_t level = operation.level;
  const int32_t before = context.image.feature_level;
  Planned planned;
  planned.answer = [](const MetadataImage&, Offset) { return std::monostate(); };
  if (level < kFeatureLevelMin || level > kFeatureLevel) {
    return Error(Reason::kInvalidArgument, "there is no feature level " + std::to_string(level) +
                                               ": the active controller knows " +
                                               Range(kFeatureLevelMin, kFeatureLevel));
  }
  if (level == before) return planned;
  const Obstacles nodes = NodesInTheWay(level, context);
  if (!nodes.empty()) {
    return Failed("feature level " + std::to_string(level) + " is not supported by every node: " +
                  nodes.text() + ". Start them with a version that supports it, then repeat");
  }
  const std::string needs = level < before ? WhatNeedsMore(context.image, level) : "";
  if (!needs.empty()) {
    return Failed("the feature level cannot be lowered to " + std::to_string(level) +
                  " while the metadata have what needs more: " + needs + ". Remove that first");
  }
  planned.records.emplace_back().mutable_feature_level()->set_level(level);
  return planned;
}

}  // namespace gregor
