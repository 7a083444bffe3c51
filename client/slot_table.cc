#include "client/slot_table.h"

#include <algorithm>
#include <set>

#include "base/check.h"
#include "client/admin.h"

namespace gregor {

int32_t SlotTable::Add(Slot slot) {
  const int32_t number = ++last_number_;
  CHECK(numbers_.emplace(Key(slot.topic, slot.partition), number).second);
  slots_.emplace(number, std::move(slot));
  return number;
}

Slot* SlotTable::Find(int32_t number) {
  const auto found = slots_.find(number);
  return found == slots_.end() ? nullptr : &found->second;
}

void SlotTable::Erase(int32_t number) {
  const auto slot = slots_.find(number);
  if (slot == slots_.end()) return;
  numbers_.erase({slot->second.topic, slot->second.partition});
  slots_.erase(slot);
}

void SlotTable::Delay(int32_t number, MonotonicTime until) {
  delayed_.emplace_back(until, slots_.at(number));
  delayed_.back().second.doubted = false;
  delayed_.back().second.node = NodeId{-1};
  Erase(number);
}

std::optional<int32_t> SlotTable::Drop(const Key& key) {
  std::erase_if(delayed_, [&](const auto& delayed) {
    return Key(delayed.second.topic, delayed.second.partition) == key;
  });
  const auto found = numbers_.find(key);
  if (found == numbers_.end()) return std::nullopt;
  const int32_t number = found->second;
  Erase(number);
  return number;
}

void SlotTable::Clear() {
  slots_.clear();
  numbers_.clear();
  delayed_.clear();
}

std::optional<Slot> SlotTable::NextDue(MonotonicTime now) {
  if (delayed_.empty() || delayed_.front().first > now) return std::nullopt;
  Slot slot = std::move(delayed_.front().second);
  delayed_.pop_front();
  return slot;
}

MonotonicTime SlotTable::DueAt() const {
  return delayed_.empty() ? MonotonicTime::max() : delayed_.front().first;
}

bool SlotTable::Has(const Key& key) const {
  return numbers_.count(key) > 0 ||
         std::any_of(delayed_.begin(), delayed_.end(), [&](const auto& delayed) {
           return Key(delayed.second.topic, delayed.second.partition) == key;
         });
}

bool SlotTable::HasTopic(const std::string& topic) const {
  const auto first = numbers_.lower_bound({topic, PartitionIndex{INT32_MIN}});
  return (first != numbers_.end() && first->first.first == topic) ||
         std::any_of(delayed_.begin(), delayed_.end(),
                     [&](const auto& delayed) { return delayed.second.topic == topic; });
}

std::vector<int32_t> SlotTable::NumbersOf(const std::string& topic) const {
  std::vector<int32_t> numbers;
  for (auto it = numbers_.lower_bound({topic, PartitionIndex{INT32_MIN}});
       it != numbers_.end() && it->first.first == topic; ++it)
    numbers.push_back(it->second);
  return numbers;
}

NodeId SlotTable::NodeOf(const Key& key) const {
  const auto found = numbers_.find(key);
  return found == numbers_.end() ? NodeId{-1} : slots_.at(found->second).node;
}

bool SlotTable::HasNode(NodeId node) const {
  return std::any_of(slots_.begin(), slots_.end(),
                     [&](const auto& slot) { return slot.second.node == node; });
}

size_t SlotTable::NodeCount() const {
  std::set<NodeId> nodes;
  for (const auto& [number, slot] : slots_) {
    if (slot.node.value >= 0) nodes.insert(slot.node);
  }
  return nodes.size();
}

std::vector<Slot> SlotTable::TakeDelayed(const std::string& topic) {
  std::vector<Slot> taken;
  std::erase_if(delayed_, [&](auto& delayed) {
    if (delayed.second.topic != topic) return false;
    taken.push_back(delayed.second);
    return true;
  });
  return taken;
}

namespace {

v1::Position PositionOf(const StartPosition& start) {
  v1::Position position;
  switch (start.kind) {
    case StartPosition::Kind::kEarliest:
      return AtAnchor(v1::Position::ANCHOR_EARLIEST);
    case StartPosition::Kind::kLatest:
      return AtAnchor(v1::Position::ANCHOR_LATEST);
    case StartPosition::Kind::kOffset:
      position.set_offset(start.value);
      break;
    case StartPosition::Kind::kTail:
      position.set_tail(start.value);
      break;
    case StartPosition::Kind::kTimestamp:
      position.set_timestamp_ms(start.value);
      break;
  }
  return position;
}

}  // namespace

v1::ListOffsetsRequest::Query QueryOf(const Slot& slot, const std::string* topic_id) {
  v1::ListOffsetsRequest::Query query;
  query.mutable_partition()->set_topic(slot.topic);
  query.mutable_partition()->set_partition(slot.partition.value);
  *query.mutable_position() = PositionOf(slot.start);
  if (topic_id != nullptr) query.set_topic_id(*topic_id);
  return query;
}

v1::FetchStreamRequest AddRequest(int32_t number, const Slot& slot, const std::string& topic_id) {
  v1::FetchStreamRequest request;
  v1::FetchAdd& add = *request.mutable_add();
  add.set_slot(number);
  add.mutable_partition()->set_topic(slot.topic);
  add.mutable_partition()->set_partition(slot.partition.value);
  add.mutable_position()->set_offset(slot.next->value);
  add.set_topic_id(topic_id);
  return request;
}

}  // namespace gregor
