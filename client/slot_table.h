#ifndef GREGOR_CLIENT_SLOT_TABLE_H_
#define GREGOR_CLIENT_SLOT_TABLE_H_

#include <deque>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/types.h"
#include "client/consumer.h"
#include "gregor/v1/fetch.pb.h"

namespace gregor {

// One partition on a fetch stream.
struct Slot {
  std::string topic;
  PartitionIndex partition;
  StartPosition start;
  std::optional<Offset> next;  // where to go on, once that is known
  bool doubted = false;        // the server closed it, and does not know the topic's id
  NodeId node{-1};             // the broker that it is read from, once one is chosen
};

// What a consumer reads, by the numbers of its slots, which are never used again, so that what
// still comes of an old one is known to be old; and what it will read again after a pause. Each
// partition is there once. Thread: its owner's.
class SlotTable {
 public:
  using Key = std::pair<std::string, PartitionIndex>;

  // Gives it a number. REQUIRES: !Has() its partition.
  int32_t Add(Slot slot);
  // nullptr: there is none.
  Slot* Find(int32_t number);
  void Erase(int32_t number);
  // Takes its number away, until `until`. REQUIRES: Find(number).
  void Delay(int32_t number, MonotonicTime until);
  // Takes a partition out, also one that waits; its number, if it had one.
  std::optional<int32_t> Drop(const Key& key);
  void Clear();

  // Takes out one whose pause is over.
  std::optional<Slot> NextDue(MonotonicTime now);
  // When there will be one.
  MonotonicTime DueAt() const;

  // The broker that a partition is read from; -1: none.
  NodeId NodeOf(const Key& key) const;
  // Both also of what waits.
  bool Has(const Key& key) const;
  bool HasTopic(const std::string& topic) const;
  std::vector<int32_t> NumbersOf(const std::string& topic) const;
  // Takes out what waits of a topic.
  std::vector<Slot> TakeDelayed(const std::string& topic);
  // Whether anything is read from the broker.
  bool HasNode(NodeId node) const;
  // How many brokers what does not wait is read from.
  size_t NodeCount() const;
  // What does not wait.
  const std::map<int32_t, Slot>& slots() const { return slots_; }

 private:
  std::map<int32_t, Slot> slots_;
  std::map<Key, int32_t> numbers_;
  int32_t last_number_ = 0;
  std::deque<std::pair<MonotonicTime, Slot>> delayed_;  // earliest first
};

// Asks for the offset that is slot.start, in the topic of that id if it is known.
v1::ListOffsetsRequest::Query QueryOf(const Slot& slot, const std::string* topic_id);
// Adds a slot to a stream. REQUIRES: slot.next.
v1::FetchStreamRequest AddRequest(int32_t number, const Slot& slot, const std::string& topic_id);

}  // namespace gregor

#endif  // GREGOR_CLIENT_SLOT_TABLE_H_
