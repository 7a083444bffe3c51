#ifndef GREGOR_TESTS_BROKER_BROKER_HARNESS_H_
#define GREGOR_TESTS_BROKER_BROKER_HARNESS_H_

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "broker/broker.h"
#include "tests/sim/scheduler.h"
#include "tests/sim/sim_disk.h"
#include "tests/sim/sim_file_system.h"

namespace gregor {

// Hands out producer ids; everything else is not asked of it.
class ProducerIdController final : public ControllerApi {
 public:
  void Execute(MetadataOperation operation, const OperationContext&, OperationDone done) override {
    const auto* const ids = std::get_if<AllocateProducerIds>(&operation);
    if (ids == nullptr || fails) return done(Error(Reason::kNotController, "no controller"));
    done(OperationAnswer(ProducerIdBlock{std::exchange(next, next + ids->count), ids->count}));
  }

  int64_t next = 1000;
  bool fails = false;
};

// A broker of two loops on a simulated disk, with metadata made by hand. It can be killed and
// started again; each start raises the leader epochs, as the controller would.
class BrokerHarness {
 public:
  static constexpr NodeId kNode{1};

  explicit BrokerHarness(uint64_t seed = 1) : scheduler_(seed), files_(seed, &scheduler_.trace()) {
    cluster_ = random_.NewUuid<ClusterId>();
    MetadataImage image;
    image.cluster_id = cluster_;
    image.request_id_key.fill(7);
    image.next_producer_id = 5000;
    image_ = std::make_shared<const MetadataImage>(std::move(image));
  }
  ~BrokerHarness() { Kill(); }

  // Before Start().
  size_t produce_memory_bytes = 64u << 20;
  size_t fetch_memory_bytes = 64u << 20;
  uint64_t reserve_bytes = 0;
  int opening_max = 32;
  size_t producer_ids_max = 100000;
  size_t counted_topics_max = 1000;

  void Start() {
    BeginStart();
    ASSERT_TRUE(scheduler_.RunUntil([&] { return started_; }, std::chrono::minutes(1)));
  }
  // Without waiting until all logs are open.
  void BeginStart() {
    started_ = false;
    process_ = std::make_unique<Process>(scheduler_, files_);
    LogDirectory::Options directory;
    directory.path = "/data";
    directory.cluster_id = cluster_;
    directory.node_id = kNode;
    directory.reserve_bytes = reserve_bytes;
    auto opened = LogDirectory::Open(process_->disk, process_->loops[0], directory);
    ASSERT_TRUE(opened.ok()) << opened.error();
    process_->directory = std::move(*opened);
    directory_id_ = process_->directory->id();
    Broker::Options options;
    options.node_id = kNode;
    options.loops = {&process_->loops[0], &process_->loops[1]};
    options.directories = {process_->directory.get()};
    options.controller = &controller;
    options.produce_memory_bytes = produce_memory_bytes;
    options.fetch_memory_bytes = fetch_memory_bytes;
    options.opening_max = opening_max;
    options.producer_ids_max = producer_ids_max;
    options.counted_topics_max = counted_topics_max;
    process_->broker = std::make_unique<Broker>(std::move(options));
    RaiseEpochs();
    broker().Start([this] { started_ = true; });
  }
  void Kill() {
    if (process_ == nullptr) return;
    process_->Stop();
    process_.reset();
    files_.KillProcess();
  }
  void LosePower() {
    process_->Stop();
    process_.reset();
    files_.LosePower();
  }
  // How many logs could not be closed.
  int64_t Close() {
    std::optional<int64_t> failures;
    broker().Close([&](int64_t count) { failures = count; });
    EXPECT_TRUE(scheduler_.RunUntil([&] { return failures.has_value(); }, std::chrono::minutes(1)));
    return failures.value_or(-1);
  }

  TopicId CreateTopic(const std::string& name, int partitions, ConfigMap configs = {}) {
    auto topic = std::make_shared<TopicImage>();
    topic->name = name;
    topic->id = random_.NewUuid<TopicId>();
    topic->configs = std::make_shared<const ConfigMap>(std::move(configs));
    for (int i = 0; i < partitions; ++i) {
      auto partition = std::make_shared<PartitionImage>();
      partition->index = PartitionIndex{i};
      partition->replicas = partition->isr = {kNode};
      partition->directories = {directory_id_};
      partition->leader = kNode;
      topic->partitions.Set(PartitionIndex{i}, std::move(partition));
    }
    MetadataDelta delta = Next();
    delta.created = {topic};
    Publish(std::move(delta), [&](MetadataImage& image) {
      image.topics.Set(name, topic);
      image.topic_names.Set(topic->id, name);
    });
    return topic->id;
  }
  void DeleteTopic(const std::string& name) {
    const TopicPtr topic = image_->Topic(name);
    MetadataDelta delta = Next();
    delta.deleted = {topic};
    Publish(std::move(delta), [&](MetadataImage& image) {
      image.topics.Erase(name);
      image.topic_names.Erase(topic->id);
    });
  }
  void SetConfigs(const std::string& name, ConfigMap configs) {
    auto topic = std::make_shared<TopicImage>(*image_->Topic(name));
    topic->configs = std::make_shared<const ConfigMap>(std::move(configs));
    MetadataDelta delta = Next();
    delta.changed = {topic};
    Publish(std::move(delta), [&](MetadataImage& image) { image.topics.Set(name, topic); });
  }
  // Its partitions are to have so many replicas, all of them in sync; the first one is here.
  void SetReplicaCount(const std::string& name, int count) {
    std::vector<NodeId> nodes;
    for (int i = 0; i < count; ++i) nodes.push_back(NodeId{kNode.value + i});
    auto topic = std::make_shared<TopicImage>(*image_->Topic(name));
    for (int i = 0; i < topic->partition_count(); ++i) {
      auto partition = std::make_shared<PartitionImage>(*topic->Partition(PartitionIndex{i}));
      partition->replicas = partition->isr = nodes;
      partition->directories = std::vector<DirectoryId>(nodes.size(), directory_id_);
      topic->partitions.Set(PartitionIndex{i}, std::move(partition));
    }
    MetadataDelta delta = Next();
    delta.changed = {topic};
    Publish(std::move(delta), [&](MetadataImage& image) { image.topics.Set(name, topic); });
  }
  // Another broker leads the topic's partitions, with this one as a follower.
  void SetLeader(const std::string& name, NodeId leader) {
    auto topic = std::make_shared<TopicImage>(*image_->Topic(name));
    for (int i = 0; i < topic->partition_count(); ++i) {
      auto partition = std::make_shared<PartitionImage>(*topic->Partition(PartitionIndex{i}));
      std::vector<NodeId> replicas = {kNode};
      if (leader != kNode) replicas.push_back(leader);
      partition->directories = std::vector<DirectoryId>(replicas.size(), directory_id_);
      partition->replicas = partition->isr = std::move(replicas);
      partition->leader = leader;
      partition->leader_epoch = LeaderEpoch{partition->leader_epoch.value + 1};
      topic->partitions.Set(PartitionIndex{i}, std::move(partition));
    }
    MetadataDelta delta = Next();
    delta.changed = {topic};
    Publish(std::move(delta), [&](MetadataImage& image) { image.topics.Set(name, topic); });
  }
  // A broker registers, with what it listens on.
  void SetBroker(NodeId node, const Endpoint& grpc) {
    auto broker = std::make_shared<BrokerImage>();
    broker->id = node;
    broker->listeners["grpc"] = grpc;
    MetadataDelta delta = Next();
    delta.brokers_changed = true;
    Publish(std::move(delta), [&](MetadataImage& image) { image.brokers.Set(node, broker); });
  }
  // More partitions, `count` in all.
  void AddPartitions(const std::string& name, int count) {
    auto topic = std::make_shared<TopicImage>(*image_->Topic(name));
    for (int i = topic->partition_count(); i < count; ++i) {
      auto partition = std::make_shared<PartitionImage>(*topic->Partition(PartitionIndex{0}));
      partition->index = PartitionIndex{i};
      topic->partitions.Set(PartitionIndex{i}, std::move(partition));
    }
    MetadataDelta delta = Next();
    delta.changed = {topic};
    Publish(std::move(delta), [&](MetadataImage& image) { image.topics.Set(name, topic); });
  }
  // Blocks of producer ids up to `end` were handed out.
  void GiveProducerIds(int64_t end) {
    Publish(Next(), [&](MetadataImage& image) { image.next_producer_id = end; });
  }
  // Metadata that were lost: the broker is told nothing of it.
  void ForgetMetadata() {
    MetadataImage image = *image_;
    image.topics = {};
    image.topic_names = {};
    image_ = std::make_shared<const MetadataImage>(std::move(image));
  }

  // Calls `start(done)` and runs until done(Result<T>).
  template <typename T, typename Start>
  Result<T> Await(Start start, Duration limit = std::chrono::minutes(1)) {
    auto result = std::make_shared<std::optional<Result<T>>>();
    start([result](Result<T> got) {
      EXPECT_FALSE(result->has_value());
      result->emplace(std::move(got));
    });
    if (!scheduler_.RunUntil([&] { return result->has_value(); }, limit))
      return Error(Reason::kCommitTimedOut, "no answer");
    return std::move(**result);
  }

  static RecordBatch Batch(std::vector<std::string> values, BatchBuilder::Options options = {}) {
    BatchBuilder builder(options);
    for (const std::string& value : values) {
      NewRecord record;
      record.value = value;
      record.timestamp = Timestamp{1000};
      builder.Add(record);
    }
    return builder.Build();
  }
  ProduceBatch Request(const std::string& topic, int partition, RecordBatch batch) const {
    ProduceBatch request;
    request.topic.name = topic;
    request.partition = PartitionIndex{partition};
    request.batch = std::move(batch.bytes);
    return request;
  }
  Result<Produced> Produce(ProduceBatch request) {
    return Await<Produced>([&](BrokerApi::Done<Produced> done) {
      broker().Produce(std::move(request), std::move(done));
    });
  }
  Result<Produced> Produce(const std::string& topic, int partition,
                           std::vector<std::string> values) {
    return Produce(Request(topic, partition, Batch(std::move(values))));
  }
  Result<ProducedRecords> Produce(ProduceRecords request) {
    return Await<ProducedRecords>([&](BrokerApi::Done<ProducedRecords> done) {
      broker().Produce(std::move(request), std::move(done));
    });
  }
  Fetch FetchFrom(const std::string& topic, int partition, int64_t offset) const {
    Fetch fetch;
    fetch.topic.name = topic;
    fetch.partition = PartitionIndex{partition};
    fetch.position = {Position::Kind::kOffset, offset};
    return fetch;
  }
  Result<Fetched> Read(Fetch fetch) {
    return Await<Fetched>(
        [&](BrokerApi::Done<Fetched> done) { broker().Read(std::move(fetch), std::move(done)); });
  }
  // Values from `offset` on; fails the test where reading does.
  std::vector<std::string> Values(const std::string& topic, int partition, int64_t offset = 0) {
    std::vector<std::string> values;
    while (true) {
      auto fetched = Read(FetchFrom(topic, partition, offset));
      EXPECT_TRUE(fetched.ok()) << fetched.error();
      if (!fetched.ok() || fetched->batches.empty()) return values;
      AddValues(fetched->batches, Offset{offset}, values);
      offset = fetched->next_offset.value;
    }
  }
  static void AddValues(const Bytes& batches, Offset from, std::vector<std::string>& values) {
    for (size_t at = 0; at < batches.size();) {
      const Bytes rest = batches.Sub(at, batches.size() - at);
      const auto header = PeekHeader(rest, rest.size());
      ASSERT_TRUE(header.ok());
      const auto batch = CheckBatch(rest.Sub(0, header->size()));
      ASSERT_TRUE(batch.ok());
      auto reader = RecordReader::Open(*batch, 1 << 20);
      for (auto next = reader->Next(); next.ok() && next->has_value(); next = reader->Next()) {
        if ((*next)->offset >= from) values.emplace_back((*next)->value.value_or("null"));
      }
      at += header->size();
    }
  }

  bool is_started() const { return started_; }
  Broker& broker() { return *process_->broker; }
  LogDirectory& directory() { return *process_->directory; }
  SimFileSystem& files() { return files_; }
  Scheduler& scheduler() { return scheduler_; }
  SimDisk& disk() { return process_->disk; }

  ProducerIdController controller;

 private:
  struct Process {
    Process(Scheduler& scheduler, SimFileSystem& files)
        : loops{SimLoop(scheduler, "loop-0"), SimLoop(scheduler, "loop-1")},
          disk(scheduler, files) {}
    void Stop() {
      disk.Kill();
      for (SimLoop& loop : loops) loop.Kill();
    }
    SimLoop loops[2];
    SimDisk disk;
    std::unique_ptr<LogDirectory> directory;
    std::unique_ptr<Broker> broker;
  };

  MetadataDelta Next() const {
    MetadataDelta delta;
    delta.before = image_;
    return delta;
  }
  template <typename Change>
  void Publish(MetadataDelta delta, Change change) {
    MetadataImage image = *image_;
    change(image);
    image.version = image.version + 1;
    image_ = std::make_shared<const MetadataImage>(std::move(image));
    delta.after = image_;
    if (process_ != nullptr) broker().OnMetadata(delta);
  }
  // What a start of the node does to the partitions that it leads; the broker's first image.
  void RaiseEpochs() {
    MetadataImage image = *image_;
    MetadataDelta delta;
    image_->topics.VisitAll([&](const std::string& name, const TopicPtr& topic) {
      auto raised = std::make_shared<TopicImage>(*topic);
      topic->partitions.VisitAll(
          [&](PartitionIndex index, const std::shared_ptr<const PartitionImage>& partition) {
            auto next = std::make_shared<PartitionImage>(*partition);
            next->leader_epoch = LeaderEpoch{next->leader_epoch.value + 1};
            raised->partitions.Set(index, std::move(next));
          });
      image.topics.Set(name, raised);
      delta.created.push_back(raised);
    });
    image_ = std::make_shared<const MetadataImage>(std::move(image));
    delta.after = image_;
    broker().OnMetadata(delta);
  }

  Scheduler scheduler_;
  SimFileSystem files_;
  Random random_{42};
  ClusterId cluster_;
  DirectoryId directory_id_;
  ImagePtr image_;
  bool started_ = false;
  std::unique_ptr<Process> process_;
};

}  // namespace gregor

#endif  // GREGOR_TESTS_BROKER_BROKER_HARNESS_H_
