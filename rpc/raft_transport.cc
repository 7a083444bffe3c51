#include "rpc/raft_transport.h"

#include <algorithm>
#include <array>
#include <condition_variable>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/host_port.h"
#include "base/thread_annotations.h"
#include "rpc/node_channel.h"
#include "rpc/raft_codec.h"
#include "rpc/raft_stream.h"
#include "rpc/range_transfer.h"
#include "rpc/snapshot_fetcher.h"
#include "rpc/snapshot_server.h"

namespace gregor {
namespace {

constexpr Duration kRedialMin = std::chrono::milliseconds(50);
constexpr Duration kRedialMax = std::chrono::seconds(1);
constexpr Duration kWarnInterval = std::chrono::seconds(10);  // of one node

// gRPC's words for a connection that was begun, and that nobody answered in time.
constexpr char kUnanswered[] = "tcp handshaker shutdown";

// Somebody is there, and there is no connection: TLS did not come about, or was ended at once.
bool IsRefusedConnection(const grpc::Status& status) {
  if (status.error_code() != grpc::StatusCode::UNAVAILABLE) return false;
  const std::string& message = status.error_message();
  const auto says = [&](const char* text) { return message.find(text) != std::string::npos; };
  return says("failed to connect") && !says("Failed to connect to remote host") &&
         !says("unreachable") && !says("No route to host") && !says(kUnanswered);
}

// Without what gRPC puts before the system's own words ("Connection refused").
std::string WhyNotConnected(const grpc::Status& status) {
  std::string why = status.error_message();
  for (const std::string_view before :
       {"last error: UNKNOWN: ", "Failed to connect to remote host: "}) {
    const size_t at = why.find(before);
    if (at != std::string::npos) why.erase(0, at + before.size());
  }
  const size_t unanswered = why.find(kUnanswered);
  if (unanswered != std::string::npos)
    why.replace(unanswered, sizeof(kUnanswered) - 1, "nothing answers there");
  return why;
}

class Transport final : public GrpcRaftTransport, private RaftStreamEvents, private SnapshotSource {
 public:
  explicit Transport(Options options)
      : options_(std::move(options)),
        service_(*this),
        snapshot_server_(*options_.loop, options_.cluster, options_.snapshots),
        snapshot_fetcher_(*options_.loop, *options_.queue, options_.cluster, options_.snapshots) {
    addresses_ = options_.addresses;
    for (const auto& [node, address] : addresses_) AddPeer(node, address);
  }
  ~Transport() override {
    *alive_ = false;
    Shutdown();
  }

  InternalService& service() override { return service_; }
  SnapshotSource& snapshots() override { return *this; }
  void SetReader(Reader reader) override { read_snapshot_ = std::move(reader); }

  void SetIntroduction(Introduction introduction) override {
    const MutexLock lock(mutex_);
    introduction_ = std::move(introduction);
  }
  std::optional<Introduction> IntroductionOf(const VoterKey& node) const override {
    const auto peer = peers_.find(node.node);
    if (peer == peers_.end()) return {};
    std::optional<Introduction> latest;
    VisitLinks(peer->second, [&](const Link& link) {
      if (!link.is_bulk && link.directory == node.directory) latest = link.introduction;
      return !latest.has_value();
    });
    return latest;
  }

  void SetReceiver(Receiver* receiver) override {
    receiver_ = receiver;
    if (receiver_ == nullptr) return;
    for (auto& [node, peer] : peers_) {
      for (Line& line : peer.lines) Dial(node, line);
      if (IsConnected(peer)) receiver_->OnConnected(node);
    }
  }

  void Send(raft::Message message) override {
    const auto peer = peers_.find(message.to.node);
    if (peer == peers_.end()) return;
    internal::v1::RaftMessage wire = EncodeRaft(message);
    if (const auto* const reply = std::get_if<raft::AttachReply>(&message.body)) {
      if (const auto leader = addresses_.find(reply->leader); leader != addresses_.end())
        wire.mutable_attach_reply()->set_leader_address(leader->second);
    }
    const bool is_bulk = IsBulk(message);
    // Two processes that run under one id are told apart by their directories.
    const DirectoryId& directory = message.to.directory;
    VisitLinks(peer->second, [&](const Link& link) {
      const bool fits =
          link.is_bulk == is_bulk && (directory.IsZero() || link.directory == directory);
      return !(fits && link.stream->Send(wire));
    });
  }

  void SetVoters(const VoterSet& voters) override {
    std::map<NodeId, std::string> addresses = options_.addresses;
    for (const Voter& voter : voters.voters) {
      const NodeId node = voter.key.node;
      if (options_.addresses.count(node) != 0) continue;
      const auto known = addresses_.find(node);
      if (known != addresses_.end()) addresses.insert(*known);
      for (const VoterEndpoint& endpoint : voter.endpoints) {
        if (endpoint.listener == options_.listener)
          addresses[node] = JoinHostPort(endpoint.host, endpoint.port);
      }
    }
    if (addresses == addresses_) return;
    const auto former = std::exchange(addresses_, std::move(addresses));
    for (const auto& [node, address] : former) {
      if (addresses_.count(node) == 0) StopCalling(node);
    }
    for (const auto& [node, address] : addresses_) {
      const auto known = former.find(node);
      if (known == former.end() || known->second != address) AddPeer(node, address);
    }
    if (options_.on_addresses) options_.on_addresses(addresses_);
  }

  void FetchRange(NodeId node, Offset from, LogRangeRead fetched) override {
    BeginFetch(node, std::move(fetched), [&](auto& stub, LogRangeRead fetched, Task ended) {
      return gregor::FetchRange(
          stub, *options_.queue, *options_.loop, options_.cluster, from,
          [alive = alive_, fetched = std::move(fetched)](auto range) mutable {
            if (*alive) fetched(std::move(range));
          },
          std::move(ended));
    });
  }
  void SetRangeReader(RangeReader reader) override { range_reader_ = std::move(reader); }

  void Shutdown() override {
    {
      const MutexLock lock(mutex_);
      is_shut_down_ = true;
      for (const auto& [key, stream] : streams_) stream->Cancel();
      for (const auto& [number, cancel] : fetches_) {
        if (cancel) cancel();
      }
    }
    WaitUntilEnded();
  }

 private:
  // A stream that is up, and what the node at its other end has said of itself.
  struct Link {
    bool is_bulk = false;
    bool is_own = false;  // this node has called
    std::shared_ptr<RaftStream> stream;
    DirectoryId directory;
    Introduction introduction;
  };
  // One of the two calls to a node. Without a stream it is not being called.
  struct Line {
    bool is_bulk = false;
    std::shared_ptr<RaftStream> stream;
    Duration redial = kRedialMin;
    std::unique_ptr<internal::v1::RaftService::Stub> stub;
  };
  struct Peer {
    std::array<Line, 2> lines;
    std::vector<Link> links;   // the earliest first
    MonotonicTime warn_again;  // that it is not connected
  };

  // Its own ones first, as they lead to where the node is known to be: a copy of it that runs
  // somewhere else calls, too. Then those that the node has called on. The latest of each before
  // what may be a dead one; until `visit` returns false.
  template <typename Visit>
  static void VisitLinks(const Peer& peer, Visit visit) {
    for (const bool is_own : {true, false}) {
      for (auto link = peer.links.rbegin(); link != peer.links.rend(); ++link) {
        if (link->is_own == is_own && !visit(*link)) return;
      }
    }
  }
  // Control decides.
  static bool IsConnected(const Peer& peer) {
    return std::any_of(peer.links.begin(), peer.links.end(),
                       [](const Link& link) { return !link.is_bulk; });
  }
  static bool HasBulk(const Peer& peer, const DirectoryId& directory) {
    return std::any_of(peer.links.begin(), peer.links.end(), [&](const Link& link) {
      return link.is_bulk && link.directory == directory;
    });
  }

  class Service final : public InternalService {
   public:
    explicit Service(Transport& transport) : transport_(transport) {}

   private:
    grpc::Service& service() override { return methods_; }
    void Listen(CallQueue& queue) override {
      Transport& to = transport_;
      AnswerRaftPeers(methods_, queue, to, [&to] { return to.Accept(); });
      to.snapshot_server_.Listen(methods_, queue, [&to](const SnapshotWish& wish, Opened opened) {
        to.Open(wish, std::move(opened));
      });
      AnswerRanges(methods_, queue, to.options_.cluster,
                   [&to](Offset from, LogRangeRead read) { to.ReadRange(from, std::move(read)); });
    }
    Transport& transport_;
    internal::v1::RaftService::AsyncService methods_;
  };

  void WaitUntilEnded() TS_NO_ANALYSIS {
    std::unique_lock<std::mutex> lock(mutex_.native());
    while (open_count_ > 0) ended_.wait(lock);
  }

  // A node without the metadata knows the addresses of its settings only; who leads may have come
  // later. Until SetVoters() knows better.
  void LearnLeader(NodeId leader, const std::string& address) {
    if (leader.value < 0 || leader == options_.self.node || address.empty()) return;
    if (!addresses_.emplace(leader, address).second) return;
    LOG(INFO) << "Node " << leader << " leads the metadata quorum, at " << address
              << ": it is not in this node's settings";
    AddPeer(leader, address);
    if (options_.on_addresses) options_.on_addresses(addresses_);
  }

  void AddPeer(NodeId node, const std::string& address) {
    if (node == options_.self.node) return;
    Peer& peer = peers_[node];
    for (Line& line : peer.lines) {
      line.is_bulk = &line == &peer.lines[1];
      line.stub = Stub(node, address);
      if (receiver_ != nullptr) Dial(node, line);
    }
  }

  std::unique_ptr<internal::v1::RaftService::Stub> Stub(NodeId node, const std::string& address) {
    return internal::v1::RaftService::NewStub(CreateNodeChannel(
        address, node, *options_.credentials, {.receive_bytes_max = kInternalMessageBytesMax}));
  }

  // What is up stays.
  void StopCalling(NodeId node) {
    const auto peer = peers_.find(node);
    if (peer == peers_.end()) return;
    for (Line& line : peer->second.lines) line.stub = nullptr;
  }

  RaftSelf Self() {
    const MutexLock lock(mutex_);
    return {options_.cluster, options_.self, introduction_, options_.incarnation};
  }

  void Dial(NodeId node, Line& line) {
    if (line.stream != nullptr || line.stub == nullptr) return;
    const RaftSelf self = Self();
    const MutexLock lock(mutex_);
    if (is_shut_down_) return;
    ++open_count_;
    // It calls nobody back; and OnDown(), however soon it comes, finds the stream to take away.
    line.stream = CallRaftPeer(*line.stub, *options_.queue, *this, self, node, line.is_bulk);
    streams_[line.stream.get()] = line.stream;
  }

  std::optional<RaftSelf> Accept() {
    {
      const MutexLock lock(mutex_);
      if (is_shut_down_) return std::nullopt;  // whom Shutdown() would not wait for
      ++open_count_;
    }
    return Self();
  }
  void Open(const SnapshotWish& wish, Opened opened) {
    Post("raft.open_snapshot", [this, wish, opened = std::move(opened)]() mutable {
      if (read_snapshot_) return read_snapshot_(wish, std::move(opened));
      opened(Error(Reason::kLeaderNotAvailable, "the node has no snapshot now"));
    });
  }
  void ReadRange(Offset from, LogRangeRead read) {
    Post("raft.read_range", [this, from, read = std::move(read)]() mutable {
      if (range_reader_) return range_reader_(from, std::move(read));
      read(Error(Reason::kLeaderNotAvailable, "the node cannot be asked now"));
    });
  }

  void Fetch(NodeId from, Offset end_min, Fetched fetched) override {
    if (auto why_not = snapshot_fetcher_.WhyNotNow(from, end_min); why_not.has_value())
      return fetched(*std::move(why_not));
    BeginFetch(from, std::move(fetched), [&](auto& stub, Fetched fetched, Task ended) {
      return snapshot_fetcher_.Fetch(stub, from, end_min, std::move(fetched), std::move(ended));
    });
  }

  // Calls begin(stub, fetched, ended), which returns what breaks the fetch off, unless there can be
  // none.
  template <typename Fetched, typename Begin>
  void BeginFetch(NodeId node, Fetched fetched, Begin begin) {
    const auto peer = peers_.find(node);
    const bool is_known = peer != peers_.end() && peer->second.lines[1].stub != nullptr;
    uint64_t number = 0;
    {
      const MutexLock lock(mutex_);
      if (is_known && !is_shut_down_) {
        number = ++last_fetch_;
        fetches_[number] = nullptr;
        ++open_count_;
      }
    }
    if (number == 0) return fetched(NoAddress(node));
    std::function<void()> cancel = begin(*peer->second.lines[1].stub, std::move(fetched),
                                         [this, number] { OnFetchEnded(number); });
    const MutexLock lock(mutex_);
    const auto begun = fetches_.find(number);
    if (begun == fetches_.end()) return;  // it has ended
    if (is_shut_down_) cancel();
    begun->second = std::move(cancel);
  }
  static Error NoAddress(NodeId node) {
    return Error(Reason::kLeaderNotAvailable,
                 "node " + std::to_string(node.value) + " has no known address");
  }

  // --- RaftStreamEvents: gRPC's threads ---

  void OnUp(const std::shared_ptr<RaftStream>& stream, const RaftPeer& peer) override {
    {
      const MutexLock lock(mutex_);
      streams_[stream.get()] = stream;
      if (is_shut_down_) stream->Cancel();
    }
    Post("raft.up", [this, stream, peer] { AddStream(stream, peer); });
  }
  void OnMessage(const RaftPeer& peer, internal::v1::RaftMessage message,
                 RaftMessageRoom room) override {
    std::string leader_address = message.attach_reply().leader_address();
    auto decoded = DecodeRaft(std::move(message), peer.key, options_.self.node);
    if (!decoded.ok()) {
      LOG_EVERY_T(WARNING, 1) << "Node " << peer.key.node << ": " << decoded.error();
      return;
    }
    Post("raft.message", [this, message = *std::move(decoded), room = std::move(room),
                          leader_address = std::move(leader_address)]() mutable {
      if (const auto* const reply = std::get_if<raft::AttachReply>(&message.body))
        LearnLeader(reply->leader, leader_address);
      if (receiver_ != nullptr) receiver_->OnMessage(std::move(message));
    });
  }
  void OnDown(const RaftStream* stream, const std::optional<RaftPeer>&,
              const grpc::Status& status) override {
    Post("raft.down", [this, stream, status] { RemoveStream(stream, status); });
    const MutexLock lock(mutex_);
    streams_.erase(stream);
    OnCallEnded();
  }
  void OnFetchEnded(uint64_t number) {
    const MutexLock lock(mutex_);
    fetches_.erase(number);
    OnCallEnded();
  }
  void OnCallEnded() TS_REQUIRES(mutex_) {
    --open_count_;
    ended_.notify_all();
  }

  void Post(const char* name, Task task) {
    options_.loop->Post(name, [alive = alive_, task = std::move(task)]() mutable {
      if (*alive) task();
    });
  }

  // --- the controller loop ---

  void AddStream(const std::shared_ptr<RaftStream>& stream, const RaftPeer& peer) {
    Peer& state = peers_[peer.key.node];
    const bool was_connected = IsConnected(state);
    const bool had_bulk = HasBulk(state, peer.key.directory);
    Link link{peer.is_bulk, false, stream, peer.key.directory, peer.introduction};
    for (Line& line : state.lines) {
      if (line.stream != stream) continue;
      link.is_own = true;
      line.redial = kRedialMin;
    }
    state.links.push_back(std::move(link));
    if (!peer.is_bulk) state.warn_again = {};
    if (!peer.is_bulk && !was_connected)
      LOG(INFO) << "Connected with node " << peer.key.node << " of the metadata quorum";
    // What was sent by bulk before there was any is lost, and would be asked again late only.
    const bool is_told = !peer.is_bulk || (was_connected && !had_bulk);
    if (is_told && receiver_ != nullptr) receiver_->OnConnected(peer.key.node);
  }

  void RemoveStream(const RaftStream* stream, const grpc::Status& status) {
    for (auto& [node, state] : peers_) {
      const bool was_connected = IsConnected(state);
      const bool was_up = std::erase_if(state.links, [&](const Link& each) {
                            return each.stream.get() == stream;
                          }) > 0;
      for (Line& line : state.lines) {
        if (line.stream.get() != stream) continue;
        // What cut one has cut both, and bulk, which only listens here, would not notice soon.
        if (was_up && !line.is_bulk) CancelIfUp(state, state.lines[1]);
        if (!was_up) Warn(node, state, status);
        Redial(node, line);
      }
      if (!was_connected || IsConnected(state)) continue;
      LOG(INFO) << "Lost node " << node << " of the metadata quorum";
      if (receiver_ != nullptr) receiver_->OnDisconnected(node);
    }
  }

  static void CancelIfUp(const Peer& peer, const Line& line) {
    for (const Link& link : peer.links) {
      if (link.stream == line.stream) link.stream->Cancel();
    }
  }

  // Says why a call to the node did not come about: at once where it was connected till then.
  void Warn(NodeId node, Peer& peer, const grpc::Status& status) {
    const MonotonicTime now = options_.loop->clock().Now();
    const bool is_called = receiver_ != nullptr && peer.lines[0].stub != nullptr;
    if (!is_called || now < peer.warn_again) return;
    const std::string& address = addresses_[node];
    if (status.error_code() == grpc::StatusCode::FAILED_PRECONDITION) {
      LOG(WARNING) << "Node " << node << " at " << address
                   << " refuses: " << status.error_message();
    } else if (IsRefusedConnection(status)) {
      LOG(WARNING) << "No connection with node " << node << " at " << address
                   << ", which can be reached: " << status.error_message()
                   << ". Either it is not the node that was meant, or it does not accept this "
                      "node's certificate (its log says why), or only one of the two uses TLS, or "
                      "it hangs";
    } else if (!IsConnected(peer)) {
      LOG(WARNING) << "No connection with node " << node << " at " << address << ": "
                   << WhyNotConnected(status)
                   << ". Does it run, and can this machine reach it there?";
    } else {
      return;
    }
    peer.warn_again = now + kWarnInterval;
  }

  void Redial(NodeId node, Line& line) {
    line.stream = nullptr;
    options_.loop->After(std::exchange(line.redial, std::min(kRedialMax, 2 * line.redial)),
                         "raft.redial", [this, alive = alive_, node, is_bulk = line.is_bulk] {
                           if (!*alive || receiver_ == nullptr) return;
                           Line& line = peers_[node].lines[is_bulk ? 1 : 0];
                           if (line.stream != nullptr || line.stub == nullptr) return;
                           line.stub = Stub(node, addresses_[node]);  // it may have moved
                           Dial(node, line);
                         });
  }

  const Options options_;
  Service service_;
  SnapshotServer snapshot_server_;
  SnapshotFetcher snapshot_fetcher_;
  Receiver* receiver_ = nullptr;
  Reader read_snapshot_;
  RangeReader range_reader_;
  std::map<NodeId, Peer> peers_;
  std::map<NodeId, std::string> addresses_;  // of those that are called
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);

  Mutex mutex_;
  Introduction introduction_ TS_GUARDED_BY(mutex_);
  std::condition_variable ended_;
  bool is_shut_down_ TS_GUARDED_BY(mutex_) = false;
  int open_count_ TS_GUARDED_BY(mutex_) = 0;  // calls that have not ended
  std::map<const RaftStream*, std::shared_ptr<RaftStream>> streams_ TS_GUARDED_BY(mutex_);
  uint64_t last_fetch_ TS_GUARDED_BY(mutex_) = 0;
  // What breaks those off that have not ended; empty while one is being begun. Calls nobody back.
  std::map<uint64_t, std::function<void()>> fetches_ TS_GUARDED_BY(mutex_);
};

}  // namespace

std::unique_ptr<GrpcRaftTransport> GrpcRaftTransport::Create(Options options) {
  return std::make_unique<Transport>(std::move(options));
}

}  // namespace gregor
