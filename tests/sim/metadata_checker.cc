#include "tests/sim/metadata_checker.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "controller/broker_sessions.h"
#include "controller/image/records.h"
#include "controller/image/rows.h"
#include "tests/sim/trace.h"

namespace gregor {
namespace {

uint64_t HashOfRows(const MetadataImage& image) {
  uint64_t hash = 0;
  const auto visited = VisitRows(image, [&](std::string_view key, const std::string& record) {
    hash = (hash * 31 + HashOf(key)) * 31 + HashOf(record);
    return Result<void>();
  });
  CHECK(visited.ok()) << visited.error();
  return hash;
}

}  // namespace

uint64_t MetadataChecker::ValueIn(const MetadataImage& image, NodeId broker) {
  const auto* const configs = image.broker_configs.Find(broker);
  if (configs == nullptr) return 0;
  const auto setting = (*configs)->find(kSetting);
  return setting == (*configs)->end() ? 0 : std::stoull(setting->second);
}

void MetadataChecker::OnImage(NodeId node, const MetadataImage& image) {
  const Version version{HashOfRows(image), ValueIn(image), image.state_hash};
  if (IsAltered(node)) {
    const auto right = versions_.find(image.version);
    if (right == versions_.end() || right->second.hash != version.hash) return;
    altered_.erase(node);
  }
  const auto [known, is_new] = versions_.emplace(image.version, version);
  if (known->second.hash != version.hash) {
    const bool is_cut = cut_.count(node) != 0;
    return verdict_.Fail(is_cut ? "S4" : "C1", ": node ", node,
                         is_cut ? ", which was given a part of a snapshot," : "",
                         " has another image at version ", image.version);
  }
  if (!is_new) cut_.erase(node);  // what it has is right
  if (is_new || known->second.state_hash != version.state_hash)
    CheckHash(node, image, known->second);
  const bool fell = known != versions_.begin() && std::prev(known)->second.value > version.value;
  if (fell)
    verdict_.Fail("C7: at version ", image.version, " of node ", node, " the setting is ",
                  version.value, " and was ", std::prev(known)->second.value);
  CheckWhole(node, image);
}

void MetadataChecker::OnSnapshot(NodeId node, const MetadataImage& image) {
  // One that was made while its node began may be of a version that nobody has seen.
  const auto known = versions_.find(image.version);
  if (known != versions_.end() && known->second.hash != HashOfRows(image))
    verdict_.Fail("S3: a snapshot of node ", node, " has another state at version ", image.version);
}

void MetadataChecker::CheckHash(NodeId node, const MetadataImage& image, const Version& known) {
  const uint64_t hash = StateHashOf(image);
  if (image.state_hash != hash || known.state_hash != hash)
    verdict_.Fail("C1: at version ", image.version, " of node ", node, " the state's hash is ",
                  StateHashText(image.state_hash), ", and should be ", StateHashText(hash));
}

void MetadataChecker::CheckWhole(NodeId node, const MetadataImage& image) {
  const uint64_t value = ValueIn(image);
  const auto asked = asked_.find(value);
  if (asked == asked_.end()) return;
  for (const NodeId broker : asked->second) {
    if (ValueIn(image, broker) != value)
      return verdict_.Fail("C8: at version ", image.version, " of node ", node, " the setting is ",
                           value, ", and ", ValueIn(image, broker), " for broker ", broker,
                           ", though both were set in one step");
  }
}

void MetadataChecker::OnChange(const MetadataDelta& delta, MonotonicTime now) {
  if (delta.before == nullptr || !delta.brokers_changed) return;
  const auto since = leads_since_.find(Term{delta.after->last_term.value});
  const bool is_early =
      since == leads_since_.end() || now - since->second < BrokerSessions::Options().timeout;
  if (!is_early) return;
  delta.after->brokers.VisitAll([&](NodeId id, const auto& broker) {
    const BrokerImage* const before = delta.before->Broker(id);
    if (broker->fenced && before != nullptr && !before->fenced && before->epoch == broker->epoch)
      verdict_.Fail("C12: broker ", id, " is fenced by a controller that only begins to lead");
  });
}

void MetadataChecker::OnSet(NodeId node, uint64_t value, const MetadataImage& image) {
  if (ValueIn(image) < value)
    verdict_.Fail("C7: node ", node, " answers that the setting is ", value, ", and serves ",
                  ValueIn(image));
  answered_ = std::max(answered_, value);
}

void MetadataChecker::OnBrokerEpoch(BrokerEpoch epoch) {
  if (!epochs_.insert(epoch).second) verdict_.Fail("C6: broker epoch ", epoch, " is given twice");
}

void MetadataChecker::OnProducerIds(const ProducerIdBlock& block) {
  const auto after = producer_ids_.lower_bound(block.first);
  const bool overlaps =
      (after != producer_ids_.end() && after->first < block.first + block.count) ||
      (after != producer_ids_.begin() && std::prev(after)->second > block.first);
  if (overlaps) verdict_.Fail("C10: producer ids from ", block.first, " on are given twice");
  producer_ids_[block.first] = block.first + block.count;
}

}  // namespace gregor
