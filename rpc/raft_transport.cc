#include "rpc/raft_transport.h"

#include <algorithm>
#include <array>
#include <condition_variable>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/thread_annotations.h"
#include "rpc/raft_codec.h"
#include "rpc/raft_stream.h"
#include "rpc/range_transfer.h"
#include "rpc/snapshot_fetcher.h"
#include "rpc/snapshot_server.h"

namespace gregor {
namespace {

constexpr Duration kRedialMin = std::chrono::milliseconds(50);
constexpr Duration kRedialMax = std::chrono::seconds(1);

grpc::ChannelArguments RaftChannelOptions() {
  grpc::ChannelArguments arguments;
  // A connection for each channel, although both go to one address.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 1000);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  arguments.SetMaxReceiveMessageSize(-1);
  arguments.SetMaxSendMessageSize(-1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  // A connection that its other end has given up without a word that arrived is noticed, also where
  // this end only listens.
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 10'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 5'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  return arguments;
}

// Somebody is there, and there is no connection: TLS did not come about, or was ended at once.
bool IsRefusedConnection(const grpc::Status& status) {
  if (status.error_code() != grpc::StatusCode::UNAVAILABLE) return false;
  const std::string& message = status.error_message();
  return message.find("failed to connect") != std::string::npos &&
         message.find("Failed to connect to remote host") == std::string::npos;
}

// "host:port", with brackets around an IPv6 address.
std::string AddressOf(const VoterEndpoint& endpoint) {
  const bool is_v6 = endpoint.host.find(':') != std::string::npos;
  return (is_v6 ? "[" + endpoint.host + "]" : endpoint.host) + ":" + std::to_string(endpoint.port);
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
      if (peer.up_count > 0) receiver_->OnConnected(node);
    }
  }

  void Send(raft::Message message) override {
    const auto peer = peers_.find(message.to.node);
    if (peer == peers_.end()) return;
    internal::v1::RaftMessage wire = EncodeRaft(message);
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
    bool has_changed = false;
    for (const Voter& voter : voters.voters) {
      for (const VoterEndpoint& endpoint : voter.endpoints) {
        const NodeId node = voter.key.node;
        if (endpoint.listener != options_.listener || options_.addresses.count(node) != 0) continue;
        std::string& known = addresses_[node];
        std::string address = AddressOf(endpoint);
        if (known == address) continue;
        known = std::move(address);
        has_changed = true;
        AddPeer(node, known);
      }
    }
    if (has_changed && options_.on_addresses) options_.on_addresses(addresses_);
  }

  void FetchRange(NodeId node, Offset from, LogRangeRead fetched) override {
    internal::v1::RaftService::Stub* const stub = BeginCall(node);
    if (stub == nullptr) return fetched(NoAddress(node));
    gregor::FetchRange(
        *stub, *options_.queue, *options_.loop, options_.cluster, from,
        [alive = alive_, fetched = std::move(fetched)](auto range) mutable {
          if (*alive) fetched(std::move(range));
        },
        [this] { OnEnded(); });
  }
  void SetRangeReader(RangeReader reader) override { range_reader_ = std::move(reader); }

  void Shutdown() override {
    {
      const MutexLock lock(mutex_);
      is_shut_down_ = true;
      for (const auto& [key, stream] : streams_) stream->Cancel();
    }
    WaitUntilEnded();
  }

 private:
  // A stream, and what the node at its other end has said of itself.
  struct Link {
    bool is_bulk = false;
    std::shared_ptr<RaftStream> stream;
    DirectoryId directory;
    Introduction introduction;
  };
  // One of the two calls to a node. Without a stream it is not being called.
  struct Line : Link {
    bool is_up = false;
    Duration redial = kRedialMin;
    std::unique_ptr<internal::v1::RaftService::Stub> stub;
  };
  struct Peer {
    std::array<Line, 2> lines;
    std::vector<Link> called;  // streams that the node has called on
    int up_count = 0;          // streams for control
  };

  // Its own lines first, then those that the node has called on, the latest before what may be a
  // dead one; until `visit` returns false.
  template <typename Visit>
  static void VisitLinks(const Peer& peer, Visit visit) {
    for (const Line& line : peer.lines) {
      if (line.is_up && !visit(line)) return;
    }
    for (auto link = peer.called.rbegin(); link != peer.called.rend(); ++link) {
      if (!visit(*link)) return;
    }
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

  void AddPeer(NodeId node, const std::string& address) {
    if (node == options_.self.node) return;
    Peer& peer = peers_[node];
    for (Line& line : peer.lines) {
      line.is_bulk = &line == &peer.lines[1];
      line.stub = internal::v1::RaftService::NewStub(grpc::CreateCustomChannel(
          address, options_.credentials->ForChannelTo(node), RaftChannelOptions()));
      if (receiver_ != nullptr) Dial(node, line);
    }
  }

  RaftSelf Self() {
    const MutexLock lock(mutex_);
    return {options_.cluster, options_.self, introduction_, options_.incarnation};
  }

  void Dial(NodeId node, Line& line) {
    if (line.stream != nullptr || line.stub == nullptr) return;
    {
      const MutexLock lock(mutex_);
      if (is_shut_down_) return;
      ++open_count_;
    }
    line.stream = CallRaftPeer(*line.stub, *options_.queue, *this, Self(), node, line.is_bulk);
    const MutexLock lock(mutex_);
    streams_[line.stream.get()] = line.stream;
    if (is_shut_down_) line.stream->Cancel();
  }

  RaftSelf Accept() {
    {
      const MutexLock lock(mutex_);
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
    internal::v1::RaftService::Stub* const stub = BeginCall(from);
    if (stub == nullptr) return fetched(NoAddress(from));
    snapshot_fetcher_.Fetch(*stub, from, end_min, std::move(fetched), [this] { OnEnded(); });
  }

  // What a call for bulk goes through, which OnEnded() ends; nullptr: there can be none.
  internal::v1::RaftService::Stub* BeginCall(NodeId node) {
    const auto peer = peers_.find(node);
    if (peer == peers_.end() || peer->second.lines[1].stub == nullptr) return nullptr;
    const MutexLock lock(mutex_);
    if (is_shut_down_) return nullptr;
    ++open_count_;
    return peer->second.lines[1].stub.get();
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
    auto decoded = DecodeRaft(std::move(message), peer.key, options_.self.node);
    if (!decoded.ok()) {
      LOG_EVERY_T(WARNING, 1) << "Node " << peer.key.node << ": " << decoded.error();
      return;
    }
    Post("raft.message", [this, message = *std::move(decoded), room = std::move(room)]() mutable {
      if (receiver_ != nullptr) receiver_->OnMessage(std::move(message));
    });
  }
  void OnDown(const RaftStream* stream, const std::optional<RaftPeer>& peer,
              const grpc::Status& status) override {
    Post("raft.down", [this, stream, peer, status] { RemoveStream(stream, peer, status); });
    {
      const MutexLock lock(mutex_);
      streams_.erase(stream);
    }
    OnEnded();
  }
  void OnEnded() {
    const MutexLock lock(mutex_);
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
    bool is_own = false;
    for (Line& line : state.lines) {
      if (line.stream != stream) continue;
      is_own = line.is_up = true;
      line.redial = kRedialMin;
      line.directory = peer.key.directory;
      line.introduction = peer.introduction;
    }
    if (!is_own)
      state.called.push_back({peer.is_bulk, stream, peer.key.directory, peer.introduction});
    if (peer.is_bulk) return;
    if (++state.up_count == 1)
      LOG(INFO) << "Connected with node " << peer.key.node << " of the metadata quorum";
    if (receiver_ != nullptr) receiver_->OnConnected(peer.key.node);
  }

  void RemoveStream(const RaftStream* stream, const std::optional<RaftPeer>& peer,
                    const grpc::Status& status) {
    for (auto& [node, state] : peers_) {
      std::erase_if(state.called, [&](const Link& each) { return each.stream.get() == stream; });
      for (Line& line : state.lines) {
        if (line.stream.get() != stream) continue;
        // What cut one has cut both, and bulk, which only listens here, would not notice soon.
        if (!line.is_bulk && line.is_up && state.lines[1].is_up) state.lines[1].stream->Cancel();
        Redial(node, line, status);
      }
    }
    if (!peer.has_value() || peer->is_bulk) return;
    Peer& state = peers_[peer->key.node];
    if (--state.up_count > 0) return;
    LOG(INFO) << "Lost node " << peer->key.node << " of the metadata quorum";
    if (receiver_ != nullptr) receiver_->OnDisconnected(peer->key.node);
  }

  void Redial(NodeId node, Line& line, const grpc::Status& status) {
    line.stream = nullptr;
    line.is_up = false;
    if (status.error_code() == grpc::StatusCode::FAILED_PRECONDITION) {
      LOG_EVERY_T(WARNING, 10) << "Node " << node << " refuses: " << status.error_message();
    } else if (IsRefusedConnection(status)) {
      LOG_EVERY_T(WARNING, 10)
          << "No connection with node " << node
          << ", which can be reached: " << status.error_message()
          << ". Either it is not the node that was meant, or it does not accept this node's "
             "certificate (its log says why), or only one of the two uses TLS";
    }
    options_.loop->After(std::exchange(line.redial, std::min(kRedialMax, 2 * line.redial)),
                         "raft.redial", [this, alive = alive_, node, is_bulk = line.is_bulk] {
                           if (!*alive || receiver_ == nullptr) return;
                           Dial(node, peers_[node].lines[is_bulk ? 1 : 0]);
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
};

}  // namespace

std::unique_ptr<GrpcRaftTransport> GrpcRaftTransport::Create(Options options) {
  return std::make_unique<Transport>(std::move(options));
}

}  // namespace gregor
