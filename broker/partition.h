#ifndef GREGOR_BROKER_PARTITION_H_
#define GREGOR_BROKER_PARTITION_H_

#include <atomic>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/budget.h"
#include "base/event_loop.h"
#include "broker/api.h"
#include "broker/error_counts.h"
#include "broker/fetch_purgatory.h"
#include "broker/refused_logs.h"
#include "broker/topic_traffic.h"
#include "storage/log.h"
#include "storage/producer_state.h"

namespace gregor {

// What the partitions of a node share. Thread: any; outlives them.
struct PartitionContext {
  NodeId node_id;
  Budget& produce_memory;  // batches from arrival until they are held
  Budget& fetch_memory;    // answers that are on their way
  RefusedLogs& refused;    // of partitions that are offline
  // Producer ids from here on were given to nobody yet, as the metadata have it.
  const std::atomic<int64_t>& producer_ids_end;
  size_t message_bytes_limit;  // whatever a topic's max.message.bytes is
  int64_t producer_id_expiration_ms;
  size_t producer_ids_max;                                         // per partition
  ProducerBudget& producer_budget;                                 // of all of them
  std::function<void(size_t bytes, int64_t records)> on_appended;  // metrics; may be empty
  ErrorCounts& produce_errors;  // writes that a partition refused, or that failed later
  Gauge& waiting_fetches;
  TopicTraffic* traffic;  // nullptr: not counted by topic
};

// One partition's replica on this node: its log, the writes that wait for their acknowledgement,
// the fetches that wait for bytes. Here it always leads, with itself as the only in-sync replica,
// so the high watermark is what this replica holds. Thread: the partition's loop; every `done` runs
// there.
class Partition {
 public:
  // What the metadata say of it; replaced as a whole when they change.
  struct Metadata {
    std::string topic;
    std::shared_ptr<const TopicSettings> settings;
    NodeId leader{-1};
    std::shared_ptr<const BrokerImage> leading_broker;  // nullptr: nobody leads
    LeaderEpoch leader_epoch{-1};
    int32_t replica_count = 1;
    int32_t isr_count = 1;
  };

  // One batch to append, checked here.
  struct Append {
    Bytes batch;
    AckRule ack;
    std::optional<LeaderEpoch> current_leader_epoch;
    Budget::Share memory;     // held until the bytes are written
    bool is_request = false;  // the producer id stands for a request_id (broker/request_id.h)
    AbandonFlag abandoned;
    std::optional<RecordBatch> checked = {};  // instead of `batch`: what Check() gave
  };

  Partition(EventLoop& loop, const PartitionContext& context, TopicIdPartition id,
            Metadata metadata);
  ~Partition();

  // Opens the log in `directory`; calls made meanwhile wait. A failure stays: every call then fails
  // with it. Where only open files are missing it is tried again every second. Once.
  void Open(LogDirectory& directory);
  // The partition cannot be served, for a reason outside of its log (no such directory). Instead of
  // Open().
  void SetOffline(Error error);
  // Runs `task` once the log is open or has failed to.
  void WhenOpen(Task task);

  void SetMetadata(Metadata metadata);
  const Metadata& metadata() const { return metadata_; }
  const TopicIdPartition& id() const { return id_; }

  // Whether such a batch may be appended; fails as CheckProducedBatch().
  Result<RecordBatch> Check(Bytes batch) const;
  void Produce(Append append, BrokerApi::Done<Produced> done);
  void Read(Fetch request, BrokerApi::Done<Fetched> done);
  void FindOffset(OffsetQuery query, BrokerApi::Done<FoundOffset> done);
  Result<EpochEnd> FindEpochEnd(LeaderEpoch epoch, std::optional<LeaderEpoch> current_leader_epoch);
  void DeleteRecords(Offset before, BrokerApi::Done<Offset> done);
  // The content of the request that `id` stands for, where the log remembers it (request_id.h).
  std::optional<Sequence> ContentOf(ProducerId id) const;
  void ApplyRetention();

  // Answers what waits, and closes the log. The partition is not used afterwards, except that it
  // may still be removed before it is open.
  void Close(UniqueFunction<void(Result<void>)> done);
  // Its topic was deleted: answers what waits, and takes folder and mark away, also where the log
  // could not be opened. The partition is not used afterwards. REQUIRES: not closed.
  void Remove(UniqueFunction<void(Result<void>)> done);

  bool is_open() const { return log_ != nullptr; }
  // Why it cannot be served, if so.
  std::optional<Error> failure() const;
  uint64_t size_bytes() const { return log_ == nullptr ? 0 : log_->size_bytes(); }
  Offset high_watermark() const { return high_watermark_; }

 private:
  enum class State { kNew, kOpening, kOpen, kOffline, kClosing, kRemoved };
  // Seen by callbacks of the log that come after the partition has gone.
  struct Life {
    bool alive = true;
    bool removed = false;  // its topic was deleted
  };
  struct PendingAck {
    Offset end;        // answered once the high watermark is here
    size_t bytes = 0;  // appended; 0 for a duplicate
    Produced produced;
    bool wants_receipt = false;
    Budget::Share memory;
    BrokerApi::Done<Produced> done;
  };
  using WaitingFetch = FetchPurgatory::Waiting;
  // How long somebody waits for an answer.
  struct Patience {
    MonotonicTime until;
    std::shared_ptr<const std::atomic<bool>> cancelled;  // nullptr: cannot be
  };
  using Located = UniqueFunction<void(Result<TimedOffset>)>;
  // A search by time that waits for memory.
  struct WaitingSearch {
    Task resume;
    TimerId timer;
  };

  // What a call is answered whose partition has gone.
  static Error Ended(const Life& life);
  // Fails with what every call fails with: offline, gone, not the leader, epoch too old or unknown.
  Result<void> CheckServing(std::optional<LeaderEpoch> current_leader_epoch) const;
  Error AtThis(Error error) const;
  // `error` with the leader's name and address.
  Error Hinted(Error error) const;
  Result<void> CheckAcks(const AckRule& ack) const;
  // Whether the batch is a retry: then what to answer.
  Result<std::optional<Produced>> FindDuplicate(const Append& append, const BatchHeader& header);
  Result<Produced> AppendToLog(RecordBatch batch);  // stamps it first
  // All of Produce() that can be refused. Without `done`.
  Result<PendingAck> CheckAndAppend(Append& append);
  Produced Describe(Offset base, int32_t record_count) const;
  void Acknowledge(PendingAck pending, const AckRule& ack);
  // What this replica holds at this moment of a batch that ends at `end`.
  Receipt ReceiptNow(Offset end) const;

  void OpenLog();
  void OnNotOpened(Error error);
  void OnOpened(std::unique_ptr<Log> log);
  void OnProgress();
  void ForgetDone();
  // Answers all that wait. Gives back what their writes still hold.
  std::vector<PendingAck> FailPending(const Error& error);
  ProduceRules RulesNow() const;
  Error WithName(Error error) const;

  std::optional<EpochEnd> FindDivergence(const Fetch& request) const;
  void Locate(const Position& position, Patience patience, Located done);
  // For a position by time.
  void Search(const Position& position, Patience patience, Located done);
  void SearchLater(const Position& position, Patience patience, Located done);
  void ResumeSearch(std::list<WaitingSearch>::iterator search);
  // All at once: they see that the partition is served no more.
  void ResumeSearches();
  void ReadAt(WaitingFetch fetch, bool may_wait);
  // `limit`: where the read had to stop.
  void OnRead(WaitingFetch fetch, bool may_wait, Budget::Share memory, Offset limit,
              Result<LogRead> read);
  void FailRead(WaitingFetch fetch, Error error);
  bool MayWait(const Patience& patience) const;
  FetchPurgatory& Purgatory();
  Fetched DescribeFetch(Offset from) const;

  EventLoop& loop_;
  const PartitionContext& context_;
  const TopicIdPartition id_;
  Metadata metadata_;
  const std::shared_ptr<TopicCounts> traffic_;  // nullptr: not counted
  State state_ = State::kNew;
  bool ending_ = false;                // it is being closed or removed
  bool reopening_ = false;             // its log is being opened once more, while calls are refused
  LogDirectory* directory_ = nullptr;  // null where it was set offline without one
  std::unique_ptr<Log> log_;
  std::optional<Error> offline_;
  std::vector<Task> when_open_;
  Offset high_watermark_{0};
  // Writes that wait, oldest first, from acks_done_ on.
  std::vector<PendingAck> acks_;
  size_t acks_done_ = 0;
  std::unique_ptr<FetchPurgatory> purgatory_;  // while something waits or waited lately
  std::list<WaitingSearch> searches_;
  std::shared_ptr<Life> life_ = std::make_shared<Life>();
};

}  // namespace gregor

#endif  // GREGOR_BROKER_PARTITION_H_
