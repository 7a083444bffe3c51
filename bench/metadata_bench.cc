// Links: gregor_controller gregor_image gregor_raft_host gregor_storage gregor_proto
// What the metadata cost by partition, and what a node's start waits for: ./dev bench metadata
#include <benchmark/benchmark.h>
#include <malloc.h>
#include <unistd.h>

#include <cstdlib>
#include <future>

#include "controller/controller.h"
#include "controller/format.h"
#include "controller/image/image_store.h"
#include "controller/image/partition_counts.h"
#include "controller/image/replay.h"
#include "controller/image/rows.h"
#include "controller/image/snapshot.h"
#include "controller/operations.h"

namespace gregor {
namespace {

// A node's controller in a folder of its own.
class Node {
 public:
  Node() {
    std::string path = "/tmp/metadata-bench-XXXXXX";
    CHECK(mkdtemp(path.data()) != nullptr);
    folder_ = path;
  }
  ~Node() {
    Stop();
    CHECK(RemoveTree(*files_, folder_).ok());
  }

  void Format() {
    Random random = Random::FromSystem();
    CHECK(FormatDirectory(*files_, folder_ + "/data", {}, random).ok());
  }
  void Start() {
    disk_ = NewThreadDisk(*files_, {.name = "meta", .read_threads = 1, .background_threads = 1});
    loop_ = NewThreadLoop("controller");
    Controller::Options options;
    options.loop = loop_.get();
    options.disk = disk_.get();
    options.data_dir = folder_ + "/data";
    options.behavior.node_id = NodeId{1};
    options.behavior.broker_sessions.timeout = std::chrono::hours(1);  // nobody speaks for it
    options.random = Random::FromSystem();
    auto opened = Controller::OpenAndWait(std::move(options));
    CHECK(opened.ok()) << opened.error();
    controller_ = *std::move(opened);
  }
  void Register() {
    BrokerImage broker;
    broker.id = NodeId{1};
    broker.incarnation = Random::FromSystem().NewUuid<DirectoryId>().bytes;
    broker.directories = {directory_};
    CHECK(Wait<BrokerEpoch>([&](auto done) {
            controller_->Run(RegisterBroker{broker}, std::move(done));
          }).ok());
  }
  void Create(const std::string& name, int32_t partitions) {
    CreateTopic operation;
    operation.name = name;
    operation.partitions = partitions;
    const auto topic =
        Wait<TopicPtr>([&](auto done) { controller_->Run(std::move(operation), std::move(done)); });
    CHECK(topic.ok()) << topic.error();
  }
  void Stop() {
    if (controller_ == nullptr) return;
    CHECK(Wait<void>([&](auto done) { controller_->Close(std::move(done)); }).ok());
    disk_.reset();
    loop_.reset();
    controller_.reset();
  }
  ImagePtr image() { return controller_->image(); }

  template <typename T, typename Call>
  Result<T> Wait(Call call) {
    std::promise<Result<T>> promise;
    call([&](Result<T> result) { promise.set_value(std::move(result)); });
    return promise.get_future().get();
  }

 private:
  std::unique_ptr<FileSystem> files_ = NewPosixFileSystem(1);
  std::string folder_;
  DirectoryId directory_ = Random::FromSystem().NewUuid<DirectoryId>();
  std::unique_ptr<Disk> disk_;
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<Controller> controller_;
};

// From nothing to a registered broker.
void FirstStart(benchmark::State& state) {
  for (auto _ : state) {
    state.PauseTiming();
    auto node = std::make_unique<Node>();
    state.ResumeTiming();
    node->Format();
    node->Start();
    node->Register();
    state.PauseTiming();
    node.reset();
    state.ResumeTiming();
  }
}
BENCHMARK(FirstStart)->Unit(benchmark::kMillisecond)->UseRealTime()->Iterations(10);

void CreateTopics(benchmark::State& state) {
  const auto topics = state.range(0);
  const auto partitions = static_cast<int32_t>(state.range(1));
  Node node;
  node.Format();
  node.Start();
  node.Register();
  int64_t number = 0;
  for (auto _ : state) {
    for (int64_t i = 0; i < topics; ++i) node.Create("t" + std::to_string(++number), partitions);
  }
  state.SetItemsProcessed(state.iterations() * topics * partitions);
}
BENCHMARK(CreateTopics)
    ->Args({1, 1})
    ->Args({1, 1000})
    ->Args({1, 20000})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

// A restart with 20 000 partitions: opening, then raising all epochs.
void Restart(benchmark::State& state) {
  const auto topics = state.range(0);
  Node node;
  node.Format();
  node.Start();
  node.Register();
  for (int64_t i = 0; i < topics; ++i)
    node.Create("t" + std::to_string(i), static_cast<int32_t>(20000 / topics));
  node.Stop();
  for (auto _ : state) {
    node.Start();
    node.Register();
    state.PauseTiming();
    node.Stop();
    state.ResumeTiming();
  }
}
BENCHMARK(Restart)->Arg(1)->Arg(2000)->Unit(benchmark::kMillisecond)->UseRealTime()->Iterations(5);

// Memory of an image, as loaded from a snapshot.
void ImageMemory(benchmark::State& state) {
  const auto topics = state.range(0);
  std::string snapshot;
  {
    Node node;
    node.Format();
    node.Start();
    node.Register();
    for (int64_t i = 0; i < topics; ++i)
      node.Create("topic-number-" + std::to_string(i), static_cast<int32_t>(20000 / topics));
    snapshot = EncodeSnapshot(*node.image());
  }
  size_t bytes = 0;
  for (auto _ : state) {
    const size_t before = mallinfo2().uordblks;
    const ImagePtr image = *DecodeSnapshot(snapshot);
    bytes = mallinfo2().uordblks - before;
  }
  state.counters["bytes_per_partition"] = static_cast<double>(bytes) / 20000;
  state.counters["snapshot_bytes"] = static_cast<double>(snapshot.size());
}
BENCHMARK(ImageMemory)->Arg(1)->Arg(2000)->Unit(benchmark::kMillisecond);

void DiffAfterRestart(benchmark::State& state) {
  Node node;
  node.Format();
  node.Start();
  node.Register();
  node.Create("wide", 20000);
  const ImagePtr before = node.image();
  node.Stop();
  node.Start();
  node.Register();
  const ImagePtr after = node.image();
  for (auto _ : state) benchmark::DoNotOptimize(DiffRows(before.get(), *after));
}
BENCHMARK(DiffAfterRestart)->Unit(benchmark::kMillisecond);

// --- a large cluster: three replicas each on ten brokers ---

constexpr int32_t kBrokers = 10;
constexpr int32_t kReplicas = 3;
constexpr int32_t kPartitionsPerTopic = 1000;

void Apply(const std::vector<pb::MetadataRecord>& records, ImagePtr& image) {
  Replay replay(image);
  Offset offset = image == nullptr ? Offset{0} : image->version;
  for (const auto& record : records) {
    CHECK(replay.Apply(offset, record).ok());
    offset = offset + 1;
  }
  image = replay.Finish({offset, LeaderEpoch{1}, Timestamp{1}}).after;
}

// An image of so many partitions, made as the active controller makes it; the last one is kept.
const ImagePtr& LargeImage(int64_t partitions) {
  static int64_t made = 0;
  static ImagePtr image;
  if (made == partitions) return image;
  image = nullptr;
  Random random(7);
  std::vector<pb::MetadataRecord> first(2);
  first[0].mutable_feature_level()->set_level(kFeatureLevel);
  first[1].mutable_cluster()->set_cluster_id(ToBytes(random.NewUuid<ClusterId>().bytes));
  first[1].mutable_cluster()->set_request_id_key(ToBytes(random.NewUuid<DirectoryId>().bytes));
  for (int32_t node = 1; node <= kBrokers; ++node) {
    BrokerImage broker;
    broker.id = NodeId{node};
    broker.incarnation = random.NewUuid<DirectoryId>().bytes;
    broker.directories = {random.NewUuid<DirectoryId>()};
    broker.rack = "rack-" + std::to_string(node % 3);
    broker.listeners["grpc"] = {"broker-" + std::to_string(node), 9094};
    first.push_back(MakeBrokerRecord(broker, false));
  }
  Apply(first, image);
  const ControllerOptions options;
  BrokerSessions sessions(options.broker_sessions);
  for (int64_t i = 0; i < partitions / kPartitionsPerTopic; ++i) {
    CreateTopic topic;
    topic.name = "topic-number-" + std::to_string(i);
    topic.partitions = kPartitionsPerTopic;
    topic.replication_factor = kReplicas;
    auto planned = Plan(topic, PlanContext{*image, options, random, sessions, MonotonicTime()});
    CHECK(planned.ok()) << planned.error();
    Apply(planned->records, image);
  }
  made = partitions;
  return image;
}

// What a controller or broker of a large cluster holds, and how long it takes to read a snapshot.
void LargeFromSnapshot(benchmark::State& state) {
  const std::string snapshot = EncodeSnapshot(*LargeImage(state.range(0)));
  size_t bytes = 0;
  for (auto _ : state) {
    const size_t before = mallinfo2().uordblks;
    const ImagePtr image = *DecodeSnapshot(snapshot);
    bytes = mallinfo2().uordblks - before;
  }
  state.counters["bytes_per_partition"] =
      static_cast<double>(bytes) / static_cast<double>(state.range(0));
  state.counters["snapshot_bytes"] = static_cast<double>(snapshot.size());
}
BENCHMARK(LargeFromSnapshot)->Arg(200'000)->Arg(1'000'000)->Unit(benchmark::kMillisecond);

// On a background thread.
void LargeToSnapshot(benchmark::State& state) {
  const ImagePtr image = LargeImage(state.range(0));
  for (auto _ : state) benchmark::DoNotOptimize(EncodeSnapshot(*image));
}
BENCHMARK(LargeToSnapshot)->Arg(200'000)->Arg(1'000'000)->Unit(benchmark::kMillisecond);

// A store in a folder of its own.
class StoreFolder {
 public:
  StoreFolder() {
    std::string path = "/tmp/metadata-bench-XXXXXX";
    CHECK(mkdtemp(path.data()) != nullptr);
    folder_ = path;
  }
  ~StoreFolder() { CHECK(RemoveTree(*files_, folder_).ok()); }
  std::unique_ptr<ImageStore> Open() { return NewRocksDbStore(*files_, folder_ + "/image"); }
  std::unique_ptr<ImageStore> OpenNew(const MetadataImage& image) {
    auto store = Open();
    CHECK(store->Load().ok());
    CHECK(store->Write(DiffRows(nullptr, image), PositionOf(image), false).ok());
    return store;
  }

 private:
  std::unique_ptr<FileSystem> files_ = NewPosixFileSystem(1);
  std::string folder_;
};

// A restart from the store.
void LargeFromStore(benchmark::State& state) {
  StoreFolder folder;
  folder.OpenNew(*LargeImage(state.range(0)));
  for (auto _ : state) CHECK(*folder.Open()->Load() != nullptr);
}
BENCHMARK(LargeFromStore)->Arg(200'000)->Arg(1'000'000)->Unit(benchmark::kMillisecond);

// A store that is begun, on a background thread; that it is closed is part of it.
void LargeToStore(benchmark::State& state) {
  const ImagePtr image = LargeImage(state.range(0));
  for (auto _ : state) {
    StoreFolder folder;
    folder.OpenNew(*image);
  }
}
BENCHMARK(LargeToStore)->Arg(200'000)->Arg(1'000'000)->Unit(benchmark::kMillisecond)->UseRealTime();

// What the store of 200 000 partitions gets each second while so many of them change.
void ChangesToStore(benchmark::State& state) {
  ImagePtr image = LargeImage(200'000);
  const auto changes = PlanFence(NodeId{1}, *image, ControllerOptions());
  const auto each = static_cast<ptrdiff_t>(state.range(0));
  StoreFolder folder;
  const auto store = folder.OpenNew(*image);
  auto next = changes.begin();
  for (auto _ : state) {
    state.PauseTiming();
    CHECK(changes.end() - next >= each);
    const ImagePtr before = image;
    Apply({next, next + each}, image);
    next += each;
    state.ResumeTiming();
    CHECK(store->Write(DiffRows(before.get(), *image), PositionOf(*image), false).ok());
  }
}
BENCHMARK(ChangesToStore)
    ->Arg(1)
    ->Arg(100)
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime()
    ->Iterations(300);

// A broker is lost: what the active controller decides, and what every node applies.
void LargeFence(benchmark::State& state) {
  const ImagePtr image = LargeImage(state.range(0));
  const ControllerOptions options;
  size_t records = 0;
  for (auto _ : state) {
    const auto planned = PlanFence(NodeId{1}, *image, options);
    records = planned.size();
    benchmark::DoNotOptimize(planned);
  }
  state.counters["records"] = static_cast<double>(records);
}
BENCHMARK(LargeFence)->Arg(200'000)->Arg(1'000'000)->Unit(benchmark::kMillisecond);

void LargeReplayOfFence(benchmark::State& state) {
  const ImagePtr image = LargeImage(state.range(0));
  const auto planned = PlanFence(NodeId{1}, *image, ControllerOptions());
  for (auto _ : state) {
    ImagePtr after = image;
    Apply(planned, after);
    benchmark::DoNotOptimize(after);
  }
}
BENCHMARK(LargeReplayOfFence)->Arg(200'000)->Arg(1'000'000)->Unit(benchmark::kMillisecond);

// A broker starts again that led a tenth of so many: its epochs rise in one record.
std::vector<pb::MetadataRecord> PlanRestart(const ImagePtr& image) {
  Random random(8);
  const ControllerOptions options;
  BrokerSessions sessions(options.broker_sessions);
  RegisterBroker registration{*image->Broker(NodeId{1})};
  registration.broker.incarnation = random.NewUuid<DirectoryId>().bytes;
  auto planned = Plan(registration, PlanContext{*image, options, random, sessions, {}});
  CHECK(planned.ok()) << planned.error();
  return planned->records;
}

void LargeReplayOfRestart(benchmark::State& state) {
  const ImagePtr image = LargeImage(state.range(0));
  const auto planned = PlanRestart(image);
  for (auto _ : state) {
    ImagePtr after = image;
    Apply(planned, after);
    benchmark::DoNotOptimize(after);
  }
}
BENCHMARK(LargeReplayOfRestart)->Arg(100'000)->Unit(benchmark::kMillisecond);

// What of the above is the state hash: of all, as after reading a snapshot or a store; and of what
// a lost broker, or one that starts again, changes.
void LargeStateHash(benchmark::State& state) {
  const ImagePtr image = LargeImage(state.range(0));
  for (auto _ : state) benchmark::DoNotOptimize(StateHashOf(*image));
}
BENCHMARK(LargeStateHash)->Arg(200'000)->Arg(1'000'000)->Unit(benchmark::kMillisecond);

void MeasureChangedHash(benchmark::State& state, const ImagePtr& image,
                        const std::vector<pb::MetadataRecord>& records) {
  ImagePtr after = image;
  Apply(records, after);
  MetadataImage changed = *after;
  for (auto _ : state) {
    UpdateStateHash(*image, changed);
    benchmark::DoNotOptimize(changed.state_hash);
  }
  CHECK_EQ(changed.state_hash, StateHashOf(*after));
}
void LargeHashOfFence(benchmark::State& state) {
  const ImagePtr image = LargeImage(state.range(0));
  MeasureChangedHash(state, image, PlanFence(NodeId{1}, *image, ControllerOptions()));
}
BENCHMARK(LargeHashOfFence)->Arg(200'000)->Unit(benchmark::kMillisecond);
void LargeHashOfRestart(benchmark::State& state) {
  const ImagePtr image = LargeImage(state.range(0));
  MeasureChangedHash(state, image, PlanRestart(image));
}
BENCHMARK(LargeHashOfRestart)->Arg(100'000)->Unit(benchmark::kMillisecond);

// What metrics and DescribeCluster cost where the image has changed.
void LargeCount(benchmark::State& state) {
  const ImagePtr image = LargeImage(state.range(0));
  for (auto _ : state) benchmark::DoNotOptimize(CountPartitions(*image, {}));
}
BENCHMARK(LargeCount)->Arg(200'000)->Arg(1'000'000)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace gregor
