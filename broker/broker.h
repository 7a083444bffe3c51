#ifndef GREGOR_BROKER_BROKER_H_
#define GREGOR_BROKER_BROKER_H_

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/budget.h"
#include "base/thread_annotations.h"
#include "broker/api.h"
#include "broker/error_counts.h"
#include "broker/log_dirs.h"
#include "broker/producer_ids.h"
#include "broker/request_claims.h"
#include "broker/shard.h"
#include "storage/producer_state.h"

namespace gregor {

// The broker of a node: resolves topics by the node's image, routes each call to its partition's
// loop, and follows the metadata.
class Broker : public BrokerApi {
 public:
  struct Options {
    NodeId node_id{-1};
    std::vector<EventLoop*> loops;  // at least one; a partition belongs to one of them, by its id
    // Open. None: the node keeps no partitions, but answers what any node does, and names leaders.
    std::vector<LogDirectory*> directories;
    std::vector<LogDirs::Failed> failed_directories;
    ControllerApi* controller = nullptr;
    ConfigMap
        static_configs;  // defaults of topic configs from the settings file, by broker config name
    size_t produce_memory_bytes = 256u << 20;  // batches from arrival to acknowledgement
    size_t fetch_memory_bytes = 256u << 20;    // answers from the read until they are sent
    size_t message_bytes_limit = 64u << 20;    // largest max.message.bytes that a topic may have
    int64_t producer_id_expiration_ms = 24 * 3600 * 1000LL;
    size_t producer_ids_max = 100000;  // per partition
    size_t producer_state_bytes = 256u << 20;
    Duration retention_check_interval = std::chrono::minutes(5);
    int opening_max = 32;              // logs recovered at a time per loop
    size_t counted_topics_max = 1000;  // that have counts of their own; 0: nothing is counted
    std::function<void(size_t bytes, int64_t records)> on_appended;  // metrics; any loop
    std::function<void(size_t bytes)> on_fetched;
  };

  explicit Broker(Options options);
  // REQUIRES: the loops run no task of it any more (closed, or the loops are stopped).
  ~Broker() override;

  // The node's image moved on. REQUIRES: called in order, from one thread (the controller loop),
  // and before the controller answers the operation that made it.
  void OnMetadata(const MetadataDelta& delta);
  // Opens the logs whose folders exist; folders that no topic claims are set aside and reported.
  // `done` runs on some loop once all are open or have failed; calls are served before that, each
  // as soon as its log is open. REQUIRES: OnMetadata() was called.
  void Start(Task done);
  // Refuses new calls, answers what waits, closes the logs. `done` gets how many logs could not be
  // closed; runs on some loop.
  void Close(UniqueFunction<void(int64_t)> done);

  const RecoveryProgress& recovery() const { return recovery_; }
  // Partitions of this node that cannot be served, or not be written. Thread: any.
  int64_t CountOffline() const;
  // Folders of no topic in its log directories.
  int64_t stray_folders() const { return log_dirs_.stray_folders(); }
  const Budget& produce_memory() const { return produce_memory_; }
  const Budget& fetch_memory() const override { return fetch_memory_; }
  const ProducerBudget& producer_budget() const { return producer_budget_; }
  // Writes that were refused or failed, one per batch (or per request, where it came to none),
  // those with Acks::kNone among them; and reads.
  const ErrorCounts& produce_errors() const { return produce_errors_; }
  const ErrorCounts& fetch_errors() const { return fetch_errors_; }
  // What came in and went out, by topic; nullptr where that is not counted. Thread: any.
  const TopicTraffic* traffic() const { return traffic_.has_value() ? &*traffic_ : nullptr; }
  // Reads that wait for bytes.
  int64_t waiting_fetches() const { return waiting_fetches_.value(); }

  void Produce(ProduceBatch request, Done<Produced> done) override;
  void Produce(ProduceRecords request, Done<ProducedRecords> done) override;
  void CountRefused(Reason reason) override { produce_errors_.Add(reason); }
  void Init(InitProducer request, Done<InitializedProducer> done) override;
  void Read(Fetch request, Done<Fetched> done) override;
  void FindOffsets(std::vector<OffsetQuery> queries,
                   UniqueFunction<void(std::vector<Result<FoundOffset>>)> done) override;
  void FindEpochEnd(TopicRef topic, PartitionIndex partition, LeaderEpoch epoch,
                    std::optional<LeaderEpoch> current_leader_epoch, Done<EpochEnd> done) override;
  void Delete(std::vector<DeleteRecords> items,
              UniqueFunction<void(std::vector<Result<Offset>>)> done) override;
  ImagePtr image() const override { return std::atomic_load(&image_); }
  std::shared_ptr<void> Watch(UniqueFunction<void(const MetadataDelta&)> observer) override;
  ControllerApi& controller() override { return *options_.controller; }
  NodeId node_id() const override { return options_.node_id; }
  Result<DescribedConfigs> DescribeTopicConfigs(const std::string& topic) const override;
  Result<DescribedConfigs> DescribeBrokerConfigs(NodeId broker) const override;
  OfflineReplicas offline_replicas() const override;
  void DescribeLogDirs(std::vector<std::string> topics,
                       UniqueFunction<void(std::vector<LogDirUsage>)> done) override;
  size_t message_bytes_limit() const override { return options_.message_bytes_limit; }
  Budget& decode_memory() override { return produce_memory_; }

 private:
  // Where a call goes.
  struct Route {
    TopicPtr topic;
    TopicIdPartition id;
    Shard* shard = nullptr;
  };
  struct Scatter;  // of one request's records over partitions

  Result<TopicPtr> Resolve(const TopicRef& ref) const;
  Result<Route> Find(const TopicRef& ref, PartitionIndex partition) const;
  Shard& ShardOf(const TopicIdPartition& id) const;
  Result<Budget::Share> TakeProduceMemory(size_t bytes);
  // Counts the error of a write.
  Error Refused(Error error);
  PartitionIndex KeylessPartition(const TopicImage& topic);
  Result<std::shared_ptr<Scatter>> MakeScatter(ProduceRecords request);
  // Whether the request id may be used: unknown to all partitions of the topic, or known for the
  // same content.
  void CheckRequestId(std::shared_ptr<Scatter> scatter, Done<void> done);
  static Result<void> CheckKnown(const std::vector<KnownRequest>& known, Scatter& scatter);
  void CheckParts(std::shared_ptr<Scatter> scatter, Done<ProducedRecords> done);
  void AppendParts(std::shared_ptr<Scatter> scatter, Done<ProducedRecords> done);
  Result<Route> RouteOf(const Scatter& scatter, size_t part) const;
  std::vector<std::vector<TopicIdPartition>> SortFolders(const MetadataImage& image);
  void SetAside(LogDirectory& directory, const TopicIdPartition& id);
  void AddStrays(const LogDirectory& directory, LogDirUsage& usage) const;
  void ScheduleRetention();
  void RetentionTick(Shard& shard);

  const Options options_;
  Budget produce_memory_;
  Budget fetch_memory_;
  ErrorCounts produce_errors_;
  ErrorCounts fetch_errors_;
  Gauge waiting_fetches_;
  std::optional<TopicTraffic> traffic_;
  RequestClaims request_claims_;  // outlives the calls that the partitions hold
  LogDirs log_dirs_;
  RefusedLogs refused_;
  ProducerBudget producer_budget_;
  std::atomic<int64_t> producer_ids_end_{0};  // of the image
  PartitionContext context_;
  std::vector<std::unique_ptr<Shard>> shards_;
  ProducerIds producer_ids_;
  RecoveryProgress recovery_;
  std::shared_ptr<const MetadataImage> image_;  // std::atomic_load / atomic_store
  std::atomic<bool> draining_{false};
  std::atomic<uint64_t> keyless_requests_{0};
  std::vector<TopicIdPartition> strays_;  // set by Start()

  struct Observer {
    UniqueFunction<void(const MetadataDelta&)> call;
  };
  Mutex observers_mutex_;
  std::vector<std::weak_ptr<Observer>> observers_ TS_GUARDED_BY(observers_mutex_);
};

}  // namespace gregor

#endif  // GREGOR_BROKER_BROKER_H_
