#ifndef GREGOR_STORAGE_PRODUCER_STATE_H_
#define GREGOR_STORAGE_PRODUCER_STATE_H_

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/record_batch.h"
#include "base/result.h"
#include "base/types.h"

namespace gregor {

// What a log remembers of its idempotent producers: per producer id the epoch and the last five batches, so that a retry is
// recognised and a gap refused (KIP-98; rules: docs/formats.md "Producer state"). All five are also in the snapshot, so the
// answer is the same after a restart. Bounded in ids and by time; the oldest ids go first, and are counted.
// Thread: its log's.
class ProducerState {
 public:
  struct Options {
    int64_t expiration_ms = 24 * 3600 * 1000LL;
    size_t ids_max = 100000;
  };
  // One remembered batch.
  struct Batch {
    Sequence first_sequence{-1};
    Sequence last_sequence{-1};
    Offset base_offset{0};
    Offset last_offset{0};
    Timestamp max_timestamp{-1};
    LeaderEpoch leader_epoch{-1};
    uint32_t crc = 0;  // of the batch as sent: tells a retry from other content under the same id
  };

  explicit ProducerState(Options options);

  // Whether a client's batch may be appended: nullopt means append it; a Batch means it is a duplicate of that one.
  // Fails with kInvalidProducerEpoch, kOutOfOrderSequence. Batches without producer id always pass.
  Result<std::optional<Batch>> Check(const BatchHeader& header) const;
  // The remembered batch of `id` with these sequences, of any epoch; for request ids.
  std::optional<Batch> Find(ProducerId id, Sequence first) const;
  // The last remembered batch of `id`; for request ids, which have one.
  std::optional<Batch> LastOf(ProducerId id) const;
  // Notes an appended (or replayed) batch, after its offsets are set. `now`: what expiry counts from (append time).
  void Note(const BatchHeader& header, Timestamp now);
  // Forgets ids whose last batch was noted more than expiration_ms before `now`.
  void Expire(Timestamp now);
  void Clear();

  size_t id_count() const;
  uint64_t evicted_count() const;
  size_t memory_bytes() const;

  // Snapshot up to (excluding) `end`, with checksum; format: docs/formats.md.
  std::string Encode(Offset end) const;
  // Replaces the content. Fails with kStorageError on a bad checksum or format; the state is then empty.
  Result<Offset> Decode(std::string_view snapshot);

 private:
  struct Entry {
    ProducerEpoch epoch{-1};
    Timestamp noted{0};
    uint8_t count = 0;
    std::array<Batch, 5> batches;  // oldest first
    uint64_t age = 0;              // key in by_age_
  };
  Options options_;
  std::unordered_map<int64_t, Entry> entries_;
  std::map<uint64_t, int64_t> by_age_;
  uint64_t next_age_ = 0;
  uint64_t evicted_ = 0;
};

}  // namespace gregor

#endif  // GREGOR_STORAGE_PRODUCER_STATE_H_
