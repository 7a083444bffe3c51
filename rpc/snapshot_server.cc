#include "rpc/snapshot_server.h"

#include <algorithm>
#include <utility>

#include "base/thread_annotations.h"
#include "raft/host/control_records.h"
#include "rpc/call_watch.h"

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

class Sender final : public grpc::ServerWriteReactor<SnapshotChunk> {
 public:
  // What may outlive the call: reading takes its time, and so long it counts among the served.
  struct Handle {
    explicit Handle(Sender* sender) : sender(sender) {}
    Mutex mutex;
    Sender* sender TS_GUARDED_BY(mutex);
    std::shared_ptr<void> place;
  };

  Sender(EventLoop& loop, const SnapshotLimits& limits, grpc::CallbackServerContext& context)
      : loop_(loop),
        chunk_bytes_(limits.chunk_bytes),
        watch_(
            std::make_shared<CallWatch>(loop, limits.stall, [&context] { context.TryCancel(); })) {}

  void Begin(const FetchSnapshotRequest& request, std::shared_ptr<void> place,
             const SnapshotSource::Reader& open) {
    begun_ = WishOf(request).begun;
    position_ = static_cast<uint64_t>(std::max<int64_t>(0, request.position()));
    handle_->place = std::move(place);
    watch_->Begin();
    open(WishOf(request), [handle = handle_](Result<ServedSnapshot> snapshot) {
      const MutexLock lock(handle->mutex);
      if (handle->sender != nullptr) handle->sender->OnOpened(std::move(snapshot));
    });
  }
  // Nothing was begun.
  void Refuse(const grpc::Status& status) {
    const MutexLock lock(handle_->mutex);
    End(status);
  }

 private:
  void OnOpened(Result<ServedSnapshot> snapshot) {
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
  void ReadNext() {
    const auto size =
        static_cast<size_t>(std::min<uint64_t>(chunk_bytes_, snapshot_.size_bytes - position_));
    loop_.Post("snapshot.read",
               [read = snapshot_.read, position = position_, size, handle = handle_]() mutable {
                 read(position, size, [handle = std::move(handle)](Result<std::string> bytes) {
                   const MutexLock lock(handle->mutex);
                   if (handle->sender != nullptr) handle->sender->OnRead(std::move(bytes));
                 });
               });
  }
  void OnRead(Result<std::string> bytes) {
    if (is_ended_) return;
    if (!bytes.ok()) return End({grpc::StatusCode::UNAVAILABLE, bytes.error().message});
    position_ += bytes->size();
    chunk_.set_data(*std::move(bytes));
    StartWrite(&chunk_);
  }
  void OnWriteDone(bool ok) override {
    watch_->Note();
    const MutexLock lock(handle_->mutex);
    if (is_ended_) return;
    if (!ok) return End(grpc::Status::CANCELLED);
    if (position_ == snapshot_.size_bytes) return End(grpc::Status::OK);
    chunk_.Clear();
    ReadNext();
  }
  void OnCancel() override {
    const MutexLock lock(handle_->mutex);
    End(grpc::Status::CANCELLED);
  }
  // REQUIRES: the lock.
  void End(const grpc::Status& status) {
    if (!std::exchange(is_ended_, true)) Finish(status);
  }
  void OnDone() override {
    watch_->End();
    {
      const MutexLock lock(handle_->mutex);
      handle_->sender = nullptr;
    }
    delete this;
  }

  EventLoop& loop_;
  const size_t chunk_bytes_;
  const std::shared_ptr<Handle> handle_ = std::make_shared<Handle>(this);
  const std::shared_ptr<CallWatch> watch_;
  std::optional<raft::SnapshotId> begun_;
  ServedSnapshot snapshot_;
  SnapshotChunk chunk_;
  uint64_t position_ = 0;  // of the next byte to be read
  bool is_ended_ = false;
};

}  // namespace

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

grpc::ServerWriteReactor<SnapshotChunk>* SnapshotServer::Serve(grpc::CallbackServerContext& context,
                                                               const FetchSnapshotRequest& request,
                                                               const SnapshotSource::Reader& open) {
  auto* const sender = new Sender(loop_, limits_, context);  // deletes itself when it is over
  const std::string expected(cluster_.bytes.begin(), cluster_.bytes.end());
  if (request.cluster_id() != expected) {
    sender->Refuse({grpc::StatusCode::FAILED_PRECONDITION, "the node is of another cluster"});
    return sender;
  }
  auto place = TakePlace();
  if (place == nullptr) {
    sender->Refuse(
        {grpc::StatusCode::UNAVAILABLE, "the node serves " + std::to_string(limits_.served_max) +
                                            " others with snapshots already: try again later"});
    return sender;
  }
  sender->Begin(request, std::move(place), open);
  return sender;
}

}  // namespace gregor
