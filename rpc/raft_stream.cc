#include "rpc/raft_stream.h"

#include <algorithm>
#include <deque>
#include <utility>

#include "base/thread_annotations.h"
#include "raft/host/control_records.h"
#include "rpc/node_name.h"
#include "rpc/queue/server_call.h"

namespace gregor {
namespace {

using Wire = internal::v1::RaftMessage;

// What may wait for a slow connection, beside one message of any size; what is dropped is asked for
// again.
constexpr size_t kWaitingBytesMax = 32u << 20;
constexpr size_t kWaitingCountMax = 4096;
// What may have come and not be handled yet; the message with which it is reached comes, too.
constexpr size_t kUnhandledBytesMax = 16u << 20;
constexpr size_t kUnhandledCountMax = 1024;
constexpr size_t kEndpointsMax = 8;

template <typename Id>
bool ReadId(const std::string& bytes, Id* id) {
  if (bytes.size() != id->bytes.size()) return false;
  std::copy(bytes.begin(), bytes.end(), id->bytes.begin());
  return true;
}

template <typename Id>
std::string IdBytes(const Id& id) {
  return {id.bytes.begin(), id.bytes.end()};
}

// Messages that wait to be written: one at a time is. Nothing is begun any more once it has ended:
// `start` and `end` run under the lock, and call nobody back.
class WriteQueue {
 public:
  template <typename Start>
  bool Add(Wire message, Start start) {
    const size_t bytes = message.ByteSizeLong();
    const MutexLock lock(mutex_);
    const bool is_full = bytes_ > 0 && bytes_ + bytes > kWaitingBytesMax;
    if (ended_ || is_full || waiting_.size() >= kWaitingCountMax) return false;
    bytes_ += bytes;
    waiting_.push_back({std::move(message), bytes});
    if (!std::exchange(writing_, true)) start(TakeNext());
    return true;
  }
  template <typename Start>
  void OnWritten(Start start) {
    const MutexLock lock(mutex_);
    writing_ = !ended_ && !waiting_.empty();
    if (writing_) start(TakeNext());
  }
  // For what else must not be begun then.
  template <typename Start>
  void UnlessEnded(Start start) {
    const MutexLock lock(mutex_);
    if (!ended_) start();
  }
  template <typename Finish>
  void End(Finish finish) {
    const MutexLock lock(mutex_);
    waiting_.clear();
    if (!std::exchange(ended_, true)) finish();
  }

 private:
  struct Waiting {
    Wire message;
    size_t bytes;
  };
  const Wire* TakeNext() TS_REQUIRES(mutex_) {
    written_ = std::move(waiting_.front().message);
    bytes_ -= waiting_.front().bytes;
    waiting_.pop_front();
    return &written_;
  }

  Mutex mutex_;
  std::deque<Waiting> waiting_ TS_GUARDED_BY(mutex_);
  size_t bytes_ TS_GUARDED_BY(mutex_) = 0;
  bool writing_ TS_GUARDED_BY(mutex_) = false;
  bool ended_ TS_GUARDED_BY(mutex_) = false;
  Wire written_;
};

// Messages that have come and are not handled yet, and whether the next one waits for that.
class Unhandled {
 public:
  void Add(size_t bytes) {
    const MutexLock lock(mutex_);
    bytes_ += bytes;
    ++count_;
  }
  // Whether the next message may be read now; else Remove() or GiveUp() says when.
  bool MayRead() {
    const MutexLock lock(mutex_);
    is_waiting_ = IsFull();
    return !is_waiting_;
  }
  // True: the next message is to be read now.
  bool Remove(size_t bytes) {
    const MutexLock lock(mutex_);
    bytes_ -= bytes;
    --count_;
    return is_waiting_ && !IsFull() && std::exchange(is_waiting_, false);
  }
  // The stream ends, which reading notices: there is no bound any more. As Remove().
  bool GiveUp() {
    const MutexLock lock(mutex_);
    has_bound_ = false;
    return std::exchange(is_waiting_, false);
  }

 private:
  bool IsFull() const TS_REQUIRES(mutex_) {
    return has_bound_ && (bytes_ >= kUnhandledBytesMax || count_ >= kUnhandledCountMax);
  }

  Mutex mutex_;
  size_t bytes_ TS_GUARDED_BY(mutex_) = 0;
  size_t count_ TS_GUARDED_BY(mutex_) = 0;
  bool is_waiting_ TS_GUARDED_BY(mutex_) = false;
  bool has_bound_ TS_GUARDED_BY(mutex_) = true;
};

// What both ends have in common: `Call` has `stream_`, gRPC's end of the call.
template <typename Call>
class Stream : public RaftStream {
 public:
  Stream(CallQueue& queue, RaftStreamEvents& events) : calls_(queue), events_(events) {}

  bool Send(Wire message) override {
    return queue_.Add(std::move(message), [this](const Wire* next) { Write(next); });
  }

 protected:
  // Once there is room. Nothing may be done with the stream behind it: what comes may be here.
  void ReadNext() {
    if (unhandled_.MayRead()) Read();
  }
  void EndWaiting() {
    if (unhandled_.GiveUp()) Read();
  }
  // False: the other end is none to talk to.
  Result<void> Take() {
    if (peer_.has_value()) {
      RaftMessageRoom room = TakeRoom(read_.ByteSizeLong());
      events_.OnMessage(*peer_, std::move(read_), std::move(room));
      return {};
    }
    ASSIGN_OR_RETURN(peer_, ReadRaftHello(read_, self_));
    return {};
  }
  // Ends it; nothing more is read or written.
  template <typename Finish>
  void EndWith(Finish finish) {
    queue_.End([&] { calls_.Begin(finish); });
  }
  // The call has ended.
  void OnEnded(const grpc::Status& status) {
    is_down_ = true;
    events_.OnDown(this, peer_, status);
  }

  CallQueue& calls_;
  RaftStreamEvents& events_;
  RaftSelf self_;
  std::optional<RaftPeer> peer_;

 private:
  Call& call() { return static_cast<Call&>(*this); }
  std::shared_ptr<Call> Self() { return call().shared_from_this(); }
  void Read() {
    queue_.UnlessEnded([this] {
      calls_.Begin([this] {
        read_.Clear();
        call().stream().Read(&read_, reading_.Begin(Self()));
      });
    });
  }
  void Write(const Wire* next) {
    calls_.Begin([&] { call().stream().Write(*next, writing_.Begin(Self())); });
  }
  void OnReadDone(bool ok) {
    if (!is_down_) call().OnRead(ok);
  }
  // Where it fails reading does, too.
  void OnWriteDone(bool ok) {
    if (ok) queue_.OnWritten([this](const Wire* next) { Write(next); });
  }
  RaftMessageRoom TakeRoom(size_t bytes) {
    unhandled_.Add(bytes);
    return {&unhandled_, [self = Self(), bytes](void*) {
              Stream& stream = *self;
              if (stream.unhandled_.Remove(bytes)) stream.Read();
            }};
  }

  WriteQueue queue_;
  Unhandled unhandled_;
  Wire read_;
  bool is_down_ = false;  // the queue's thread
  Operation<Stream> reading_{&Stream::OnReadDone};
  Operation<Stream> writing_{&Stream::OnWriteDone};
};

class Caller final : public Stream<Caller>, public std::enable_shared_from_this<Caller> {
 public:
  Caller(CallQueue& queue, RaftStreamEvents& events, const RaftSelf& self, NodeId to, bool is_bulk)
      : Stream(queue, events), to_(to), is_bulk_(is_bulk) {
    self_ = self;
  }

  void Begin(internal::v1::RaftService::Stub& stub) {
    calls_.Begin([&] {
      stream_ = stub.PrepareAsyncExchange(&context_, calls_.get());
      stream_->StartCall(beginning_.Begin(shared_from_this()));
    });
  }
  void Cancel() override {
    context_.TryCancel();
    EndWaiting();
  }

 private:
  friend Stream;
  grpc::ClientAsyncReaderWriter<Wire, Wire>& stream() { return *stream_; }

  void OnBegun(bool ok) {
    if (!ok) return Finish();
    Send(RaftHello(self_, to_, is_bulk_));
    ReadNext();
  }
  void OnRead(bool ok) {
    if (!ok) return Finish();
    const bool was_up = peer_.has_value();
    const auto taken = Take();
    const bool is_right = taken.ok() && peer_->key.node == to_;
    if (!is_right) {
      if (taken.ok()) {
        LOG_EVERY_T(WARNING, 10) << "Node " << to_ << " answers as node " << peer_->key.node
                                 << ": check `controllers`";
      }
      if (!was_up) peer_.reset();  // whom nobody has heard of is not lost
      context_.TryCancel();
      return Finish();
    }
    peer_->is_bulk = is_bulk_;
    if (!was_up) events_.OnUp(shared_from_this(), *peer_);
    ReadNext();
  }
  void Finish() {
    EndWith([this] { stream_->Finish(&status_, ending_.Begin(shared_from_this())); });
  }
  void OnFinished(bool) { OnEnded(status_); }

  const NodeId to_;
  const bool is_bulk_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientAsyncReaderWriter<Wire, Wire>> stream_;
  grpc::Status status_;
  Operation<Caller> beginning_{&Caller::OnBegun};
  Operation<Caller> ending_{&Caller::OnFinished};
};

// What the calls that come have in common.
struct Answering {
  internal::v1::RaftService::AsyncService& service;
  CallQueue& queue;
  RaftStreamEvents& events;
  std::function<std::optional<RaftSelf>()> begin;
};

class Answerer final : public ServerCall<Answerer>, public Stream<Answerer> {
 public:
  explicit Answerer(std::shared_ptr<Answering> all)
      : ServerCall(all->queue), Stream(all->queue, all->events), all_(std::move(all)) {}

  void Cancel() override { FinishWith(grpc::Status::CANCELLED); }

 private:
  friend ServerCall;
  friend Stream;
  grpc::ServerAsyncReaderWriter<Wire, Wire>& stream() { return stream_; }

  void Ask(void* tag) {
    all_->service.RequestExchange(&context(), &stream_, calls_.get(), calls_.get(), tag);
  }
  std::shared_ptr<Answerer> Another() { return std::make_shared<Answerer>(all_); }
  void OnStart() {
    const auto self = all_->begin();
    is_taken_ = self.has_value();
    if (!is_taken_) return FinishWith({grpc::StatusCode::UNAVAILABLE, "the node stops"});
    self_ = *self;
    ReadNext();
  }
  void OnRead(bool ok) {
    if (!ok) return FinishWith(grpc::Status::OK);
    const bool was_up = peer_.has_value();
    if (const auto taken = Take(); !taken.ok()) {
      const bool is_twin = taken.error().reason == Reason::kDuplicateVoter;
      return FinishWith(
          {is_twin ? grpc::StatusCode::ALREADY_EXISTS : grpc::StatusCode::FAILED_PRECONDITION,
           taken.error().message});
    }
    if (!was_up) {
      if (const auto caller = CheckCaller(); !caller.ok()) {
        LOG_EVERY_T(WARNING, 1) << "A node was refused: " << caller.error().message;
        peer_.reset();
        return FinishWith({grpc::StatusCode::FAILED_PRECONDITION, caller.error().message});
      }
      Send(RaftHello(self_, peer_->key.node, peer_->is_bulk));
      events_.OnUp(shared_from_this(), *peer_);
    }
    ReadNext();
  }
  Result<void> CheckCaller() {
    ASSIGN_OR_RETURN(const std::optional<NodeId> certified,
                     CertifiedCaller(context(), self_.cluster));
    if (!certified.has_value() || *certified == peer_->key.node) return {};
    return Error(Reason::kInvalidArgument,
                 "it says that it is node " + std::to_string(peer_->key.node.value) +
                     ", and its certificate is of node " + std::to_string(certified->value));
  }
  void OnGone() { FinishWith(grpc::Status::CANCELLED); }
  void FinishWith(const grpc::Status& status) {
    EndWith([&] { stream_.Finish(status, ending_.Begin(shared_from_this())); });
  }
  void OnFinished(bool) {
    if (is_taken_) OnEnded(grpc::Status::OK);
  }

  const std::shared_ptr<Answering> all_;
  bool is_taken_ = false;
  grpc::ServerAsyncReaderWriter<Wire, Wire> stream_{&context()};
  Operation<Answerer> ending_{&Answerer::OnFinished};
};

}  // namespace

Wire RaftHello(const RaftSelf& self, NodeId to, bool is_bulk) {
  Wire message;
  auto& hello = *message.mutable_hello();
  hello.set_cluster_id(IdBytes(self.cluster));
  hello.set_node_id(self.key.node.value);
  hello.set_directory_id(IdBytes(self.key.directory));
  hello.set_to_node_id(to.value);
  hello.set_kind(is_bulk ? Wire::Hello::KIND_BULK : Wire::Hello::KIND_CONTROL);
  hello.set_incarnation(IdBytes(self.incarnation));
  hello.set_may_vote(self.introduction.may_vote);
  hello.set_feature_level_min(self.introduction.feature_level_min);
  hello.set_feature_level_max(self.introduction.feature_level_max);
  for (const VoterEndpoint& endpoint : self.introduction.endpoints) {
    auto& out = *hello.add_endpoints();
    out.set_listener(endpoint.listener);
    out.set_host(endpoint.host);
    out.set_port(endpoint.port);
  }
  return message;
}

Result<RaftPeer> ReadRaftHello(const Wire& message, const RaftSelf& reader) {
  const NodeId self = reader.key.node;
  const auto& hello = message.hello();
  ClusterId theirs;
  RaftPeer peer;
  peer.key.node = NodeId{hello.node_id()};
  peer.is_bulk = hello.kind() == Wire::Hello::KIND_BULK;
  if (!message.has_hello() || hello.node_id() < 0 || !ReadId(hello.cluster_id(), &theirs) ||
      !ReadId(hello.directory_id(), &peer.key.directory)) {
    return Error(Reason::kInvalidArgument, "the first message is not the Hello of a node");
  }
  if (theirs != reader.cluster) {
    return Error(Reason::kInconsistentClusterId, "node " + std::to_string(hello.node_id()) +
                                                     " is of cluster " + theirs.ToString() +
                                                     ", this one of " + reader.cluster.ToString());
  }
  if (hello.to_node_id() != self.value) {
    return Error(Reason::kInvalidArgument, "this is node " + std::to_string(self.value) +
                                               ", and node " + std::to_string(hello.to_node_id()) +
                                               " was called: check `controllers`");
  }
  if (peer.key.node == self) {
    if (hello.incarnation() == IdBytes(reader.incarnation))
      return Error(Reason::kInvalidArgument, "the node has called itself");
    return Error(Reason::kDuplicateVoter,
                 "another process runs as node " + std::to_string(self.value) +
                     ", with the metadata directory " + reader.key.directory.ToString());
  }
  peer.introduction.may_vote = hello.may_vote();
  peer.introduction.feature_level_min = hello.feature_level_min();
  peer.introduction.feature_level_max = hello.feature_level_max();
  for (const auto& endpoint : hello.endpoints()) {
    if (endpoint.port() == 0 || endpoint.port() > UINT16_MAX) continue;
    VoterEndpoint said{endpoint.listener(), endpoint.host(),
                       static_cast<uint16_t>(endpoint.port())};
    if (!MayBeWritten(said)) continue;
    peer.introduction.endpoints.push_back(std::move(said));
    if (peer.introduction.endpoints.size() >= kEndpointsMax) break;
  }
  return peer;
}

std::shared_ptr<RaftStream> CallRaftPeer(internal::v1::RaftService::Stub& stub, CallQueue& queue,
                                         RaftStreamEvents& events, const RaftSelf& self, NodeId to,
                                         bool is_bulk) {
  const auto caller = std::make_shared<Caller>(queue, events, self, to, is_bulk);
  caller->Begin(stub);
  return caller;
}

void AnswerRaftPeers(internal::v1::RaftService::AsyncService& service, CallQueue& queue,
                     RaftStreamEvents& events, std::function<std::optional<RaftSelf>()> begin) {
  std::make_shared<Answerer>(
      std::make_shared<Answering>(Answering{service, queue, events, std::move(begin)}))
      ->Await();
}

}  // namespace gregor
