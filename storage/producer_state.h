#ifndef GREGOR_STORAGE_PRODUCER_STATE_H_
#define GREGOR_STORAGE_PRODUCER_STATE_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/record_batch.h"
#include "base/result.h"
#include "base/types.h"

namespace gregor {

// Producer ids from here on stand for request ids: each has one batch, of epoch 0, whose base
// sequence is a hash of its content (docs/formats.md "Request ids").
inline constexpr int64_t kRequestIdRange = int64_t{1} << 62;
constexpr bool IsRequestId(ProducerId id) { return id.value >= kRequestIdRange; }

// What all producer states of a node may remember together. Thread: any; outlives them.
class ProducerBudget {
 public:
  explicit ProducerBudget(size_t bytes_max) : bytes_max_(bytes_max) {}

  size_t used_bytes() const { return used_bytes_.load(std::memory_order_relaxed); }
  // Ids that were forgotten for lack of room, here or in their own partition, and not by time.
  uint64_t evicted_count() const { return evicted_.load(std::memory_order_relaxed); }

 private:
  friend class ProducerState;
  bool is_over() const { return used_bytes() > bytes_max_; }

  const size_t bytes_max_;
  std::atomic<size_t> used_bytes_{0};
  std::atomic<uint64_t> evicted_{0};
};

// What a log remembers of its idempotent producers: per producer id the epoch and the last five
// batches, so that a retry is recognised and a gap refused (KIP-98; rules: docs/formats.md
// "Producer state"). All five are also in the snapshot, so the answer is the same after a restart.
// Bounded in ids and by time; the oldest ids go first, and are counted. Request ids have a table
// and bounds of their own, so that many of them never push out a producer.
// Costs a few words as long as there is no producer; about 200 bytes per producer, 45 per request.
// Thread: its log's.
class ProducerState {
 public:
  struct Options {
    int64_t expiration_ms = 24 * 3600 * 1000LL;
    size_t ids_max = 100000;
    int64_t request_window_ms = 15 * 60 * 1000LL;
    size_t request_ids_max = 100000;
    // Where it is used up, a log that notes another id forgets its oldest one; nullptr: no bound.
    ProducerBudget* budget = nullptr;
  };
  // One remembered batch. Its leader epoch: EpochCache::EpochAt(base_offset).
  struct Batch {
    Sequence first_sequence{-1};
    Sequence last_sequence{-1};
    Offset base_offset{0};
    Offset last_offset{0};
    Timestamp max_timestamp{-1};  // of a request id: when it was noted

    friend bool operator==(const Batch&, const Batch&) = default;
  };

  // How many batches of a producer are remembered: what a client may have in flight.
  static constexpr size_t kBatchesMax = 5;

  explicit ProducerState(Options options);
  ProducerState() : ProducerState(Options()) {}
  ProducerState(ProducerState&&) noexcept;
  ProducerState& operator=(ProducerState&&) noexcept;
  ~ProducerState();

  // Whether a client's batch may be appended: nullopt means append it; a Batch means it is a
  // duplicate of that one. Batches without producer id always pass.
  // Fails with kInvalidProducerEpoch, kOutOfOrderSequence or, of a producer that is not known (any
  // more), kUnknownProducerId (details expected_sequence), and for a request id that has another
  // content with kInvalidArgument.
  Result<std::optional<Batch>> Check(const BatchHeader& header) const;
  // The last remembered batch of `id`, whatever its sequence; a request id has one only.
  std::optional<Batch> LastOf(ProducerId id) const;
  // Notes an appended (or replayed) batch, after its offsets are set; control batches count with
  // their epoch alone. `now`: what expiry counts from (append time).
  void Note(const BatchHeader& header, Timestamp now);
  // Forgets ids whose last batch was noted more than expiration_ms (request ids:
  // request_window_ms) before `now`.
  void Expire(Timestamp now);
  void Clear();

  // Producers and request ids.
  size_t id_count() const;
  size_t memory_bytes() const;

  // Last offsets of all batches that are remembered, in no order. Compaction keeps these batches,
  // be it without records: otherwise a state that is rebuilt from the log would not know them. An
  // old answer is a safe one: it keeps too much.
  std::vector<Offset> RememberedEnds() const;

  // Snapshot up to (excluding) `end`, with checksum; format: docs/formats.md.
  std::string Encode(Offset end) const;
  // Replaces the content, and returns the snapshot's end. Fails with kStorageError on a bad
  // checksum or format; the state is then empty.
  Result<Offset> Decode(std::string_view snapshot);

 private:
  class Producers;
  class Requests;
  Producers& producers();
  Requests& requests();
  void NoteEviction();
  bool IsOverBudget() const;
  // Tells the budget what is remembered now.
  void Charge();
  Result<Offset> DecodeEntries(std::string_view body);

  Options options_;
  size_t charged_bytes_ = 0;              // to the budget
  std::unique_ptr<Producers> producers_;  // null while there is none
  std::unique_ptr<Requests> requests_;    // null while there is none
};

}  // namespace gregor

#endif  // GREGOR_STORAGE_PRODUCER_STATE_H_
