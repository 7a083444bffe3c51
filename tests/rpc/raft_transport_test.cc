#include "rpc/raft_transport.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <condition_variable>
#include <future>
#include <mutex>

#include "base/clock.h"
#include "base/random.h"
#include "rpc/internal_server.h"
#include "rpc/raft_stream.h"
#include "rpc/twin.h"
#include "tests/base/log_lines.h"
#include "tests/rpc/node_certificates.h"

namespace gregor {
namespace {

using std::chrono::seconds;
using testing::ElementsAre;

ClusterId Cluster(uint8_t number) {
  ClusterId cluster;
  cluster.bytes[0] = number;
  return cluster;
}

VoterKey Key(int32_t node) {
  VoterKey key{NodeId{node}, {}};
  key.directory.bytes[15] = static_cast<uint8_t>(node);
  return key;
}

// The same node with another metadata directory.
VoterKey TwinOf(int32_t node) {
  VoterKey key = Key(node);
  key.directory.bytes[0] = 1;
  return key;
}

// A node's end: its loop, its listener, and what was received. Thread: any.
class Node final : private RaftTransport::Receiver {
 public:
  Node(int32_t id, const ClusterId& cluster, std::map<NodeId, std::string> addresses = {},
       std::shared_ptr<NodeCredentials> credentials = NodeCredentials::Insecure(),
       RaftTransport::Introduction introduction = {})
      : Node(Key(id), cluster, std::move(addresses), std::move(credentials),
             std::move(introduction)) {}
  Node(const VoterKey& self, const ClusterId& cluster, std::map<NodeId, std::string> addresses = {},
       std::shared_ptr<NodeCredentials> credentials = NodeCredentials::Insecure(),
       RaftTransport::Introduction introduction = {})
      : self_(self),
        cluster_(cluster),
        loop_(NewThreadLoop("node")),
        credentials_(std::move(credentials)) {
    GrpcRaftTransport::Options options;
    options.loop = loop_.get();
    options.queue = &server_->queue();
    options.cluster = cluster;
    options.self = self;
    options.incarnation = Random::FromSystem().NewUuid<DirectoryId>();
    incarnation_ = options.incarnation;
    options.addresses = std::move(addresses);
    options.credentials = credentials_;
    options.on_addresses = [this](const auto& known) { Note([&] { this->addresses = known; }); };
    transport_ = GrpcRaftTransport::Create(std::move(options));
    transport_->SetIntroduction(std::move(introduction));
    EXPECT_TRUE(server_
                    ->Start({.host = "127.0.0.1",
                             .port = 0,
                             .credentials = credentials_->ForServer(),
                             .services = {&transport_->service()}})
                    .ok());
    loop_->Post("test", [this] { transport_->SetReceiver(this); });
  }
  ~Node() override { Stop(); }

  void Stop() {
    if (server_ == nullptr) return;
    InLoop([this] { transport_->SetReceiver(nullptr); });
    server_->Shutdown();
    transport_->Shutdown();
    server_.reset();
    loop_.reset();
    transport_.reset();
  }

  std::string address() const { return "127.0.0.1:" + std::to_string(server_->port()); }
  void Send(int32_t to, decltype(raft::Message::body) body, Term term = Term{1}) {
    Send(Key(to), std::move(body), term);
  }
  void Send(const VoterKey& to, decltype(raft::Message::body) body, Term term = Term{1}) {
    loop_->Post("test", [this, to, body, term] {
      transport_->Send({.from = self_, .to = to, .term = term, .body = body});
    });
  }
  // Who else answers as this node there.
  std::optional<Error> FindTwin(const std::string& address) {
    return gregor::FindTwin(address, *credentials_, {cluster_, self_, {}, incarnation_},
                            seconds(10));
  }
  void SetVoters(const VoterSet& voters) {
    InLoop([this, voters] { transport_->SetVoters(voters); });
  }

  // What another node has of its log; blocks.
  Result<LogRange> FetchRange(int32_t node, Offset from) {
    std::promise<Result<LogRange>> came;
    loop_->Post("test", [&] {
      transport_->FetchRange(NodeId{node}, from,
                             [&](Result<LogRange> range) { came.set_value(std::move(range)); });
    });
    return came.get_future().get();
  }
  void SetRangeReader(RaftTransport::RangeReader reader) {
    InLoop([&] { transport_->SetRangeReader(std::move(reader)); });
  }
  // A snapshot of another node's; blocks.
  Result<TravellingSnapshot> FetchSnapshot(int32_t node, Offset end_min) {
    std::promise<Result<TravellingSnapshot>> came;
    loop_->Post("test", [&] {
      transport_->snapshots().Fetch(NodeId{node}, end_min,
                                    [&](auto snapshot) { came.set_value(std::move(snapshot)); });
    });
    return came.get_future().get();
  }
  // Asks for both, whatever comes of it.
  void BeginFetches(int32_t node) {
    InLoop([&] {
      transport_->FetchRange(NodeId{node}, Offset{0}, [](const Result<LogRange>&) {});
      transport_->snapshots().Fetch(NodeId{node}, Offset{1}, [](const auto&) {});
    });
  }
  void SetSnapshotReader(SnapshotSource::Reader reader) {
    InLoop([&] { transport_->snapshots().SetReader(std::move(reader)); });
  }
  std::optional<RaftTransport::Introduction> IntroductionOf(const VoterKey& node) {
    std::optional<RaftTransport::Introduction> said;
    InLoop([&] { said = transport_->IntroductionOf(node); });
    return said;
  }

  // Waits until `done` holds of what has happened; false after some seconds.
  bool Wait(const std::function<bool(const Node&)>& done, Duration at_most = seconds(10)) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, at_most, [&] { return done(*this); });
  }
  bool WaitForConnection(int32_t node) {
    return Wait([&](const Node& self) { return self.connected.count(node) != 0; });
  }

  // Under the lock of Wait().
  std::set<int32_t> connected;
  mutable std::map<int32_t, int> connected_count;  // how often it was told
  std::map<NodeId, std::string> addresses;         // as on_addresses says
  std::vector<int32_t> lost;
  std::vector<raft::Message> messages;

 private:
  void InLoop(const std::function<void()>& call) {
    std::promise<void> done;
    loop_->Post("test", [&] {
      call();
      done.set_value();
    });
    done.get_future().wait();
  }
  template <typename Change>
  void Note(Change change) {
    const std::lock_guard lock(mutex_);
    change();
    changed_.notify_all();
  }
  void OnMessage(raft::Message message) override {
    Note([&] { messages.push_back(std::move(message)); });
  }
  void OnConnected(NodeId node) override {
    Note([&] {
      connected.insert(node.value);
      ++connected_count[node.value];
    });
  }
  void OnDisconnected(NodeId node) override {
    Note([&] {
      connected.erase(node.value);
      lost.push_back(node.value);
    });
  }

  const VoterKey self_;
  const ClusterId cluster_;
  DirectoryId incarnation_;
  std::unique_ptr<EventLoop> loop_;
  const std::shared_ptr<NodeCredentials> credentials_;
  std::unique_ptr<InternalServer> server_ = std::make_unique<InternalServer>();
  std::unique_ptr<GrpcRaftTransport> transport_;
  std::mutex mutex_;
  std::condition_variable changed_;
};

TEST(RaftTransport, MessagesArriveAsTheyWereSent) {
  Node first(1, Cluster(1));
  Node second(2, Cluster(1), {{NodeId{1}, first.address()}});
  ASSERT_TRUE(second.WaitForConnection(1));
  raft::VoteRequest vote{.pre = true,
                         .forced = true,
                         .last_term = Term{7},
                         .end = Offset{1'000'000'000'000},
                         .configured = {NodeId{1}, NodeId{2}}};
  second.Send(1, vote, Term{9});
  ASSERT_TRUE(first.Wait([](const Node& self) { return !self.messages.empty(); }));
  const raft::Message& message = first.messages.front();
  EXPECT_EQ(message.from, Key(2));
  EXPECT_EQ(message.to, Key(1));
  EXPECT_EQ(message.term, Term{9});
  const auto& got = std::get<raft::VoteRequest>(message.body);
  EXPECT_TRUE(got.pre);
  EXPECT_TRUE(got.forced);
  EXPECT_EQ(got.last_term, Term{7});
  EXPECT_EQ(got.end, Offset{1'000'000'000'000});
  EXPECT_THAT(got.configured, ElementsAre(NodeId{1}, NodeId{2}));
}

TEST(RaftTransport, WhoIsCalledAnswersOnTheSameConnection) {
  Node first(1, Cluster(1));  // knows no address
  Node second(2, Cluster(1), {{NodeId{1}, first.address()}});
  ASSERT_TRUE(first.WaitForConnection(2));
  first.Send(2, raft::Heartbeat{.commit = Offset{5}, .round = 6});
  ASSERT_TRUE(second.Wait([](const Node& self) { return !self.messages.empty(); }));
  EXPECT_EQ(std::get<raft::Heartbeat>(second.messages[0].body).round, 6u);
}

TEST(RaftTransport, BatchesKeepTheirOrderAndTheirBytes) {
  Node first(1, Cluster(1));
  Node second(2, Cluster(1), {{NodeId{1}, first.address()}});
  ASSERT_TRUE(second.WaitForConnection(1));
  constexpr int kCount = 20;
  const std::string large(1 << 20, 'x');
  // The connection for batches may come up a little later: what is sent before is lost.
  const auto has_any = [](const Node& self) { return !self.messages.empty(); };
  const raft::AppendRequest first_request{
      .base = Offset{-1}, .prev_term = {}, .commit = {}, .batches = {}, .bytes = {}};
  for (int i = 0; i < 500 && !first.Wait(has_any, std::chrono::milliseconds(20)); ++i)
    second.Send(1, first_request);
  for (int i = 0; i < kCount; ++i) {
    second.Send(1, raft::AppendRequest{.base = Offset{i},
                                       .prev_term = Term{3},
                                       .commit = Offset{4},
                                       .batches = {},
                                       .bytes = Slice::Own(large + std::to_string(i))});
  }
  const auto appends = [](const Node& self) {
    std::vector<raft::AppendRequest> requests;
    for (const raft::Message& message : self.messages) {
      const auto& request = std::get<raft::AppendRequest>(message.body);
      if (request.base.value >= 0) requests.push_back(request);
    }
    return requests;
  };
  ASSERT_TRUE(first.Wait([&](const Node& self) { return appends(self).size() == kCount; }));
  const auto requests = appends(first);
  for (int i = 0; i < kCount; ++i) {
    EXPECT_EQ(requests[i].base, Offset{i});
    EXPECT_EQ(requests[i].bytes.ToString(), large + std::to_string(i));
  }
}

TEST(RaftTransport, ALostNodeIsNoticedAtOnceAndFoundAgain) {
  auto first = std::make_unique<Node>(1, Cluster(1));
  Node second(2, Cluster(1), {{NodeId{1}, first->address()}});
  ASSERT_TRUE(second.WaitForConnection(1));
  first->Stop();
  EXPECT_TRUE(second.Wait([](const Node& self) { return !self.lost.empty(); }));
  EXPECT_THAT(second.lost, ElementsAre(1));
}

TEST(RaftTransport, ANodeOfAnotherClusterIsRefused) {
  Node first(1, Cluster(1));
  Node stranger(2, Cluster(2), {{NodeId{1}, first.address()}});
  Node second(3, Cluster(1), {{NodeId{1}, first.address()}});
  ASSERT_TRUE(second.WaitForConnection(1));
  stranger.Send(1, raft::TimeoutNow{});
  second.Send(1, raft::Attach{.end = Offset{1}});
  ASSERT_TRUE(first.Wait([](const Node& self) { return !self.messages.empty(); }));
  EXPECT_TRUE(std::holds_alternative<raft::Attach>(first.messages[0].body));
  EXPECT_EQ(first.connected.count(2), 0u);
}

TEST(RaftTransport, AnotherNodeThanTheOneThatWasMeantIsRefused) {
  Node first(1, Cluster(1));
  Node second(2, Cluster(1), {{NodeId{7}, first.address()}});
  Node third(3, Cluster(1), {{NodeId{1}, first.address()}});
  ASSERT_TRUE(first.WaitForConnection(3));
  EXPECT_EQ(second.connected.count(7), 0u);
  EXPECT_EQ(first.connected.count(2), 0u);
}

TEST(RaftTransport, PartsOfALogAreFetched) {
  Node first(1, Cluster(1));
  first.SetRangeReader([](Offset from, LogRangeRead read) {
    LogRange range;
    range.start = Offset{3};
    if (from > Offset{5}) range.commit = Offset{9};
    range.batches = Slice::Copy("batches from " + std::to_string(from.value));
    read(std::move(range));
  });
  Node second(2, Cluster(1), {{NodeId{1}, first.address()}});
  const auto unknown = second.FetchRange(1, Offset{5});
  ASSERT_TRUE(unknown.ok()) << unknown.error();
  EXPECT_EQ(unknown->start, Offset{3});
  EXPECT_FALSE(unknown->commit.has_value());
  EXPECT_EQ(unknown->batches.ToString(), "batches from 5");
  const auto known = second.FetchRange(1, Offset{7});
  ASSERT_TRUE(known.ok()) << known.error();
  EXPECT_EQ(known->commit, Offset{9});
}

TEST(RaftTransport, PartsOfALogAreRefusedToStrangersAndWhereThereAreNone) {
  Node first(1, Cluster(1));
  Node second(2, Cluster(1), {{NodeId{1}, first.address()}});
  EXPECT_FALSE(second.FetchRange(1, Offset{0}).ok()) << "it has nothing to read from yet";
  EXPECT_FALSE(second.FetchRange(5, Offset{0}).ok()) << "nobody knows where that is";
  int reads = 0;
  first.SetRangeReader([&](Offset, LogRangeRead read) {
    ++reads;
    read(LogRange());
  });
  Node stranger(3, Cluster(2), {{NodeId{1}, first.address()}});
  EXPECT_FALSE(stranger.FetchRange(1, Offset{0}).ok());
  EXPECT_EQ(reads, 0);
}

TEST(RaftTransport, SnapshotsAreFetched) {
  Node first(1, Cluster(1));
  Node second(2, Cluster(1), {{NodeId{1}, first.address()}});
  EXPECT_FALSE(second.FetchSnapshot(5, Offset{1}).ok()) << "nobody knows where that is";
  EXPECT_FALSE(second.FetchSnapshot(1, Offset{1}).ok()) << "it has none yet";
  const std::string bytes(3'000'000, 's');
  first.SetSnapshotReader([&](const SnapshotWish& wish, SnapshotSource::Opened opened) {
    EXPECT_EQ(wish.end_min, Offset{1});
    ServedSnapshot snapshot{{Offset{9}, Term{2}}, {}, bytes.size(), {}};
    snapshot.read = [&](uint64_t position, size_t size, ServedSnapshot::ChunkRead read) {
      read(bytes.substr(position, size));
    };
    opened(std::move(snapshot));
  });
  const auto fetched = second.FetchSnapshot(1, Offset{1});
  ASSERT_TRUE(fetched.ok()) << fetched.error();
  EXPECT_EQ(fetched->id, (raft::SnapshotId{Offset{9}, Term{2}}));
  EXPECT_FALSE(fetched->voters.has_value());
  EXPECT_TRUE(fetched->bytes == bytes);
  EXPECT_FALSE(second.FetchSnapshot(1, Offset{1}).ok()) << "what it has already it need not fetch";
}

TEST(RaftTransport, VotersAreCalledWhereTheirSetSays) {
  Node first(1, Cluster(1));
  Node second(2, Cluster(1));
  const auto port = static_cast<uint16_t>(std::stoi(first.address().substr(10)));
  second.SetVoters({{{Key(1), {{"other", "127.0.0.1", 1}, {"internal", "127.0.0.1", port}}}}});
  EXPECT_TRUE(second.WaitForConnection(1));
}

// A node's calls, which are made one by one, and what comes on them. Thread: any.
class HandCaller final : private RaftStreamEvents {
 public:
  HandCaller(const VoterKey& self, const std::string& address)
      : self_{Cluster(1), self, {}, Random::FromSystem().NewUuid<DirectoryId>()},
        stub_(internal::v1::RaftService::NewStub(
            grpc::CreateChannel(address, grpc::InsecureChannelCredentials()))) {}
  ~HandCaller() override {
    for (const auto& stream : streams_) stream->Cancel();
    EXPECT_TRUE(Wait([&] { return down_count_ == streams_.size(); }));
  }

  // Returns when it is up.
  const RaftStream* Call(int32_t to, bool is_bulk) {
    streams_.push_back(CallRaftPeer(*stub_, server_.queue(), *this, self_, NodeId{to}, is_bulk));
    EXPECT_TRUE(Wait([&] { return up_.count(streams_.back().get()) != 0; }));
    return streams_.back().get();
  }
  bool WaitForMessage() {
    return Wait([&] { return has_message_; });
  }

 private:
  bool Wait(const std::function<bool()>& done) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, seconds(10), done);
  }
  template <typename Change>
  void Note(Change change) {
    const std::lock_guard lock(mutex_);
    change();
    changed_.notify_all();
  }
  void OnUp(const std::shared_ptr<RaftStream>& stream, const RaftPeer&) override {
    Note([&] { up_.insert(stream.get()); });
  }
  void OnMessage(const RaftPeer&, internal::v1::RaftMessage, RaftMessageRoom) override {
    Note([&] { has_message_ = true; });
  }
  void OnDown(const RaftStream*, const std::optional<RaftPeer>&, const grpc::Status&) override {
    Note([&] { ++down_count_; });
  }

  const RaftSelf self_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::set<const RaftStream*> up_;
  bool has_message_ = false;
  size_t down_count_ = 0;
  InternalServer server_;  // only its queue
  std::unique_ptr<internal::v1::RaftService::Stub> stub_;
  std::vector<std::shared_ptr<RaftStream>> streams_;  // the test's thread
};

// What was sent by bulk before is lost, and whoever has sent it must learn that it can be sent.
TEST(RaftTransport, ItIsToldAgainWhenBulkComesBehindControl) {
  Node first(1, Cluster(1));
  HandCaller second(Key(2), first.address());
  const auto told = [&](int count) {
    return first.Wait([&](const Node& self) { return self.connected_count[2] == count; });
  };
  second.Call(1, /*is_bulk=*/false);
  EXPECT_TRUE(told(1));
  second.Call(1, /*is_bulk=*/true);
  EXPECT_TRUE(told(2));
  // One more is no news; one for control is.
  second.Call(1, /*is_bulk=*/true);
  second.Call(1, /*is_bulk=*/false);
  EXPECT_TRUE(told(3));
  // Another directory has nothing to do with it.
  HandCaller twin(TwinOf(2), first.address());
  twin.Call(1, /*is_bulk=*/true);
  EXPECT_TRUE(told(4));
}

TEST(RaftTransport, WhereBulkIsThereFirstNothingIsToldBeforeControl) {
  Node first(1, Cluster(1));
  HandCaller second(Key(2), first.address());
  second.Call(1, /*is_bulk=*/true);
  second.Call(1, /*is_bulk=*/false);
  ASSERT_TRUE(first.WaitForConnection(2));
  EXPECT_EQ(first.connected_count[2], 1);
}

// The one before may be dead, and nobody know it yet.
TEST(RaftTransport, OfTheStreamsThatANodeHasCalledOnTheLatestIsSentOn) {
  Node first(1, Cluster(1));
  HandCaller before(Key(2), first.address());
  before.Call(1, /*is_bulk=*/false);
  HandCaller after(Key(2), first.address());
  after.Call(1, /*is_bulk=*/false);
  ASSERT_TRUE(first.Wait([](const Node& self) { return self.connected_count[2] == 2; }));
  first.Send(2, raft::Heartbeat{.commit = Offset{5}, .round = 6});
  EXPECT_TRUE(after.WaitForMessage());
}

TEST(RaftTransport, ACopyOfANodeThatCallsGetsNothingAsLongAsTheNodeAnswersWhereItIsKnownToBe) {
  Node second(2, Cluster(1));
  Node first(1, Cluster(1), {{NodeId{2}, second.address()}});
  ASSERT_TRUE(first.WaitForConnection(2));
  HandCaller copy(Key(2), first.address());
  copy.Call(1, /*is_bulk=*/false);
  ASSERT_TRUE(first.Wait([](const Node& self) { return self.connected_count[2] >= 2; }));
  first.Send(2, raft::Heartbeat{.commit = Offset{5}, .round = 6});
  EXPECT_TRUE(second.Wait([](const Node& self) { return !self.messages.empty(); }));
}

// Reading takes as long as it likes there; a stop does not wait for it.
TEST(RaftTransport, AStopBreaksFetchesOff) {
  std::promise<void> range_asked, snapshot_asked;
  LogRangeRead range_read;
  SnapshotSource::Opened snapshot_opened;
  Node first(1, Cluster(1));
  first.SetRangeReader([&](Offset, LogRangeRead read) {
    range_read = std::move(read);
    range_asked.set_value();
  });
  first.SetSnapshotReader([&](const SnapshotWish&, SnapshotSource::Opened opened) {
    snapshot_opened = std::move(opened);
    snapshot_asked.set_value();
  });
  auto second = std::make_unique<Node>(2, Cluster(1),
                                       std::map<NodeId, std::string>{{NodeId{1}, first.address()}});
  second->BeginFetches(1);
  range_asked.get_future().wait();
  snapshot_asked.get_future().wait();
  const auto begin = SystemClock().Now();
  second.reset();
  EXPECT_LT(SystemClock().Now() - begin, seconds(5)) << "they take 10 s and 30 s";
  range_read(Error(Reason::kLeaderNotAvailable, "too late"));
  snapshot_opened(Error(Reason::kLeaderNotAvailable, "too late"));
}

TEST(RaftTransport, WhoVotesNoMoreIsNotCalledAnyMore) {
  auto first = std::make_unique<Node>(1, Cluster(1));
  Node second(2, Cluster(1));
  const auto at = [](const Node& node) {
    const auto port = static_cast<uint16_t>(std::stoi(node.address().substr(10)));
    return VoterSet{{{Key(1), {{"internal", "127.0.0.1", port}}}, {Key(2), {}}}};
  };
  const VoterSet both = at(*first);
  second.SetVoters(both);
  ASSERT_TRUE(second.WaitForConnection(1));
  second.SetVoters({{{Key(2), {}}}});
  EXPECT_TRUE(second.addresses.empty());
  EXPECT_TRUE(second.lost.empty()) << "what is up stays";
  EXPECT_THAT(second.FetchRange(1, Offset{0}).error().message,
              testing::HasSubstr("has no known address"));
  first.reset();
  ASSERT_TRUE(second.Wait([](const Node& self) { return !self.lost.empty(); }));
  first = std::make_unique<Node>(1, Cluster(1));
  second.SetVoters(at(*first));
  EXPECT_TRUE(second.WaitForConnection(1));
  // It may be named without a place: that is where it was.
  second.SetVoters({{{Key(1), {}}, {Key(2), {}}}});
  EXPECT_EQ(second.addresses, (std::map<NodeId, std::string>{{NodeId{1}, first->address()}}));
}

TEST(RaftTransport, NodesThatAreNotReachedAreNamedEachAndNotTooOften) {
  const LogLines lines;
  auto first = std::make_unique<Node>(1, Cluster(1));
  const std::string address = first->address();
  Node second(2, Cluster(1), {{NodeId{1}, address}, {NodeId{3}, "127.0.0.1:1"}});
  ASSERT_TRUE(second.WaitForConnection(1));
  // Why depends on how far its calls had come when it stopped.
  const std::string of_first = "No connection with node 1 at " + address + ": ";
  const std::string of_third = "No connection with node 3 at 127.0.0.1:1: Connection refused. ";
  const auto wait_for = [&](const std::string& text) {
    for (int i = 0; i < 500 && lines.CountOf(text) == 0; ++i)
      second.Wait([](const Node&) { return false; }, std::chrono::milliseconds(20));
    return lines.CountOf(text);
  };
  EXPECT_EQ(wait_for(of_third), 1);
  EXPECT_EQ(lines.CountOf(of_first), 0);
  first->Stop();
  EXPECT_EQ(wait_for(of_first), 1) << "at once, where it was connected";
  second.Wait([](const Node&) { return false; }, seconds(1));  // some calls more
  EXPECT_EQ(lines.CountOf(of_first), 1);
  EXPECT_EQ(lines.CountOf(of_third), 1);
}

TEST(InternalServer, CallsEndOnce) {
  InternalServer server;
  server.EndCalls();
  server.EndCalls();
  EXPECT_FALSE(server.queue().Begin([] {}));
}

// Of the node that has them; who it says that it is is another matter.
std::shared_ptr<NodeCredentials> CredentialsOf(int32_t node) {
  const NodeName name{Cluster(1), NodeId{node}};
  return TestTls(name, TestCertificates(name));
}

TEST(RaftTransport, NodesWithCertificatesTalk) {
  Node first(1, Cluster(1), {}, CredentialsOf(1));
  Node second(2, Cluster(1), {{NodeId{1}, first.address()}}, CredentialsOf(2));
  ASSERT_TRUE(second.WaitForConnection(1));
  second.Send(1, raft::Attach{.end = Offset{1}});
  EXPECT_TRUE(first.Wait([](const Node& self) { return !self.messages.empty(); }));
}

TEST(RaftTransport, ANodeIsWhomItsCertificateNames) {
  Node first(1, Cluster(1), {}, CredentialsOf(1));
  Node impostor(3, Cluster(1), {{NodeId{1}, first.address()}}, CredentialsOf(2));
  Node second(2, Cluster(1), {{NodeId{1}, first.address()}}, CredentialsOf(2));
  ASSERT_TRUE(second.WaitForConnection(1));
  impostor.Send(1, raft::TimeoutNow{});
  EXPECT_FALSE(impostor.Wait([](const Node& self) { return !self.connected.empty(); },
                             std::chrono::milliseconds(500)));
  second.Send(1, raft::Attach{.end = Offset{1}});
  ASSERT_TRUE(first.Wait([](const Node& self) { return !self.messages.empty(); }));
  EXPECT_TRUE(std::holds_alternative<raft::Attach>(first.messages[0].body));
  EXPECT_EQ(first.connected.count(3), 0u);
}

TEST(RaftTransport, ANodeThatIsCalledHasItsOwnCertificate) {
  Node pretender(1, Cluster(1), {}, CredentialsOf(3));
  Node second(2, Cluster(1), {{NodeId{1}, pretender.address()}}, CredentialsOf(2));
  EXPECT_FALSE(second.Wait([](const Node& self) { return !self.connected.empty(); },
                           std::chrono::milliseconds(500)));
  EXPECT_TRUE(pretender.connected.empty());
}

TEST(RaftTransport, AVoterThatHasCalledBeforeIsCalledToo) {
  Node first(1, Cluster(1));
  Node second(2, Cluster(1), {{NodeId{1}, first.address()}});
  ASSERT_TRUE(first.WaitForConnection(2));
  // Both of its calls are up: nothing more is told of them.
  for (int i = 0; i < 500 && first.messages.empty(); ++i) {
    second.Send(1, raft::AppendRequest{});
    first.Wait([](const Node& self) { return !self.messages.empty(); },
               std::chrono::milliseconds(20));
  }
  int told = 0;
  second.Wait([&](const Node& self) {
    told = self.connected_count[1];
    return true;
  });
  const auto port = static_cast<uint16_t>(std::stoi(second.address().substr(10)));
  first.SetVoters({{{Key(2), {{"internal", "127.0.0.1", port}}}}});
  EXPECT_TRUE(first.Wait([&](const Node& self) {
    return self.addresses == std::map<NodeId, std::string>{{NodeId{2}, second.address()}};
  }));
  // Connections both ways: one that breaks is no loss of the node.
  EXPECT_TRUE(second.Wait([&](const Node& self) { return self.connected_count[1] > told; }));
}

TEST(RaftTransport, ANodeSaysWhereItIsReachedWhetherItMayVoteAndWhatItSupports) {
  Node first(1, Cluster(1));
  Node second(2, Cluster(1), {{NodeId{1}, first.address()}}, NodeCredentials::Insecure(),
              {.endpoints = {{"internal", "example.org", 9093}},
               .may_vote = true,
               .feature_level_min = 1,
               .feature_level_max = 7});
  ASSERT_TRUE(first.WaitForConnection(2));
  const auto said = first.IntroductionOf(Key(2));
  ASSERT_TRUE(said.has_value());
  EXPECT_TRUE(said->may_vote);
  EXPECT_EQ(said->feature_level_min, 1);
  EXPECT_EQ(said->feature_level_max, 7);
  EXPECT_THAT(said->endpoints, ElementsAre(VoterEndpoint{"internal", "example.org", 9093}));
  // Of another directory, and of one that is gone, nothing is known.
  VoterKey other = Key(2);
  other.directory.bytes[0] = 1;
  EXPECT_FALSE(first.IntroductionOf(other).has_value());
  second.Stop();
  ASSERT_TRUE(first.Wait([](const Node& self) { return !self.lost.empty(); }));
  EXPECT_FALSE(first.IntroductionOf(Key(2)).has_value());
}

TEST(RaftTransport, OfTwoProcessesWithOneIdEachGetsWhatIsForItsDirectory) {
  Node first(1, Cluster(1));
  const auto told = [](const char* host) {
    return RaftTransport::Introduction{.endpoints = {{"internal", host, 9093}}, .may_vote = true};
  };
  Node second(2, Cluster(1), {{NodeId{1}, first.address()}}, NodeCredentials::Insecure(),
              told("second"));
  ASSERT_TRUE(first.WaitForConnection(2));
  Node twin(TwinOf(2), Cluster(1), {{NodeId{1}, first.address()}}, NodeCredentials::Insecure(),
            told("twin"));
  for (int i = 0; i < 500 && !first.IntroductionOf(TwinOf(2)).has_value(); ++i)
    twin.Wait([](const Node&) { return false; }, std::chrono::milliseconds(20));
  first.Send(Key(2), raft::Heartbeat{.commit = Offset{5}, .round = 6});
  first.Send(TwinOf(2), raft::Heartbeat{.commit = Offset{5}, .round = 7});
  const auto round = [](Node& node) {
    EXPECT_TRUE(node.Wait([](const Node& self) { return !self.messages.empty(); }));
    return std::get<raft::Heartbeat>(node.messages.at(0).body).round;
  };
  EXPECT_EQ(round(second), 6u);
  EXPECT_EQ(round(twin), 7u);
  EXPECT_EQ(first.IntroductionOf(Key(2))->endpoints.front().host, "second");
  EXPECT_EQ(first.IntroductionOf(TwinOf(2))->endpoints.front().host, "twin");
  // Who goes takes nothing away from who stays.
  twin.Stop();
  first.Send(Key(2), raft::Heartbeat{.commit = Offset{5}, .round = 8});
  EXPECT_TRUE(second.Wait([](const Node& self) { return self.messages.size() == 2; }));
  EXPECT_EQ(first.IntroductionOf(Key(2))->endpoints.front().host, "second");
  EXPECT_TRUE(first.lost.empty());
}

TEST(RaftTransport, AnotherProcessUnderTheSameIdIsFoundAndGoesOn) {
  Node first(1, Cluster(1));
  Node other(2, Cluster(1), {{NodeId{1}, first.address()}});
  ASSERT_TRUE(first.WaitForConnection(2));
  // Another directory, or a copy of the first one's.
  for (const VoterKey& key : {TwinOf(1), Key(1)}) {
    Node twin(key, Cluster(1));
    const auto found = twin.FindTwin(first.address());
    ASSERT_TRUE(found.has_value());
    EXPECT_EQ(found->reason, Reason::kDuplicateVoter);
    EXPECT_THAT(found->message, testing::HasSubstr("another process runs as node 1"));
    EXPECT_THAT(found->message, testing::HasSubstr(Key(1).directory.ToString()));
    EXPECT_THAT(found->message, testing::HasSubstr(first.address()));
    EXPECT_FALSE(twin.FindTwin(twin.address()).has_value()) << "that is the process itself";
    EXPECT_FALSE(twin.FindTwin(other.address()).has_value()) << "that is another node";
  }
  Node stranger(1, Cluster(2));
  EXPECT_FALSE(stranger.FindTwin(first.address()).has_value()) << "that is another cluster";
  EXPECT_TRUE(first.lost.empty());
  EXPECT_EQ(first.connected, std::set<int32_t>{2});
}

TEST(RaftTransport, WhereNobodyAnswersThereIsNoOtherProcess) {
  Node first(1, Cluster(1));
  auto gone = std::make_unique<Node>(1, Cluster(1));
  const std::string address = gone->address();
  gone.reset();
  EXPECT_FALSE(first.FindTwin(address).has_value());
}

}  // namespace
}  // namespace gregor
