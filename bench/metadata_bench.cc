// Links: gregor_controller gregor_image gregor_raft_host gregor_storage gregor_proto
// What the metadata cost by partition, and what a node's start waits for: ./dev bench metadata
#include <benchmark/benchmark.h>
#include <malloc.h>
#include <unistd.h>

#include <cstdlib>
#include <future>

#include "controller/controller.h"
#include "controller/format.h"
#include "controller/image/rows.h"
#include "controller/image/snapshot.h"

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
            controller_->Register({broker}, std::move(done));
          }).ok());
  }
  void Create(const std::string& name, int32_t partitions) {
    CreateTopic operation;
    operation.name = name;
    operation.partitions = partitions;
    const auto topic = Wait<TopicPtr>(
        [&](auto done) { controller_->Create(std::move(operation), std::move(done)); });
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
  node.Register();
  const ImagePtr after = node.image();
  for (auto _ : state) benchmark::DoNotOptimize(DiffRows(before.get(), *after));
}
BENCHMARK(DiffAfterRestart)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace gregor
