#ifndef GREGOR_BROKER_API_H_
#define GREGOR_BROKER_API_H_

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/budget.h"
#include "base/clock.h"
#include "base/record_batch.h"
#include "base/result.h"
#include "base/task.h"
#include "base/types.h"
#include "broker/offline_replicas.h"
#include "controller/image/controller_api.h"
#include "controller/image/image.h"
#include "controller/image/topic_configs.h"

namespace gregor {

// What both front ends call (DESIGN D7): Kafka's operations, names and errors as plain structs,
// without any encoding. A front end translates and decides nothing.

// When a write counts as done. "Holds" means synced to disk unless the topic says
// durability=replicated.
enum class Acks : uint8_t {
  kAll,     // every in-sync replica holds it, at least min.insync.replicas of them
  kCount,   // so many replicas hold it, the leader among them
  kLeader,  // the leader holds it
  kNone,    // accepted; failures after that are only counted
};

// A topic by name, by id, or by both, which must agree (kInconsistentTopicId): late requests for a
// deleted topic never reach its successor of the same name (C12).
struct TopicRef {
  std::string name;
  std::optional<TopicId> id;
};

struct AckRule {
  Acks acks = Acks::kAll;
  int32_t count = 0;  // with kCount
  bool receipt = false;
};

// Says when a write must not happen any more because one before it failed: it fails with
// kPriorRequestFailed then. Looked at on the partition's thread right before the append, where
// `done` of a refused write has run by then; so later writes never pass a failed one. One before
// the failed one is appended: it may be on its way still, as some are refused on other threads.
struct AbandonFlag {
  std::shared_ptr<const std::atomic<uint64_t>> first_failed;  // its number; nullptr: always append
  uint64_t number = 0;                                        // of this write

  bool IsSet() const {
    return first_failed != nullptr && first_failed->load(std::memory_order_acquire) < number;
  }
};

// As of the moment in which the write is answered.
struct Receipt {
  std::vector<NodeId> synced;  // replicas that hold the batch synced to disk
  std::vector<NodeId> held;    // ... that hold it, not known to be synced
};

// One RecordBatch v2 for one partition, as the client sent it; stored without decoding.
struct ProduceBatch {
  TopicRef topic;
  PartitionIndex partition;
  Bytes batch;
  AckRule ack;
  std::optional<LeaderEpoch> current_leader_epoch;
  AbandonFlag abandoned;
};

struct Produced {
  PartitionIndex partition;
  Offset base_offset{-1};
  int32_t record_count = 0;
  LeaderEpoch leader_epoch{-1};
  Timestamp log_append_time{-1};  // -1 with CreateTime
  Offset log_start{0};
  bool duplicate = false;  // a retry was recognised; base_offset is that of the original
  std::optional<Receipt> receipt;
};

// Plain records; the broker chooses partitions, encodes one batch per partition, and appends them.
struct ProduceRecords {
  TopicRef topic;
  std::optional<PartitionIndex>
      partition;  // unset: by murmur2 of the key; without key one partition per request
  std::vector<NewRecord> records;     // timestamp -1: stamped on arrival
  std::shared_ptr<const void> owner;  // keeps the records' bytes alive
  AckRule ack;
  Codec codec = Codec::kNone;
  std::string request_id;  // makes retries safe; excludes producer_id; one content per topic
  std::string principal = "User:ANONYMOUS";
  ProducerId producer_id = kNoProducerId;  // with an explicit partition
  ProducerEpoch producer_epoch = kNoProducerEpoch;
  Sequence base_sequence = kNoSequence;
  AbandonFlag abandoned;
};

// Records [first_index, first_index + count) of the request became the batch `produced` (run-length
// list, in index order).
struct ProducedRange {
  int32_t first_index = 0;
  int32_t count = 0;
  Offset base_offset{-1};
  size_t batch = 0;  // index in ProducedRecords::batches
};
struct ProducedRecords {
  std::vector<Produced> batches;
  std::vector<ProducedRange> ranges;
  // When not all were appended: the first error by partition, those first that the request would
  // meet again; `ranges` then has what was appended, now or before.
  std::optional<Error> error;
  // What of a failed request is known: false where nothing was appended and nothing will be.
  bool outcome_unknown = false;
};

struct InitProducer {
  // The session before, if there was one. The new one has another id.
  std::optional<ProducerId> producer_id;
  ProducerEpoch producer_epoch = kNoProducerEpoch;
};
struct InitializedProducer {
  ProducerId producer_id;
  ProducerEpoch producer_epoch;
};

enum class Isolation : uint8_t { kReadCommitted, kReadUncommitted };

// Where to read.
struct Position {
  enum class Kind : uint8_t { kOffset, kTimestamp, kTail, kEarliest, kLatest, kMaxTimestamp };
  Kind kind = Kind::kOffset;
  int64_t value = 0;  // offset, milliseconds since the epoch, or how many records before the end
};

struct Fetch {
  TopicRef topic;
  PartitionIndex partition;
  Position position;
  int32_t bytes_min = 1;
  size_t bytes_max = 1 << 20;
  bool first_batch_may_exceed = false;
  Duration wait_max{0};  // for bytes_min, and for memory to read into; 0: answer at once
  Isolation isolation = Isolation::kReadCommitted;
  std::optional<LeaderEpoch> current_leader_epoch;
  std::optional<LeaderEpoch> last_fetched_epoch;
  // Set to true by the caller when nobody waits any more.
  std::shared_ptr<const std::atomic<bool>> cancelled;
};

struct EpochEnd {
  LeaderEpoch epoch{-1};
  Offset end{-1};
};

struct Fetched {
  Bytes batches;  // whole batches; the first may begin before `from`
  // What they hold of the node's memory for answers, until their last byte is let go. Whoever makes
  // the answer of other bytes splits off what those take; nobody else touches it meanwhile.
  // nullptr: it is not accounted for.
  std::shared_ptr<Budget::Share> memory;
  Offset from{0};         // the position as an offset: records before it are not asked for
  Offset next_offset{0};  // where to go on
  Offset high_watermark{0};
  Offset last_stable_offset{0};
  Offset log_start{0};
  LeaderEpoch leader_epoch{-1};
  std::optional<EpochEnd>
      diverging;  // last_fetched_epoch ended elsewhere here: the reader must truncate
};

struct OffsetQuery {
  TopicRef topic;
  PartitionIndex partition;
  Position position;
  Isolation isolation = Isolation::kReadCommitted;
  std::optional<LeaderEpoch> current_leader_epoch;
  Duration wait_max{0};  // for memory to search by time in; 0: answer at once
};
struct FoundOffset {
  Offset offset{-1};  // -1: no such record (by time)
  Timestamp timestamp{-1};
  LeaderEpoch leader_epoch{-1};
  TopicId topic_id;
};

struct DeleteRecords {
  TopicRef topic;
  PartitionIndex partition;
  Offset before{-1};  // -1: the high watermark
};

struct ReplicaUsage {
  std::string topic;  // empty: stray
  TopicIdPartition id;
  uint64_t size_bytes = 0;
  std::optional<Error> error = {};  // why it is not served, or not written to any more
};
struct LogDirUsage {
  NodeId broker_id{-1};
  DirectoryId id;
  std::string path;
  uint64_t total_bytes = 0;
  uint64_t usable_bytes = 0;
  std::vector<ReplicaUsage> replicas;
  std::optional<Error> error;
};

struct DescribedConfigs {
  std::vector<EffectiveConfig> entries;
};

// Thread: any. Every `done` is called exactly once, on some thread of the node, possibly before the
// call returns, and must not block. Errors every data call can give: kTopicNotFound,
// kPartitionNotFound, kUnknownTopicId, kInconsistentTopicId, kNotLeader, kFencedLeaderEpoch,
// kUnknownLeaderEpoch, kStorageError, kServerDraining.
class BrokerApi {
 public:
  template <typename T>
  using Done = UniqueFunction<void(Result<T>)>;

  virtual ~BrokerApi() = default;

  // Calls for one partition are appended in the order in which they are made from one thread, save
  // those with a request_id, which all partitions of the topic are asked for first. Fails
  // also with kCorruptBatch, kBatchTooLarge, kInvalidRecord, kInvalidTimestamp,
  // kUnsupportedCompression, kInvalidRequiredAcks, kOutOfOrderSequence, kUnknownProducerId,
  // kInvalidProducerEpoch, kNotEnoughReplicas, kQuotaExceeded, kDiskFull, kPriorRequestFailed;
  // nothing was appended then. Where a failed write may yet have happened, the error has the detail
  // outcome=UNKNOWN.
  virtual void Produce(ProduceBatch request, Done<Produced> done) = 0;
  virtual void Produce(ProduceRecords request, Done<ProducedRecords> done) = 0;
  // A front end refused a write by itself: it counts among those that Produce() refuses.
  virtual void CountRefused(Reason reason) = 0;
  // Gives an id that nobody else has or had. Fails with kInvalidArgument where the session before
  // was none of this cluster, and as AllocateProducerIds.
  virtual void Init(InitProducer request, Done<InitializedProducer> done) = 0;

  // Fails also with kOffsetOutOfRange (details log_start_offset, high_watermark), kFetchTooSmall
  // (details needed_bytes), and kQuotaExceeded where there was no memory for the answer within
  // wait_max.
  virtual void Read(Fetch request, Done<Fetched> done) = 0;
  // One result per query, in order. Items fail also with kQuotaExceeded where there was no memory
  // to search by time in within wait_max.
  virtual void FindOffsets(std::vector<OffsetQuery> queries,
                           UniqueFunction<void(std::vector<Result<FoundOffset>>)> done) = 0;
  virtual void FindEpochEnd(TopicRef topic, PartitionIndex partition, LeaderEpoch epoch,
                            std::optional<LeaderEpoch> current_leader_epoch,
                            Done<EpochEnd> done) = 0;
  // The new log start offset of each, in order. Items fail with kPolicyViolation (topic without
  // cleanup.policy=delete), kOffsetOutOfRange.
  virtual void Delete(std::vector<DeleteRecords> items,
                      UniqueFunction<void(std::vector<Result<Offset>>)> done) = 0;

  // Metadata. The image is that of this node; never null once the node is ready.
  virtual ImagePtr image() const = 0;
  // Calls `observer` (on the controller loop) with every later image until the returned handle
  // goes.
  virtual std::shared_ptr<void> Watch(UniqueFunction<void(const MetadataDelta&)> observer) = 0;
  virtual ControllerApi& controller() = 0;
  virtual NodeId node_id() const = 0;
  // Effective configs of a topic, or (empty) of one on which nothing is set. Fails with
  // kTopicNotFound.
  virtual Result<DescribedConfigs> DescribeTopicConfigs(const std::string& topic) const = 0;
  virtual Result<DescribedConfigs> DescribeBrokerConfigs(NodeId broker) const = 0;
  // Those of this node.
  virtual OfflineReplicas offline_replicas() const = 0;
  virtual void DescribeLogDirs(std::vector<std::string> topics,
                               UniqueFunction<void(std::vector<LogDirUsage>)> done) = 0;
  // The largest max.message.bytes that any topic may have: what front ends size their receive
  // limits by.
  virtual size_t message_bytes_limit() const = 0;
  // What front ends that read batches decompress them in: that of the writes, so that what could be
  // written can be read (ADR 0009). Lives as long as the broker.
  virtual Budget& decode_memory() = 0;
  // What answers to fetches hold until they have left. Lives as long as the broker. Thread: any.
  virtual const Budget& fetch_memory() const = 0;
};

}  // namespace gregor

#endif  // GREGOR_BROKER_API_H_
