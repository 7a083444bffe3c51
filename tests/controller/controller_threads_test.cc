// The controller on real threads, on the machine's disk, with RocksDB.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <future>
#include <set>
#include <thread>

#include "controller/controller.h"
#include "controller/format.h"
#include "controller/image/rows.h"
#include "storage/disk.h"

namespace gregor {
namespace {

class ControllerThreads : public testing::Test {
 protected:
  ControllerThreads() {
    std::string path = testing::TempDir() + "/controller-XXXXXX";
    CHECK(mkdtemp(path.data()) != nullptr);
    folder_ = path;
    Random random(1);
    CHECK(FormatDirectory(*files_, data_dir(), {}, random).ok());
  }
  ~ControllerThreads() override {
    Stop();
    CHECK(RemoveTree(*files_, folder_).ok());
  }

  std::string data_dir() const { return folder_ + "/data"; }

  void Start() {
    disk_ = NewThreadDisk(*files_, {.name = "meta", .read_threads = 1, .background_threads = 1});
    loop_ = NewThreadLoop("controller");
    Controller::Options options;
    options.loop = loop_.get();
    options.disk = disk_.get();
    options.data_dir = data_dir();
    options.behavior.node_id = NodeId{1};
    options.behavior.broker_sessions.timeout =
        std::chrono::hours(1000);  // nobody speaks for the brokers
    options.random = Random(2);
    auto opened = Controller::OpenAndWait(std::move(options));
    CHECK(opened.ok()) << opened.error();
    controller_ = *std::move(opened);
    BrokerImage broker;
    broker.id = NodeId{1};
    broker.incarnation = Random::FromSystem().NewUuid<DirectoryId>().bytes;
    broker.directories = {directory_};
    const auto registered = Wait<BrokerEpoch>(
        [&](auto done) { controller_->Run(RegisterBroker{broker}, std::move(done)); });
    CHECK(registered.ok()) << registered.error();
  }
  void Stop() {
    if (controller_ == nullptr) return;
    const auto closed = Wait<void>([&](auto done) { controller_->Close(std::move(done)); });
    EXPECT_TRUE(closed.ok()) << closed.error();
    controller_.reset();
    disk_.reset();
    loop_.reset();
  }
  template <typename T, typename Call>
  Result<T> Wait(Call call) {
    std::promise<Result<T>> promise;
    call([&](Result<T> result) { promise.set_value(std::move(result)); });
    return promise.get_future().get();
  }
  Result<TopicPtr> Create(const std::string& name, int32_t partitions) {
    CreateTopic operation;
    operation.name = name;
    operation.partitions = partitions;
    return Wait<TopicPtr>(
        [&](auto done) { controller_->Run(std::move(operation), std::move(done)); });
  }

  const std::unique_ptr<FileSystem> files_ = NewPosixFileSystem(1);
  std::string folder_;
  const DirectoryId directory_ = Random(3).NewUuid<DirectoryId>();
  std::unique_ptr<Disk> disk_;
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<Controller> controller_;
};

TEST_F(ControllerThreads, CallsFromManyThreadsAreAnsweredAndSurviveRestarts) {
  std::set<std::string> names;
  for (int round = 0; round < 3; ++round) {
    Start();
    for (const std::string& name : names) EXPECT_NE(controller_->image()->Topic(name), nullptr);
    std::atomic<int> changes{0};
    const auto watch = controller_->Watch([&](const MetadataDelta&) { ++changes; });
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([this, i, round] {
        for (int j = 0; j < 10; ++j) {
          const std::string name = std::to_string(round) + "-" + std::to_string(i * 10 + j);
          const auto topic = Create(name, 3);
          EXPECT_TRUE(topic.ok()) << topic.error();
          EXPECT_EQ(controller_->image()->Topic(name), *topic);
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    for (int i = 0; i < 40; ++i) names.insert(std::to_string(round) + "-" + std::to_string(i));
    EXPECT_GE(changes.load(), 40);
    Stop();
  }
}

TEST_F(ControllerThreads, ALargeTopicComesBackFromTheStore) {
  Start();
  ASSERT_TRUE(Create("wide", 20000).ok());
  // Until the store has it: a timer of a second is what it waits for.
  const std::string store = MetadataPath(data_dir()) + "/image";
  std::promise<void> stored;
  UniqueFunction<void()> look;
  look = [&] {
    if (*files_->Exists(store + "/CURRENT")) return stored.set_value();
    loop_->After(std::chrono::milliseconds(50), "test.look", [&] { look(); });
  };
  loop_->Post("test.look", [&] { look(); });
  stored.get_future().wait();
  Stop();
  Start();
  const TopicPtr topic = controller_->image()->Topic("wide");
  ASSERT_NE(topic, nullptr);
  EXPECT_EQ(topic->partition_count(), 20000);
  EXPECT_EQ(topic->Partition(PartitionIndex{19999})->leader_epoch, LeaderEpoch{1});
}

TEST_F(ControllerThreads, TwoProcessesDoNotShareADirectory) {
  Start();
  const auto disk = NewThreadDisk(*files_, {.name = "other"});
  const auto loop = NewThreadLoop("other");
  Controller::Options options;
  options.loop = loop.get();
  options.disk = disk.get();
  options.data_dir = data_dir();
  options.behavior.node_id = NodeId{1};
  options.behavior.broker_sessions.timeout =
      std::chrono::hours(1000);  // nobody speaks for the brokers
  const auto second = Controller::OpenAndWait(std::move(options));
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().reason, Reason::kStorageError);
  EXPECT_NE(second.error().message.find("lock"), std::string::npos) << second.error();
}

}  // namespace
}  // namespace gregor
