#include "tests/sim/broker_node.h"

#include <utility>

#include "base/check.h"
#include "controller/format.h"

namespace gregor {
namespace {

constexpr char kDataDir[] = "/node";
constexpr NodeId kNode{1};

// `image` with the epochs that the partitions had when they were made: what the broker would see of
// a controller that does not raise them.
ImagePtr WithoutEpochs(const ImagePtr& image) {
  if (image == nullptr) return nullptr;
  MetadataImage changed = *image;
  image->topics.VisitAll([&](const std::string& name, const TopicPtr& topic) {
    auto lowered = std::make_shared<TopicImage>(*topic);
    topic->partitions.VisitAll([&](PartitionIndex index, const PartitionPtr& partition) {
      auto same = std::make_shared<PartitionImage>(*partition);
      same->leader_epoch = LeaderEpoch{0};
      lowered->partitions.Set(index, std::move(same));
    });
    changed.topics.Set(name, std::move(lowered));
  });
  return std::make_shared<const MetadataImage>(std::move(changed));
}

}  // namespace

BrokerNode::BrokerNode(Scheduler& scheduler, SimFileSystem& files, Options options)
    : scheduler_(scheduler),
      files_(files),
      options_(WithAlias(std::move(options))),
      storage_(scheduler, files, options_.storage),
      mutant_files_(files, options_.storage.mutant),
      random_(scheduler.random().Fork()) {
  for (uint8_t& byte : request_id_key_) byte = static_cast<uint8_t>(random_.Below(256));
}

BrokerNode::Options BrokerNode::WithAlias(Options options) {
  options.storage.alias = [this](const TopicIdPartition& partition) { return AliasOf(partition); };
  return options;
}

// The same for all topics of one name.
TopicIdPartition BrokerNode::AliasOf(const TopicIdPartition& partition) const {
  const auto name = names_.find(partition.topic_id);
  if (name == names_.end()) return partition;
  TopicIdPartition alias{{}, partition.partition};
  const uint64_t hash = HashOf(name->second);
  for (size_t i = 0; i < sizeof hash; ++i)
    alias.topic_id.bytes[i] = static_cast<uint8_t>(hash >> (8 * i));
  return alias;
}

Result<void> BrokerNode::Format() {
  ASSIGN_OR_RETURN(const auto identity, ReadIdentity(files_, kDataDir));
  if (identity.has_value()) return {};
  FormatOptions format;
  format.node_id = kNode;
  format.cluster_id = options_.storage.directory.cluster_id;
  format.request_id_key = request_id_key_;
  RETURN_IF_ERROR(FormatDirectory(files_, kDataDir, format, random_));
  return {};
}

void BrokerNode::Start(std::function<void()> serving, std::function<void(Result<void>)> ended) {
  CHECK(process_ == nullptr);
  process_ = std::make_unique<Process>();
  process_->on_serving = std::move(serving);
  process_->on_ended = std::move(ended);
  if (Result<void> formatted = Format(); !formatted.ok()) return EndStart(std::move(formatted));
  if (Result<void> opened = storage_.Start(); !opened.ok()) return EndStart(std::move(opened));
  const bool is_mutant = options_.storage.mutant != Mutant::kNone;
  process_->loop = std::make_unique<SimLoop>(scheduler_, "controller");
  process_->disk = std::make_unique<SimDisk>(
      scheduler_, is_mutant ? static_cast<FileSystem&>(mutant_files_) : files_);
  Disk* disk = process_->disk.get();
  if (is_mutant) {
    process_->mutant_disk = std::make_unique<MutantDisk>(*process_->disk, mutant_files_);
    disk = process_->mutant_disk.get();
  }
  Controller::Options controller;
  controller.loop = process_->loop.get();
  controller.disk = disk;
  controller.data_dir = kDataDir;
  controller.behavior.node_id = kNode;
  controller.behavior.broker_sessions.timeout =
      std::chrono::hours(1000);  // nobody speaks for the brokers
  controller.random = random_.Fork();
  controller.persistent_image = false;
  controller.snapshot_record_bytes = options_.snapshot_record_bytes;
  controller.segment_bytes = options_.metadata_segment_bytes;
  Controller::Open(std::move(controller), [this](Result<std::unique_ptr<Controller>> opened) {
    OnController(std::move(opened));
  });
}

void BrokerNode::EndStart(Result<void> result) {
  if (process_->on_ended) std::exchange(process_->on_ended, nullptr)(std::move(result));
}

void BrokerNode::OnController(Result<std::unique_ptr<Controller>> opened) {
  if (!opened.ok()) return EndStart(std::move(opened).error());
  process_->controller = std::move(*opened);
  Broker::Options broker;
  broker.node_id = kNode;
  RegisterBroker registration;
  registration.broker.id = kNode;
  registration.broker.incarnation = random_.NewUuid<DirectoryId>().bytes;
  for (size_t i = 0; i < storage_.loop_count(); ++i) broker.loops.push_back(&storage_.loop(i));
  for (size_t i = 0; i < storage_.directory_count(); ++i) {
    broker.directories.push_back(&storage_.directory(i));
    registration.broker.directories.push_back(storage_.directory(i).id());
  }
  broker.controller = process_->controller.get();
  broker.static_configs = options_.static_configs;
  broker.retention_check_interval = options_.retention_check_interval;
  process_->broker = std::make_unique<Broker>(std::move(broker));
  process_->controller->Run(std::move(registration), [this](Result<BrokerEpoch> registered) {
    if (!registered.ok()) return EndStart(std::move(registered).error());
    OnRegistered();
  });
}

void BrokerNode::OnRegistered() {
  process_->watch =
      process_->controller->Watch([this](const MetadataDelta& delta) { OnMetadata(delta); });
}

// The first one is where the broker begins to serve.
void BrokerNode::OnMetadata(const MetadataDelta& delta) {
  for (const TopicPtr& topic : delta.created) names_[topic->id] = topic->name;
  if (options_.storage.mutant == Mutant::kLeaderEpochKept) {
    MetadataDelta lowered = delta;
    lowered.before = WithoutEpochs(delta.before);
    lowered.after = WithoutEpochs(delta.after);
    for (auto* topics : {&lowered.created, &lowered.changed}) {
      for (TopicPtr& topic : *topics) topic = lowered.after->Topic(topic->name);
    }
    process_->broker->OnMetadata(lowered);
  } else {
    process_->broker->OnMetadata(delta);
  }
  if (std::exchange(process_->serving, true)) return;
  process_->broker->Start([this] { EndStart({}); });
  process_->on_serving();
}

void BrokerNode::Close(UniqueFunction<void(Result<void>)> done) {
  process_->broker->Close([this, done = std::move(done)](int64_t failures) mutable {
    process_->watch.reset();
    process_->controller->Close([this, failures,
                                 done = std::move(done)](Result<void> closed) mutable {
      if (!closed.ok()) return done(std::move(closed));
      if (failures == 0) return CloseDirectories(0, std::move(done));
      done(Error(Reason::kStorageError, std::to_string(failures) + " logs could not be closed"));
    });
  });
}

void BrokerNode::CloseDirectories(size_t first, UniqueFunction<void(Result<void>)> done) {
  if (first == storage_.directory_count()) return done({});
  LogDirectory& directory = storage_.directory(first);
  directory.disk().Submit(
      Lane::kSync, "node.close_directory", *process_->loop,
      [&directory] { return directory.CloseCleanly(); },
      [this, first, done = std::move(done)](Result<void> closed) mutable {
        if (!closed.ok()) return done(std::move(closed));
        CloseDirectories(first + 1, std::move(done));
      });
}

void BrokerNode::Stop(StopKind stop) {
  if (process_ != nullptr) {
    storage_.Halt();
    if (process_->loop != nullptr) process_->loop->Kill();
    if (process_->disk != nullptr) process_->disk->Kill();
    process_->watch.reset();
    process_->broker.reset();
    process_->controller.reset();
    process_.reset();
  }
  storage_.Stop(stop);
}

std::optional<Error> BrokerNode::failure() const {
  if (process_ == nullptr || process_->controller == nullptr) return std::nullopt;
  if (auto failed = process_->controller->failure(); failed.has_value()) return failed;
  for (size_t i = 0; i < storage_.directory_count(); ++i) {
    if (auto failed = storage_.directory(i).failure(); failed.has_value()) return failed;
  }
  return std::nullopt;
}

void BrokerNode::Hang() {
  if (process_ == nullptr || process_->controller == nullptr) return;
  if (random_.Chance(0.3)) return process_->disk->Hang();
  storage_.disk(random_.Below(storage_.directory_count())).Hang();
}

void BrokerNode::Resume() {
  if (process_ == nullptr || process_->disk == nullptr) return;
  process_->disk->Resume();
  for (size_t i = 0; i < storage_.directory_count(); ++i) storage_.disk(i).Resume();
}

void BrokerNode::SetLatency(const SimDisk::Latency& latency) {
  if (process_ == nullptr || process_->disk == nullptr) return;
  process_->disk->set_latency(latency);
  for (size_t i = 0; i < storage_.directory_count(); ++i) storage_.disk(i).set_latency(latency);
}

}  // namespace gregor
