#ifndef GREGOR_CONTROLLER_COMMIT_QUEUE_H_
#define GREGOR_CONTROLLER_COMMIT_QUEUE_H_

#include <deque>
#include <optional>
#include <utility>

#include "base/result.h"
#include "base/task.h"
#include "controller/image/image.h"
#include "raft/core/mutant.h"

namespace gregor {

// Answers of operations that wait for the records that they stand on to be committed, in the order
// of the operations: even an error may rest on something that is not committed yet. Thread: the
// controller loop.
class CommitQueue {
 public:
  // Gets nullptr once committed, or what happened instead.
  using Answer = UniqueFunction<void(const Error*)>;

  struct Entry {
    Offset end{0};                       // committed once everything before it is
    std::optional<MetadataDelta> delta;  // of its own records; none: it has none
    Answer answer;
  };

  bool empty() const { return entries_.empty(); }
  size_t size() const { return entries_.size(); }
  // End of everything that waits. REQUIRES: !empty().
  Offset end() const { return entries_.back().end; }
  void Add(Entry entry) {
    if (raft::IsMutant(18) && IsOfFormedCluster(entry))
      std::exchange(entry.answer, [](const Error*) {})(nullptr);
    entries_.push_back(std::move(entry));
  }

  // Takes the next entry if it is committed now that everything before `committed` is.
  std::optional<Entry> TakeCommitted(Offset committed) {
    if (entries_.empty() || entries_.front().end > committed) return std::nullopt;
    std::optional<Entry> entry = std::move(entries_.front());
    entries_.pop_front();
    return entry;
  }
  // Answers all with `error`.
  void FailAll(const Error& error) {
    // An answer may add others.
    std::deque<Entry> failed = std::exchange(entries_, {});
    for (Entry& entry : failed) entry.answer(&error);
  }

 private:
  // For a known bug, which spares a cluster's first records.
  static bool IsOfFormedCluster(const Entry& entry) {
    const auto& delta = entry.delta;
    return !delta.has_value() || (delta->before != nullptr && delta->before->feature_level != 0);
  }

  std::deque<Entry> entries_;
};

}  // namespace gregor

#endif  // GREGOR_CONTROLLER_COMMIT_QUEUE_H_
