#ifndef GREGOR_STORAGE_LOG_CONFIG_H_
#define GREGOR_STORAGE_LOG_CONFIG_H_

#include <cstdint>

#include "base/record_batch.h"

namespace gregor {

// When an append counts as done on this replica (DESIGN D3).
enum class Durability : uint8_t {
  kSynced,      // on the disk
  kReplicated,  // in the page cache; the unsynced tail is bounded by a background flush
};

// What a log needs to know of its topic's configs. Names, units and defaults are those of Kafka's
// topic configs (docs/formats.md lists them all); kNever stands for "no limit".
// What a node may be set to take as the largest max.message.bytes of its topics.
constexpr size_t kMessageBytesLimitMax = 256u << 20;

struct LogConfig {
  static constexpr int64_t kNever = INT64_MAX;

  int64_t segment_bytes = 1 << 30;
  int64_t segment_ms = 7 * 24 * 3600 * 1000LL;
  int64_t segment_jitter_ms = 0;
  int64_t segment_index_bytes = 10 << 20;
  int64_t index_interval_bytes = 4096;
  int64_t retention_ms = 7 * 24 * 3600 * 1000LL;  // kNever: keep for ever
  int64_t retention_bytes = kNever;
  int64_t file_delete_delay_ms = 60000;
  bool cleanup_delete = true;
  bool cleanup_compact = false;
  int64_t delete_retention_ms = 24 * 3600 * 1000LL;
  double min_cleanable_dirty_ratio = 0.5;
  int64_t min_compaction_lag_ms = 0;
  int64_t max_compaction_lag_ms = kNever;
  bool preallocate = false;
  Durability durability = Durability::kSynced;
  // With kReplicated: a sync starts once so many records, or so much time, are not synced. kNever:
  // the node's background flush alone bounds the tail (settings flush_bytes_max, flush_interval).
  // With kSynced they have no effect.
  int64_t flush_messages = kNever;
  int64_t flush_ms = kNever;

  friend bool operator==(const LogConfig&, const LogConfig&) = default;
};

}  // namespace gregor

#endif  // GREGOR_STORAGE_LOG_CONFIG_H_
