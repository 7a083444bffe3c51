#ifndef GREGOR_TESTS_BROKER_GRPC_CONTROL_FAKE_H_
#define GREGOR_TESTS_BROKER_GRPC_CONTROL_FAKE_H_

#include <algorithm>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/thread_annotations.h"
#include "broker/api.h"

namespace gregor {

// A broker whose metadata a test sets, and whose controller answers what the test says; it notes
// what it was asked. Thread: any.
class FakeBroker : public BrokerApi, public ControllerApi {
 public:
  template <typename T>
  using Done = UniqueFunction<void(Result<T>)>;

  FakeBroker() {
    auto image = std::make_shared<MetadataImage>();
    image->version = Offset{1};
    image->cluster_id.bytes = {1, 2, 3};
    image->request_id_key = {9, 8, 7};
    image->feature_level = 1;
    BrokerImage self;
    self.id = NodeId{1};
    self.version = "0.1.0";
    self.rack = "a";
    self.listeners["grpc"] = {"127.0.0.1", 9094};
    self.listeners["http"] = {"0.0.0.0", 9095};
    self.directories.resize(1);
    image->brokers.Set(self.id, std::make_shared<const BrokerImage>(self));
    image_ = std::move(image);
  }

  // --- what tests do ---

  static PartitionPtr MakePartition(int32_t index, int32_t leader = 1, int32_t epoch = 5) {
    auto partition = std::make_shared<PartitionImage>();
    partition->index = PartitionIndex{index};
    partition->replicas = {NodeId{1}};
    partition->directories = {DirectoryId{}};
    partition->isr = {NodeId{1}};
    partition->leader = NodeId{leader};
    partition->leader_epoch = LeaderEpoch{epoch};
    return partition;
  }
  TopicPtr MakeTopic(const std::string& name, int32_t partitions) {
    auto topic = std::make_shared<TopicImage>();
    topic->name = name;
    topic->id.bytes[0] = 0x77;
    const uint64_t id = ++ids_;
    for (int i = 0; i < 8; ++i)
      topic->id.bytes[static_cast<size_t>(15 - i)] = static_cast<uint8_t>(id >> (8 * i));
    topic->configs = std::make_shared<const ConfigMap>();
    for (int32_t i = 0; i < partitions; ++i)
      topic->partitions.Set(PartitionIndex{i}, MakePartition(i));
    return topic;
  }
  // Replaces a topic of the same name.
  TopicPtr AddTopic(const std::string& name, int32_t partitions) {
    TopicPtr topic = MakeTopic(name, partitions);
    Change([&](MetadataImage& image, MetadataDelta& delta) {
      if (TopicPtr old = image.Topic(name)) delta.deleted.push_back(std::move(old));
      image.topics.Set(name, topic);
      image.topic_names.Set(topic->id, name);
      delta.created.push_back(topic);
    });
    return topic;
  }
  void RemoveTopic(const std::string& name) {
    Change([&](MetadataImage& image, MetadataDelta& delta) {
      delta.deleted.push_back(image.Topic(name));
      image.topic_names.Erase(delta.deleted.back()->id);
      image.topics.Erase(name);
    });
  }
  void SetPartition(const std::string& name, const PartitionPtr& partition) {
    Change([&](MetadataImage& image, MetadataDelta& delta) {
      auto topic = std::make_shared<TopicImage>(*image.Topic(name));
      topic->partitions.Set(partition->index, partition);
      image.topics.Set(name, topic);
      delta.changed.push_back(topic);
    });
  }
  void AddBroker(int32_t id, bool fenced) {
    Change([&](MetadataImage& image, MetadataDelta& delta) {
      BrokerImage broker;
      broker.id = NodeId{id};
      broker.fenced = fenced;
      broker.directories.resize(1);
      broker.feature_level_max = 3;
      image.brokers.Set(broker.id, std::make_shared<const BrokerImage>(broker));
      delta.brokers_changed = true;
    });
  }
  void Change(const std::function<void(MetadataImage&, MetadataDelta&)>& change) {
    MetadataDelta delta;
    delta.before = image();
    auto image = std::make_shared<MetadataImage>(*delta.before);
    change(*image, delta);
    image->version = image->version + 1;
    delta.after = image;
    std::vector<std::shared_ptr<Observer>> observers;
    {
      const MutexLock lock(mutex_);
      image_ = image;
      for (const auto& weak : observers_) {
        if (auto observer = weak.lock()) observers.push_back(std::move(observer));
      }
    }
    for (const auto& observer : observers) (*observer)(delta);
  }
  void ForgetImage() {
    const MutexLock lock(mutex_);
    image_ = nullptr;
  }
  size_t observer_count() {
    const MutexLock lock(mutex_);
    return static_cast<size_t>(std::count_if(observers_.begin(), observers_.end(),
                                             [](const auto& each) { return !each.expired(); }));
  }

  // What the controller was asked, and what it answers.
  std::vector<CreateTopic> creates;
  std::vector<TopicKey> deletes;
  std::vector<AddPartitions> adds;
  std::vector<AlterConfig> alters;
  bool alter_validate_only = false;
  std::vector<ElectLeaders> elections;
  std::vector<ElectedLeader> elected;  // results of ElectLeaders and DrainBroker
  std::vector<ReassignPartitions> reassignments;
  std::vector<DeleteRecords> record_deletes;
  std::vector<SetBrokerFence> fences;
  std::vector<UnregisterBroker> unregisters;
  std::vector<DrainBroker> drains;
  std::vector<UpdateFeatures> updates;
  std::vector<CreateAcls> acl_creates;
  std::vector<DeleteAcls> acl_deletes;
  std::vector<Acl> acls_deleted;  // result of DeleteAcls
  std::vector<UpsertUser> upserts;
  std::vector<DeleteUser> user_deletes;
  std::vector<AlterQuotas> quota_alters;
  std::optional<Error> error;         // of every operation
  std::vector<Result<void>> altered;  // results of Alter(), from the front
  std::vector<LogDirUsage> log_dirs;
  OfflineReplicas offline;
  std::vector<std::string> log_dir_topics;
  Duration timeout{0};  // of the last operation
  bool hold = false;    // answers are kept until Release()
  void Release() {
    for (auto& each : std::exchange(held_, {})) each();
  }

  // --- ControllerApi ---

  void Execute(MetadataOperation operation, const OperationContext& context,
               OperationDone done) override {
    timeout = context.timeout;
    std::visit([&](const auto& each) { Answer(each, std::move(done)); }, operation);
  }

  // --- BrokerApi ---

  void Produce(ProduceBatch, Done<Produced>) override { LOG(FATAL) << "data"; }
  void Produce(ProduceRecords, Done<ProducedRecords>) override { LOG(FATAL) << "data"; }
  void CountRefused(Reason) override { LOG(FATAL) << "data"; }
  void Init(InitProducer, Done<InitializedProducer>) override { LOG(FATAL) << "data"; }
  void Read(Fetch, Done<Fetched>) override { LOG(FATAL) << "data"; }
  void FindOffsets(std::vector<OffsetQuery>,
                   UniqueFunction<void(std::vector<Result<FoundOffset>>)>) override {
    LOG(FATAL) << "data";
  }
  void FindEpochEnd(TopicRef, PartitionIndex, LeaderEpoch, std::optional<LeaderEpoch>,
                    Done<EpochEnd>) override {
    LOG(FATAL) << "data";
  }
  void Delete(std::vector<DeleteRecords> items,
              UniqueFunction<void(std::vector<Result<Offset>>)> done) override {
    record_deletes = items;
    std::vector<Result<Offset>> results;
    for (const auto& item : items) {
      if (image()->Topic(item.topic.name) == nullptr) {
        results.push_back(Error(Reason::kTopicNotFound, "no topic " + item.topic.name));
      } else {
        results.push_back(item.before);
      }
    }
    done(std::move(results));
  }
  ImagePtr image() const override {
    const MutexLock lock(mutex_);
    return image_;
  }
  std::shared_ptr<void> Watch(UniqueFunction<void(const MetadataDelta&)> observer) override {
    auto shared = std::make_shared<Observer>(std::move(observer));
    const MutexLock lock(mutex_);
    observers_.push_back(shared);
    return shared;
  }
  ControllerApi& controller() override { return *this; }
  NodeId node_id() const override { return NodeId{1}; }
  Result<DescribedConfigs> DescribeTopicConfigs(const std::string& topic) const override {
    const TopicPtr found = image()->Topic(topic);
    if (found == nullptr && !topic.empty())
      return Error(Reason::kTopicNotFound, "no topic " + topic);
    DescribedConfigs configs;
    for (const ConfigSpec& spec : TopicConfigSpecs())
      configs.entries.push_back(ResolveTopicConfig(
          spec, found == nullptr ? ConfigMap() : *found->configs, *image(), node_id(), {}));
    return configs;
  }
  Result<DescribedConfigs> DescribeBrokerConfigs(NodeId broker) const override {
    if (broker.value > 1) return Error(Reason::kBrokerIdNotRegistered, "no such broker");
    DescribedConfigs configs;
    for (const ConfigSpec& spec : BrokerConfigSpecs()) {
      configs.entries.push_back(
          {&spec, std::string(spec.default_value), ConfigSource::kClusterDynamic});
    }
    return configs;
  }
  OfflineReplicas offline_replicas() const override { return offline; }
  void DescribeLogDirs(std::vector<std::string> topics,
                       UniqueFunction<void(std::vector<LogDirUsage>)> done) override {
    log_dir_topics = std::move(topics);
    done(log_dirs);
  }
  size_t message_bytes_limit() const override { return 64u << 20; }
  Budget& decode_memory() override { return decode_memory_; }
  const Budget& fetch_memory() const override { return decode_memory_; }

 private:
  using Observer = UniqueFunction<void(const MetadataDelta&)>;

  void Answer(const CreateTopic& operation, OperationDone done) {
    creates.push_back(operation);
    AnswerWith(std::move(done), [this, operation] {
      const auto partitions = operation.assignment.empty()
                                  ? std::max(operation.partitions, 1)
                                  : static_cast<int32_t>(operation.assignment.size());
      if (!operation.validate_only) return AddTopic(operation.name, partitions);
      auto topic = std::make_shared<TopicImage>(*MakeTopic(operation.name, partitions));
      topic->id = TopicId{};
      return TopicPtr(topic);
    });
  }
  void Answer(const DeleteTopic& operation, OperationDone done) {
    deletes.push_back(operation.topic);
    AnswerWith(std::move(done), [] { return std::monostate(); });
  }
  void Answer(const AddPartitions& operation, OperationDone done) {
    adds.push_back(operation);
    AnswerWith(std::move(done),
               [this, operation] { return AddTopic(operation.topic, operation.total_partitions); });
  }
  void Answer(const AlterConfigs& operation, OperationDone done) {
    alters = operation.alterations;
    alter_validate_only = operation.validate_only;
    AnswerWith(std::move(done), [this, size = alters.size()] {
      auto results = std::exchange(altered, {});
      results.resize(size);
      return results;
    });
  }
  void Answer(const SetBrokerFence& operation, OperationDone done) {
    fences.push_back(operation);
    AnswerWith(std::move(done), [] { return std::monostate(); });
  }
  void Answer(const UnregisterBroker& operation, OperationDone done) {
    unregisters.push_back(operation);
    AnswerWith(std::move(done), [] { return std::monostate(); });
  }
  void Answer(const ElectLeaders& operation, OperationDone done) {
    elections.push_back(operation);
    AnswerWith(std::move(done), [this] { return elected; });
  }
  void Answer(const DrainBroker& operation, OperationDone done) {
    drains.push_back(operation);
    AnswerWith(std::move(done), [this] { return elected; });
  }
  // With the results of Alter().
  void Answer(const ReassignPartitions& operation, OperationDone done) {
    reassignments.push_back(operation);
    AnswerWith(std::move(done), [this, size = operation.items.size()] {
      auto results = std::exchange(altered, {});
      results.resize(size);
      return results;
    });
  }
  void Answer(const UpdateFeatures& operation, OperationDone done) {
    updates.push_back(operation);
    AnswerWith(std::move(done), [] { return std::monostate(); });
  }
  void Answer(const CreateAcls& operation, OperationDone done) {
    acl_creates.push_back(operation);
    AnswerWith(std::move(done), [] { return std::monostate(); });
  }
  void Answer(const DeleteAcls& operation, OperationDone done) {
    acl_deletes.push_back(operation);
    AnswerWith(std::move(done), [this] { return acls_deleted; });
  }
  void Answer(const UpsertUser& operation, OperationDone done) {
    upserts.push_back(operation);
    AnswerWith(std::move(done), [] { return std::monostate(); });
  }
  void Answer(const DeleteUser& operation, OperationDone done) {
    user_deletes.push_back(operation);
    AnswerWith(std::move(done), [] { return std::monostate(); });
  }
  void Answer(const AlterQuotas& operation, OperationDone done) {
    quota_alters.push_back(operation);
    AnswerWith(std::move(done), [this, size = operation.alterations.size()] {
      auto results = std::exchange(altered, {});
      results.resize(size);
      return results;
    });
  }
  template <typename Op>
  void Answer(const Op&, OperationDone) {
    LOG(FATAL) << Op::kName << " is no front end's";
  }

  template <typename Make>
  void AnswerWith(OperationDone done, Make make) {
    if (error.has_value()) return done(*error);
    if (!hold) return done(OperationAnswer(make()));
    held_.push_back([done = std::move(done), make]() mutable { done(OperationAnswer(make())); });
  }

  mutable Mutex mutex_;
  ImagePtr image_ TS_GUARDED_BY(mutex_);
  std::vector<std::weak_ptr<Observer>> observers_ TS_GUARDED_BY(mutex_);
  uint64_t ids_ = 0;
  std::deque<Task> held_;
  Budget decode_memory_{256u << 20};
};

}  // namespace gregor

#endif  // GREGOR_TESTS_BROKER_GRPC_CONTROL_FAKE_H_
