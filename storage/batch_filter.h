#ifndef GREGOR_STORAGE_BATCH_FILTER_H_
#define GREGOR_STORAGE_BATCH_FILTER_H_

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/record_batch.h"
#include "storage/key_map.h"

namespace gregor {

// What compaction leaves of a batch.
struct FilteredBatch {
  enum class Kind : uint8_t {
    kWhole,      // the batch as it is
    kNothing,    // it may go
    kRewritten,  // fewer records or none, or a delete horizon; at the same offsets
  };
  Kind kind = Kind::kWhole;
  BatchHeader header = {};  // of kRewritten
  std::string bytes = {};   // ... with the header
};

// Decides which records of a batch compaction keeps: the latest of each key, and every record that
// the key map does not reach. Tombstones are kept until their batch's delete horizon, which is set
// the first time that one is kept (KIP-534). Control batches and transactional ones are kept as
// they are, so is what cannot be read. Thread: its owner's.
class BatchFilter {
 public:
  struct Rules {
    Offset map_end{0};  // the map has the latest offsets of all keys before it
    Timestamp now{0};
    int64_t delete_retention_ms = 0;
    size_t batch_bytes_max = 1u << 30;
  };

  // REQUIRES: `map` outlives it. Batches are given in the order of their offsets.
  BatchFilter(const KeyMap& map, const Rules& rules) : map_(map), rules_(rules) {}

  // `is_needed`: something depends on the batch being there, be it without records. The result's
  // bytes do not refer to `bytes`.
  FilteredBatch Apply(const BatchHeader& header, std::span<const uint8_t> bytes, bool is_needed);

  // Batches so far whose records could not be read, so all of them were kept.
  uint64_t unreadable_count() const { return unreadable_; }

 private:
  bool IsKept(const BatchHeader& header, const RecordView& record, bool* wants_horizon) const;
  FilteredBatch Unreadable(const BatchHeader& header, const Error& error);
  FilteredBatch Rewrite(const BatchHeader& header, const std::vector<RecordView>& records,
                        bool set_horizon);

  const KeyMap& map_;
  const Rules rules_;
  uint64_t unreadable_ = 0;
};

}  // namespace gregor

#endif  // GREGOR_STORAGE_BATCH_FILTER_H_
