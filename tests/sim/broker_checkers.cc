#include "tests/sim/broker_checkers.h"

#include <algorithm>
#include <charconv>

namespace gregor {
namespace {

// The number that a value of the simulation begins with.
std::optional<uint64_t> NumberOf(std::string_view value) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (error != std::errc() || end == value.data() + value.size() || *end != '/')
    return std::nullopt;
  return number;
}

}  // namespace

void PartitionChecker::OnNeverAppended(uint64_t value) {
  const auto found = values_.find(value);
  if (found == values_.end()) return;
  if (found->second.has_value())
    return Fail("value ", value, " was refused, and is at ", *found->second);
  values_.erase(found);
}

void PartitionChecker::OnEpoch(LeaderEpoch epoch) {
  if (epoch < epoch_) Fail("its leader epoch fell from ", epoch_, " to ", epoch);
  if (epoch <= epoch_before_) Fail("its leader epoch is ", epoch, " as before the node started");
  epoch_ = std::max(epoch_, epoch);
}

void PartitionChecker::SetContent(Offset offset, LeaderEpoch epoch, uint64_t value) {
  const auto sent = values_.find(value);
  if (sent == values_.end()) return Fail("has value ", value, ", which was not sent to it");
  if (sent->second.has_value() && *sent->second != offset)
    return Fail("has value ", value, " at ", *sent->second, " and at ", offset);
  sent->second = offset;
  const auto [place, is_first_place] = places_.emplace(value, index_);
  if (place->second != index_)
    return Fail("has value ", value, ", and so has partition ", place->second);
  const auto [content, is_new] = content_.emplace(offset, value);
  if (content->second != value)
    return Fail("had value ", content->second, " at ", offset, ", and has ", value);
  const auto [known, is_first] = identity_.emplace(std::pair(epoch.value, offset.value), value);
  if (known->second != value)
    Fail("epoch ", epoch, " had value ", known->second, " at ", offset, ", and has ", value);
}

void PartitionChecker::OnAcknowledged(const Produced& produced,
                                      const std::vector<uint64_t>& values) {
  if (!produced.duplicate) OnEpoch(produced.leader_epoch);
  if (produced.record_count != static_cast<int32_t>(values.size()))
    return Fail(values.size(), " records were sent, ", produced.record_count, " acknowledged");
  for (size_t i = 0; i < values.size(); ++i) {
    const Offset offset = produced.base_offset + static_cast<int64_t>(i);
    // A duplicate's epoch is that of its first time, which the answer does not say.
    if (!produced.duplicate) SetContent(offset, produced.leader_epoch, values[i]);
    const auto sent = values_.find(values[i]);
    if (sent == values_.end()) return Fail("acknowledges value ", values[i], ", unknown to it");
    if (sent->second.has_value() && *sent->second != offset)
      return Fail("has value ", values[i], " at ", *sent->second, " and says ", offset);
    sent->second = offset;
    const auto [content, is_new] = content_.emplace(offset, values[i]);
    if (content->second != values[i])
      return Fail("has value ", content->second, " at ", offset, " and says ", values[i]);
  }
  acknowledged_end_ =
      std::max(acknowledged_end_, produced.base_offset + static_cast<int64_t>(values.size()));
}

void PartitionChecker::OnHighWatermark(Offset high_watermark) {
  if (high_watermark < high_watermark_)
    Fail("its high watermark fell from ", high_watermark_, " to ", high_watermark);
  high_watermark_ = std::max(high_watermark_, high_watermark);
}

void PartitionChecker::OnFound(Offset log_start, Offset high_watermark, Offset acknowledged) {
  if (log_start < log_start_min_)
    Fail("begins at ", log_start, ", and deleted up to ", log_start_min_);
  if (log_start > log_start_max_ && !retention_)
    Fail("begins at ", log_start, ", and nobody deleted so much");
  log_start_max_ = std::max(log_start_max_, log_start);
  OnHighWatermark(high_watermark);
  if (high_watermark < acknowledged)
    Fail("acknowledged up to ", acknowledged, ", its high watermark is ", high_watermark);
}

void PartitionChecker::OnFetched(Offset from, Offset acknowledged, const Fetched& fetched) {
  OnEpoch(fetched.leader_epoch);
  OnFound(fetched.log_start, fetched.high_watermark, acknowledged);
  Offset next = from;
  for (size_t at = 0; at < fetched.batches.size();) {
    const Bytes rest = fetched.batches.Sub(at, fetched.batches.size() - at);
    const auto header = PeekHeader(rest, rest.size());
    if (!header.ok()) return Fail("served at ", from, " what is no batch: ", header.error());
    const auto batch = CheckBatch(rest.Sub(0, header->size()));
    if (!batch.ok()) return Fail("served a damaged batch at ", from, ": ", batch.error());
    auto reader = RecordReader::Open(*batch, 1 << 20);
    if (!reader.ok()) return Fail("served a batch without records: ", reader.error());
    for (auto record = reader->Next();; record = reader->Next()) {
      if (!record.ok()) return Fail("served a damaged record: ", record.error());
      if (!record->has_value()) break;
      const auto value = NumberOf((*record)->value.value_or(""));
      if (!value.has_value()) return Fail("served a value that nobody sent, at ", next);
      SetContent((*record)->offset, header->leader_epoch, *value);
      if ((*record)->offset < from) continue;
      if ((*record)->offset != next)
        return Fail("offset ", next, " is missing before ", (*record)->offset);
      next = next + 1;
    }
    at += header->size();
  }
  if (next > fetched.high_watermark) Fail("served ", next, ", above the high watermark");
  if (fetched.next_offset != next) Fail("goes on at ", fetched.next_offset, " after ", next);
  if (next == from && from < acknowledged && from >= fetched.log_start)
    Fail("nothing at ", from, ", and acknowledged up to ", acknowledged);
}

void PartitionChecker::OnDelete(Offset before) {
  log_start_max_ = std::max(log_start_max_, before);
}

void PartitionChecker::OnDeleted(Offset log_start) {
  log_start_min_ = std::max(log_start_min_, log_start);
}

void PartitionChecker::OnOutOfOrder(const Error& error) {
  if (!may_have_lost_) Fail("a producer is out of order, and nothing was lost: ", error);
}

void PartitionChecker::OnStopped(StopKind stop) {
  epoch_before_ = std::max(epoch_before_, epoch_);
  if (stop != StopKind::kPowerLoss || synced_) return;
  may_have_lost_ = true;
  content_.clear();
  for (auto& [value, place] : values_) {
    if (place.has_value()) places_.erase(value);
    place.reset();
  }
  acknowledged_end_ = high_watermark_ = Offset{0};
}

void TopicsChecker::OnCreated(const std::string& name, const TopicImage& topic) {
  Topic& known = topics_[name];
  if (topic.partition_count() != known.other_partitions)
    verdict_.Fail(name, " was created with ", topic.partition_count(), " partitions, not ",
                  known.other_partitions);
  if (std::find(deleted_.begin(), deleted_.end(), topic.id) != deleted_.end())
    verdict_.Fail(name, " has the id of a deleted topic");
  known.id = topic.id;
  OnDone(name);
}

void TopicsChecker::OnDeleted(const std::string& name) {
  Topic& known = topics_[name];
  if (known.id.has_value()) deleted_.push_back(*known.id);
  known = Topic();
}

void TopicsChecker::OnDone(const std::string& name) {
  Topic& known = topics_[name];
  if (known.other_partitions > 0) known.partitions = known.other_partitions;
  if (known.other_configs.has_value()) known.configs = *known.other_configs;
  OnUndone(name);
}

void TopicsChecker::OnUndone(const std::string& name) {
  Topic& known = topics_[name];
  known.other_id.reset();
  known.may_be_absent = known.in_doubt = false;
  known.other_partitions = 0;
  known.other_configs.reset();
}

void TopicsChecker::Settle(const std::string& name, Topic& topic, const TopicPtr& found) {
  if (found == nullptr) {
    const bool allowed = !topic.id.has_value() || topic.may_be_absent;
    if (!allowed) return verdict_.Fail("topic ", name, " is gone");
    if (topic.id.has_value()) deleted_.push_back(*topic.id);
    topic = Topic();
    return;
  }
  const bool is_new = !topic.id.has_value() && topic.other_id.has_value();
  if (!topic.id.has_value() && !is_new) return verdict_.Fail("topic ", name, " is there again");
  if (topic.id.has_value() && *topic.id != found->id)
    return verdict_.Fail("topic ", name, " has another id");
  const int32_t count = found->partition_count();
  const bool count_fits = (!is_new && count == topic.partitions) ||
                          (topic.other_partitions > 0 && count == topic.other_partitions);
  if (!count_fits)
    return verdict_.Fail("topic ", name, " has ", count, " partitions, not ", topic.partitions);
  const ConfigMap& configs = *found->configs;
  const bool configs_fit = (!is_new && configs == topic.configs) ||
                           (topic.other_configs.has_value() && configs == *topic.other_configs);
  if (!configs_fit) return verdict_.Fail("topic ", name, " has other configs than it was given");
  topic.id = found->id;
  topic.partitions = count;
  topic.configs = configs;
  OnUndone(name);
}

void TopicsChecker::Compare(const MetadataImage& image) {
  for (auto& [name, topic] : topics_) Settle(name, topic, image.Topic(name));
  image.topics.VisitAll([&](const std::string& name, const TopicPtr&) {
    if (!topics_.contains(name)) verdict_.Fail("topic ", name, " was never created");
  });
}

void TopicsChecker::OnProducerId(ProducerId id) {
  if (!producer_ids_.insert(id.value).second) verdict_.Fail("producer id ", id, " was given twice");
}

}  // namespace gregor
