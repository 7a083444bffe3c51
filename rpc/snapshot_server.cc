#include "rpc/snapshot_server.h"

#include <algorithm>
#include <utility>

#include "base/thread_annotations.h"
#include "raft/host/control_records.h"
#include "rpc/call_watch.h"
#include "rpc/queue/server_call.h"

namespace gregor {
namespace {

using internal::v1::FetchSnapshotRequest;
using internal::v1::SnapshotChunk;

std::string EncodeVoters(const VoterSet& voters) {
  return EncodeControl(voters, Timestamp{0}).bytes.ToString();
}

SnapshotWish WishOf(const FetchSnapshotRequest& request) {
  SnapshotWish wish{Offset{request.end_min()}, {}};
  if (request.position() > 0)
    wish.begun = {Offset{request.begun_end()}, Term{request.begun_term()}};
  return wish;
}

}  // namespace

class SnapshotServer::Sender final : public ServerCall<Sender> {
 public:
  // What the calls that come have in common.
  struct All {
    SnapshotServer& server;
    internal::v1::RaftService::AsyncService& service;
    CallQueue& queue;
    const SnapshotSource::Reader open;
  };

  explicit Sender(std::shared_ptr<All> all)
      : ServerCall(all->queue),
        all_(std::move(all)),
        loop_(all_->server.loop_),
        limits_(all_->server.limits_),
        watch_(
            std::make_shared<CallWatch>(loop_, limits_.stall, [this] { context().TryCancel(); })) {}

 private:
  friend ServerCall;
  void Ask(void* tag) {
    all_->service.RequestFetchSnapshot(&context(), &request_, &writer_, queue().get(),
                                       queue().get(), tag);
  }
  std::shared_ptr<Sender> Another() { return std::make_shared<Sender>(all_); }
  void OnStart() {
    if (const auto refusal = Accept(); !refusal.ok()) {
      const MutexLock lock(mutex_);
      return End(refusal);
    }
    watch_->Begin();
    // Reading takes its time, and so long it counts among the served.
    all_->open(WishOf(request_), [self = shared_from_this()](Result<ServedSnapshot> snapshot) {
      const MutexLock lock(self->mutex_);
      self->OnOpened(std::move(snapshot));
    });
  }
  grpc::Status Accept() {
    const MutexLock lock(mutex_);
    const ClusterId& cluster = all_->server.cluster_;
    if (request_.cluster_id() != std::string(cluster.bytes.begin(), cluster.bytes.end()))
      return {grpc::StatusCode::FAILED_PRECONDITION, "the node is of another cluster"};
    place_ = all_->server.TakePlace();
    if (place_ == nullptr) {
      return {grpc::StatusCode::UNAVAILABLE, "the node serves " +
                                                 std::to_string(limits_.served_max) +
                                                 " others with snapshots already: try again later"};
    }
    begun_ = WishOf(request_).begun;
    position_ = static_cast<uint64_t>(std::max<int64_t>(0, request_.position()));
    return grpc::Status::OK;
  }
  void OnOpened(Result<ServedSnapshot> snapshot) TS_REQUIRES(mutex_) {
    if (is_ended_) return;
    if (!snapshot.ok()) return End({grpc::StatusCode::UNAVAILABLE, snapshot.error().message});
    snapshot_ = *std::move(snapshot);
    const bool goes_on = begun_ == snapshot_.id && position_ <= snapshot_.size_bytes;
    if (!goes_on) position_ = 0;
    chunk_.set_end(snapshot_.id.end.value);
    chunk_.set_term(snapshot_.id.term.value);
    chunk_.set_total_bytes(static_cast<int64_t>(snapshot_.size_bytes));
    chunk_.set_position(static_cast<int64_t>(position_));
    if (snapshot_.voters.has_value()) {
      chunk_.set_voters(EncodeVoters(snapshot_.voters->voters));
      chunk_.set_voters_end(snapshot_.voters->end.value);
    }
    ReadNext();
  }
  void ReadNext() TS_REQUIRES(mutex_) {
    const auto size = static_cast<size_t>(
        std::min<uint64_t>(limits_.chunk_bytes, snapshot_.size_bytes - position_));
    loop_.Post("snapshot.read", [read = snapshot_.read, position = position_, size,
                                 self = shared_from_this()]() mutable {
      read(position, size, [self = std::move(self)](Result<std::string> bytes) {
        const MutexLock lock(self->mutex_);
        self->OnRead(std::move(bytes));
      });
    });
  }
  void OnRead(Result<std::string> bytes) TS_REQUIRES(mutex_) {
    if (is_ended_) return;
    if (!bytes.ok()) return End({grpc::StatusCode::UNAVAILABLE, bytes.error().message});
    position_ += bytes->size();
    chunk_.set_data(*std::move(bytes));
    queue().Begin(
        [this, chunk = &chunk_] { writer_.Write(*chunk, writing_.Begin(shared_from_this())); });
  }
  void OnWritten(bool ok) {
    watch_->Note();
    const MutexLock lock(mutex_);
    if (is_ended_) return;
    if (!ok) return End(grpc::Status::CANCELLED);
    if (position_ == snapshot_.size_bytes) return End(grpc::Status::OK);
    chunk_.Clear();
    ReadNext();
  }
  void OnGone() {
    watch_->End();
    const MutexLock lock(mutex_);
    End(grpc::Status::CANCELLED);
  }
  void End(const grpc::Status& status) TS_REQUIRES(mutex_) {
    if (std::exchange(is_ended_, true)) return;
    queue().Begin([&] { writer_.Finish(status, ending_.Begin(shared_from_this())); });
  }
  void OnEnded(bool) {}

  const std::shared_ptr<All> all_;
  EventLoop& loop_;
  const SnapshotLimits limits_;
  const std::shared_ptr<CallWatch> watch_;
  FetchSnapshotRequest request_;
  grpc::ServerAsyncWriter<SnapshotChunk> writer_{&context()};
  Operation<Sender> writing_{&Sender::OnWritten};
  Operation<Sender> ending_{&Sender::OnEnded};
  Mutex mutex_;
  std::shared_ptr<void> place_ TS_GUARDED_BY(mutex_);
  std::optional<raft::SnapshotId> begun_ TS_GUARDED_BY(mutex_);
  ServedSnapshot snapshot_ TS_GUARDED_BY(mutex_);
  SnapshotChunk chunk_ TS_GUARDED_BY(mutex_);
  uint64_t position_ TS_GUARDED_BY(mutex_) = 0;  // of the next byte to be read
  bool is_ended_ TS_GUARDED_BY(mutex_) = false;
};

SnapshotServer::SnapshotServer(EventLoop& loop, const ClusterId& cluster,
                               const SnapshotLimits& limits)
    : loop_(loop),
      cluster_(cluster),
      limits_(limits),
      served_(std::make_shared<std::atomic<int>>(0)) {}

std::shared_ptr<void> SnapshotServer::TakePlace() {
  const bool is_free = ++*served_ <= limits_.served_max;
  std::shared_ptr<void> place(served_.get(), [served = served_](void*) { --*served; });
  return is_free ? place : nullptr;
}

void SnapshotServer::Listen(internal::v1::RaftService::AsyncService& service, CallQueue& queue,
                            SnapshotSource::Reader open) {
  std::make_shared<Sender>(
      std::make_shared<Sender::All>(Sender::All{*this, service, queue, std::move(open)}))
      ->Await();
}

}  // namespace gregor
