// Snapshots between two nodes: rpc/snapshot_server at one end, rpc/snapshot_fetcher at the other.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <future>
#include <mutex>

#include "base/random.h"
#include "rpc/internal_server.h"
#include "rpc/node_credentials.h"
#include "rpc/snapshot_fetcher.h"
#include "rpc/snapshot_server.h"

namespace gregor {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

constexpr raft::SnapshotId kOld{Offset{500}, Term{3}};
constexpr raft::SnapshotId kNew{Offset{900}, Term{4}};
constexpr NodeId kServer{1};

ClusterId Cluster() {
  ClusterId cluster;
  cluster.bytes[0] = 1;
  return cluster;
}

std::string SomeBytes(size_t size, uint64_t seed) {
  Random random(seed);
  std::string bytes(size, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random.Below(256));
  return bytes;
}

// A loop whose clock stands still until it is told.
class HeldClockLoop final : public EventLoop, private Clock {
 public:
  void Post(const char* name, Task task) override { loop_->Post(name, std::move(task)); }
  TimerId After(Duration delay, const char* name, Task task) override {
    return loop_->After(delay, name, std::move(task));
  }
  void Cancel(TimerId timer) override { loop_->Cancel(timer); }
  bool InLoop() const override { return loop_->InLoop(); }
  const Clock& clock() const override { return is_held ? *this : loop_->clock(); }

  std::atomic<bool> is_held = false;
  std::atomic<Duration> passed = Duration::zero();

 private:
  MonotonicTime Now() const override { return MonotonicTime(passed.load()); }
  Timestamp WallNow() const override { return Timestamp{0}; }

  const std::unique_ptr<EventLoop> loop_ = NewThreadLoop("fetcher");
};

// A node that has a snapshot. Thread: any.
class Server {
 public:
  explicit Server(SnapshotLimits limits) : limits_(limits) { Listen(); }
  ~Server() { Break(); }

  // Begins to listen at another port: what was connected is lost.
  void Listen() {
    Break();
    service_ = std::make_unique<Service>(*this);
    server_ = std::make_unique<InternalServer>();
    const auto started = server_->Start({.host = "127.0.0.1",
                                         .port = 0,
                                         .credentials = grpc::InsecureServerCredentials(),
                                         .services = {service_.get()}});
    CHECK(started.ok()) << started.error();
  }
  void Break() {
    if (server_ != nullptr) server_->Shutdown();
    server_.reset();
  }
  std::unique_ptr<internal::v1::RaftService::Stub> NewStub() const {
    return internal::v1::RaftService::NewStub(grpc::CreateChannel(
        "127.0.0.1:" + std::to_string(server_->port()), grpc::InsecureChannelCredentials()));
  }

  void Set(const raft::SnapshotId& id, std::string bytes) {
    const std::lock_guard lock(mutex_);
    id_ = id;
    bytes_ = std::make_shared<const std::string>(std::move(bytes));
  }
  // Reads from `position` on get no answer any more, until Answer() or Release().
  void HoldFrom(uint64_t position) {
    const std::lock_guard lock(mutex_);
    hold_from_ = position;
  }
  // Waits until so many reads wait; false after some seconds.
  bool WaitForHeld(size_t count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, seconds(10), [&] { return held_.size() == count; });
  }
  // Those that wait get theirs, those that come then wait.
  void Answer() {
    std::deque<Task> answered;
    {
      const std::lock_guard lock(mutex_);
      answered.swap(held_);
    }
    for (Task& read : answered) read();
  }
  void Release() {
    {
      const std::lock_guard lock(mutex_);
      hold_from_ = UINT64_MAX;
    }
    Answer();
  }
  void Forget() {
    const std::lock_guard lock(mutex_);
    hold_from_ = UINT64_MAX;
    held_.clear();
  }
  uint64_t bytes_read() const {
    const std::lock_guard lock(mutex_);
    return bytes_read_;
  }
  // Where each call began to read.
  std::vector<uint64_t> positions_begun() const {
    const std::lock_guard lock(mutex_);
    return positions_begun_;
  }
  // Whether the last one asked for the rest of what it had.
  bool was_rest_asked() const {
    const std::lock_guard lock(mutex_);
    return was_rest_asked_;
  }

 private:
  class Service final : public InternalService {
   public:
    explicit Service(Server& all) : all_(all) {}
    grpc::Service& service() override { return methods_; }
    void Listen(CallQueue& queue) override {
      all_.snapshots_.Listen(methods_, queue,
                             [this](const SnapshotWish& wish, SnapshotSource::Opened opened) {
                               all_.Open(wish, std::move(opened));
                             });
    }

   private:
    Server& all_;
    internal::v1::RaftService::AsyncService methods_;
  };

  void Open(const SnapshotWish& wish, SnapshotSource::Opened opened) {
    ServedSnapshot snapshot;
    {
      const std::lock_guard lock(mutex_);
      was_rest_asked_ = wish.begun.has_value();
      snapshot = {id_, raft::VotersAt{Offset{7}, {}}, bytes_->size(), {}};
      // The call before may read, too, until it has heard of its end.
      snapshot.read = [this, bytes = bytes_, has_begun = std::make_shared<bool>(false)](
                          uint64_t position, size_t size, ServedSnapshot::ChunkRead read) {
        const bool is_first = !std::exchange(*has_begun, true);
        Read(position, is_first, bytes->substr(position, size), std::move(read));
      };
    }
    if (snapshot.id.end < wish.end_min)
      return opened(Error(Reason::kLeaderNotAvailable, "it is not that far"));
    opened(std::move(snapshot));
  }
  void Read(uint64_t position, bool is_first, std::string bytes, ServedSnapshot::ChunkRead read) {
    {
      const std::lock_guard lock(mutex_);
      bytes_read_ += bytes.size();
      if (is_first) positions_begun_.push_back(position);
      if (position >= hold_from_) {
        held_.push_back([bytes = std::move(bytes), read = std::move(read)]() mutable {
          read(std::move(bytes));
        });
        changed_.notify_all();
        return;
      }
    }
    read(std::move(bytes));
  }

  const SnapshotLimits limits_;
  const std::unique_ptr<EventLoop> loop_ = NewThreadLoop("server");
  SnapshotServer snapshots_{*loop_, Cluster(), limits_};
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  raft::SnapshotId id_;
  std::shared_ptr<const std::string> bytes_;
  uint64_t hold_from_ = UINT64_MAX;
  std::deque<Task> held_;
  uint64_t bytes_read_ = 0;
  std::vector<uint64_t> positions_begun_;
  bool was_rest_asked_ = false;
  std::unique_ptr<Service> service_;
  std::unique_ptr<InternalServer> server_;
};

// A node that needs one.
class Client {
 public:
  explicit Client(const SnapshotLimits& limits, const ClusterId& cluster = Cluster()) {
    InLoop([&] {
      fetcher_ = std::make_unique<SnapshotFetcher>(loop, calls_.queue(), cluster, limits);
    });
  }
  ~Client() {
    for (auto& ended : ended_) ended.wait();
    InLoop([&] { fetcher_.reset(); });
  }

  using Fetch = std::future<Result<TravellingSnapshot>>;
  Fetch Begin(const Server& server, Offset end_min = Offset{1}) {
    const auto came = std::make_shared<std::promise<Result<TravellingSnapshot>>>();
    const auto ended = std::make_shared<std::promise<void>>();
    ended_.push_back(ended->get_future());
    stubs_.push_back(server.NewStub());
    loop.Post("test", [this, end_min, came, ended, stub = stubs_.back().get()] {
      fetcher_->Fetch(
          *stub, kServer, end_min,
          [came](Result<TravellingSnapshot> snapshot) { came->set_value(std::move(snapshot)); },
          [ended] { ended->set_value(); });
    });
    return came->get_future();
  }
  Result<TravellingSnapshot> FetchFrom(const Server& server, Offset end_min = Offset{1}) {
    return Begin(server, end_min).get();
  }
  std::optional<Error> WhyNotNow(Offset end_min = Offset{1}) {
    std::optional<Error> why;
    InLoop([&] { why = fetcher_->WhyNotNow(kServer, end_min); });
    return why;
  }
  void InLoop(const std::function<void()>& call, Duration after = Duration::zero()) {
    std::promise<void> done;
    loop.After(after, "test", [&] {
      call();
      done.set_value();
    });
    done.get_future().wait();
  }

  HeldClockLoop loop;

 private:
  InternalServer calls_;  // which is not called itself
  std::unique_ptr<SnapshotFetcher> fetcher_;
  std::vector<std::unique_ptr<internal::v1::RaftService::Stub>> stubs_;
  std::vector<std::future<void>> ended_;
};

SnapshotLimits SmallChunks() {
  SnapshotLimits limits;
  limits.chunk_bytes = size_t{128} << 10;
  return limits;
}

TEST(SnapshotTransfer, ASnapshotArrivesAsItIs) {
  for (const size_t size : {size_t{0}, size_t{1}, size_t{128} << 10, (size_t{1} << 20) + 5}) {
    Server server(SmallChunks());
    const std::string bytes = SomeBytes(size, size);
    server.Set(kOld, bytes);
    Client client(SmallChunks());
    const auto fetched = client.FetchFrom(server);
    ASSERT_TRUE(fetched.ok()) << fetched.error();
    EXPECT_EQ(fetched->id, kOld);
    EXPECT_EQ(fetched->voters->end, Offset{7});
    EXPECT_TRUE(fetched->bytes == bytes) << size;
  }
}

TEST(SnapshotTransfer, ABrokenConnectionCostsNothingThatHasArrived) {
  constexpr size_t kSize = size_t{16} << 20;
  constexpr size_t kCuts = 5;
  const std::string bytes = SomeBytes(kSize, 1);
  Server server(SmallChunks());
  server.Set(kOld, bytes);
  Client client(SmallChunks());
  for (size_t cut = 1; cut <= kCuts; ++cut) {
    server.HoldFrom(cut * kSize / (kCuts + 1));
    auto fetch = client.Begin(server);
    ASSERT_TRUE(server.WaitForHeld(1));
    server.Break();
    EXPECT_EQ(fetch.get().error().reason, Reason::kLeaderNotAvailable);
    server.Forget();
    server.Listen();
  }
  const auto fetched = client.FetchFrom(server);
  ASSERT_TRUE(fetched.ok()) << fetched.error();
  EXPECT_TRUE(fetched->bytes == bytes);
  EXPECT_EQ(fetched->voters->end, Offset{7});
  EXPECT_LT(server.bytes_read(), 2 * kSize);
  const auto positions = server.positions_begun();
  ASSERT_EQ(positions.size(), kCuts + 1);
  EXPECT_TRUE(std::is_sorted(positions.begin(), positions.end()));
  EXPECT_GT(positions[1], 0u);
}

TEST(SnapshotTransfer, AfterAnotherSnapshotHasComeItBeginsAnew) {
  Server server(SmallChunks());
  server.Set(kOld, SomeBytes(size_t{4} << 20, 1));
  Client client(SmallChunks());
  server.HoldFrom(size_t{3} << 20);
  auto fetch = client.Begin(server);
  ASSERT_TRUE(server.WaitForHeld(1));
  server.Break();
  EXPECT_FALSE(fetch.get().ok());
  server.Forget();
  server.Listen();
  const std::string bytes = SomeBytes(size_t{5} << 20, 2);
  server.Set(kNew, bytes);
  const auto fetched = client.FetchFrom(server);
  ASSERT_TRUE(fetched.ok()) << fetched.error();
  EXPECT_EQ(fetched->id, kNew);
  EXPECT_TRUE(fetched->bytes == bytes);
  EXPECT_TRUE(server.was_rest_asked()) << "it would have taken the rest of the old one";
}

TEST(SnapshotTransfer, WhatDoesNotReachFarEnoughAnyMoreIsNotWanted) {
  Server server(SmallChunks());
  server.Set(kOld, SomeBytes(size_t{2} << 20, 1));
  Client client(SmallChunks());
  server.HoldFrom(size_t{1} << 20);
  auto fetch = client.Begin(server);
  ASSERT_TRUE(server.WaitForHeld(1));
  server.Break();
  EXPECT_FALSE(fetch.get().ok());
  server.Forget();
  server.Listen();
  EXPECT_FALSE(client.FetchFrom(server, kNew.end).ok());
  EXPECT_FALSE(server.was_rest_asked());
}

TEST(SnapshotTransfer, APartThatNobodyAsksForIsGivenUp) {
  SnapshotLimits limits = SmallChunks();
  limits.part_kept = milliseconds(1);
  Server server(limits);
  server.Set(kOld, SomeBytes(size_t{2} << 20, 1));
  Client client(limits);
  server.HoldFrom(size_t{1} << 20);
  auto fetch = client.Begin(server);
  ASSERT_TRUE(server.WaitForHeld(1));
  server.Break();
  EXPECT_FALSE(fetch.get().ok());
  server.Forget();
  server.Listen();
  client.InLoop([] {}, milliseconds(100));
  EXPECT_TRUE(client.FetchFrom(server).ok());
  EXPECT_EQ(server.positions_begun().back(), 0u);
}

TEST(SnapshotTransfer, AThirdNodeIsRefusedAndServedLater) {
  Server server(SmallChunks());
  const std::string bytes = SomeBytes(size_t{1} << 20, 1);
  server.Set(kOld, bytes);
  Client first(SmallChunks()), second(SmallChunks()), third(SmallChunks());
  server.HoldFrom(size_t{512} << 10);
  auto first_fetch = first.Begin(server);
  auto second_fetch = second.Begin(server);
  ASSERT_TRUE(server.WaitForHeld(2));
  const auto refused = third.FetchFrom(server);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().reason, Reason::kLeaderNotAvailable);
  EXPECT_THAT(refused.error().message, HasSubstr("serves 2 others"));
  server.Release();
  EXPECT_TRUE(first_fetch.get()->bytes == bytes);
  EXPECT_TRUE(second_fetch.get()->bytes == bytes);
  // The places are free a moment after the others have all.
  auto served = third.FetchFrom(server);
  for (int i = 0; i < 100 && !served.ok(); ++i) {
    third.InLoop([] {}, milliseconds(20));
    served = third.FetchFrom(server);
  }
  ASSERT_TRUE(served.ok()) << served.error();
  EXPECT_TRUE(served->bytes == bytes);
}

TEST(SnapshotTransfer, AStrangerIsRefused) {
  Server server(SmallChunks());
  server.Set(kOld, "bytes");
  ClusterId other = Cluster();
  other.bytes[1] = 1;
  Client stranger(SmallChunks(), other);
  const auto refused = stranger.FetchFrom(server);
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(refused.error().message, HasSubstr("another cluster"));
}

TEST(SnapshotTransfer, ASenderThatStallsIsNoticedAndWhatCameIsKept) {
  SnapshotLimits limits = SmallChunks();
  Server server(limits);
  const std::string bytes = SomeBytes(size_t{2} << 20, 1);
  server.Set(kOld, bytes);
  limits.stall = milliseconds(300);
  Client client(limits);
  server.HoldFrom(size_t{1} << 20);
  const auto stalled = client.FetchFrom(server);
  ASSERT_FALSE(stalled.ok());
  EXPECT_EQ(stalled.error().reason, Reason::kLeaderNotAvailable);
  EXPECT_THAT(stalled.error().message, HasSubstr("nothing came any more"));
  server.Release();
  const auto fetched = client.FetchFrom(server);
  ASSERT_TRUE(fetched.ok()) << fetched.error();
  EXPECT_TRUE(fetched->bytes == bytes);
  EXPECT_EQ(server.positions_begun().back(), uint64_t{1} << 20);
}

// However long all of it takes.
TEST(SnapshotTransfer, ASlowSenderIsNotTakenForOneThatStalls) {
  SnapshotLimits limits = SmallChunks();
  limits.stall = milliseconds(600);
  Server server(limits);
  server.Set(kOld, SomeBytes(size_t{1} << 20, 1));  // 8 chunks
  Client client(limits);
  server.HoldFrom(0);
  auto fetch = client.Begin(server);
  for (int chunk = 0; chunk < 8; ++chunk) {
    ASSERT_TRUE(server.WaitForHeld(1));
    client.InLoop([] {}, milliseconds(150));
    server.Answer();
  }
  EXPECT_TRUE(fetch.get().ok());
}

TEST(SnapshotTransfer, WhoDoesNotReadLosesItsPlace) {
  SnapshotLimits limits = SmallChunks();
  limits.served_max = 1;
  limits.stall = milliseconds(300);
  Server server(limits);
  server.Set(kOld, SomeBytes(size_t{64} << 20, 1));
  const auto stub = server.NewStub();
  grpc::ClientContext context;
  internal::v1::FetchSnapshotRequest request;
  const ClusterId cluster = Cluster();
  request.set_cluster_id(std::string(cluster.bytes.begin(), cluster.bytes.end()));
  const auto lazy = stub->FetchSnapshot(&context, request);
  lazy->WaitForInitialMetadata();
  Client client(SmallChunks());
  auto served = client.FetchFrom(server);
  EXPECT_FALSE(served.ok());
  for (int i = 0; i < 200 && !served.ok(); ++i) {
    client.InLoop([] {}, milliseconds(50));
    served = client.FetchFrom(server);
  }
  EXPECT_TRUE(served.ok()) << served.error();
  EXPECT_LT(server.bytes_read(), (size_t{64} + 48) << 20) << "it was read as fast as it went";
  context.TryCancel();
  EXPECT_FALSE(lazy->Finish().ok());
}

TEST(SnapshotTransfer, OneThatWasOfNoUseIsFetchedAgainWithGrowingPauses) {
  SnapshotLimits limits = SmallChunks();
  limits.served_max = 20;  // a place is free a moment after its call has ended
  Server server(limits);
  server.Set(kOld, "no snapshot");
  Client client(limits);
  client.loop.is_held = true;
  EXPECT_FALSE(client.WhyNotNow().has_value());
  Duration pause = limits.pause_min;
  for (int i = 0; i < 9; ++i) {
    const auto fetched = client.FetchFrom(server);
    ASSERT_TRUE(fetched.ok()) << fetched.error();
    const auto why = client.WhyNotNow();
    ASSERT_TRUE(why.has_value());
    EXPECT_EQ(why->reason, Reason::kLeaderNotAvailable);
    EXPECT_THAT(why->message, HasSubstr("of no use"));
    EXPECT_FALSE(client.WhyNotNow(kNew.end).has_value()) << "that is another one";
    client.loop.passed = client.loop.passed.load() + pause - milliseconds(1);
    EXPECT_TRUE(client.WhyNotNow().has_value());
    client.loop.passed = client.loop.passed.load() + milliseconds(1);
    EXPECT_FALSE(client.WhyNotNow().has_value());
    pause = std::min(2 * pause, limits.pause_max);
  }
  EXPECT_EQ(pause, limits.pause_max);
  // Another one is fetched without delay, and waits from the beginning.
  server.Set(kNew, "no snapshot either");
  ASSERT_TRUE(client.FetchFrom(server).ok());
  client.loop.passed = client.loop.passed.load() + limits.pause_min;
  EXPECT_FALSE(client.WhyNotNow().has_value());
}

}  // namespace
}  // namespace gregor
