#include "rpc/snapshot_transfer.h"

#include <algorithm>
#include <utility>

#include "base/thread_annotations.h"
#include "raft/host/control_records.h"

namespace gregor {
namespace {

using internal::v1::FetchSnapshotRequest;
using internal::v1::SnapshotChunk;

constexpr size_t kChunkBytes = 1u << 20;
// A peer's claim is no reason to allocate: bytes are taken as they come, up to this many.
constexpr size_t kSnapshotBytesMax = size_t{4} << 30;
constexpr int64_t kMinutesMax = 5;

std::string EncodeVoters(const VoterSet& voters) {
  return EncodeControl(voters, Timestamp{0}).bytes.ToString();
}

Result<VoterSet> DecodeVoters(const std::string& bytes) {
  ASSIGN_OR_RETURN(const RecordBatch batch, CheckBatch(Slice::Copy(bytes)));
  ASSIGN_OR_RETURN(const ControlRecord record, DecodeControl(batch));
  if (const auto* const voters = std::get_if<VoterSet>(&record)) return *voters;
  return Error(Reason::kCorruptBatch, "the voters of a snapshot are none");
}

class Sender final : public grpc::ServerWriteReactor<SnapshotChunk> {
 public:
  // What may outlive the call: reading takes its time.
  struct Handle {
    explicit Handle(Sender* sender) : sender(sender) {}
    Mutex mutex;
    Sender* sender TS_GUARDED_BY(mutex);
  };

  void Begin(const FetchSnapshotRequest& request, const ClusterId& cluster,
             const SnapshotSource::Reader& read) {
    const std::string expected(cluster.bytes.begin(), cluster.bytes.end());
    if (request.cluster_id() != expected)
      return End({grpc::StatusCode::FAILED_PRECONDITION, "the node is of another cluster"});
    read(Offset{request.end_min()}, [handle = handle_](Result<TravellingSnapshot> snapshot) {
      const MutexLock lock(handle->mutex);
      if (handle->sender != nullptr) handle->sender->OnRead(std::move(snapshot));
    });
  }

 private:
  void OnRead(Result<TravellingSnapshot> snapshot) {
    if (is_ended_) return;
    if (!snapshot.ok()) return End({grpc::StatusCode::UNAVAILABLE, snapshot.error().message});
    snapshot_ = *std::move(snapshot);
    chunk_.set_end(snapshot_.id.end.value);
    chunk_.set_term(snapshot_.id.term.value);
    chunk_.set_total_bytes(static_cast<int64_t>(snapshot_.bytes.size()));
    if (snapshot_.voters.has_value()) {
      chunk_.set_voters(EncodeVoters(snapshot_.voters->voters));
      chunk_.set_voters_end(snapshot_.voters->end.value);
    }
    WriteNext();
  }
  void WriteNext() {
    const size_t size = std::min(kChunkBytes, snapshot_.bytes.size() - sent_);
    chunk_.set_data(snapshot_.bytes.substr(sent_, size));
    sent_ += size;
    StartWrite(&chunk_);
  }
  void OnWriteDone(bool ok) override {
    const MutexLock lock(handle_->mutex);
    if (is_ended_) return;
    if (!ok) return End(grpc::Status::CANCELLED);
    if (sent_ == snapshot_.bytes.size()) return End(grpc::Status::OK);
    chunk_.Clear();
    WriteNext();
  }
  void OnCancel() override {
    const MutexLock lock(handle_->mutex);
    End(grpc::Status::CANCELLED);
  }
  // REQUIRES: the lock, or that nobody else knows of this yet.
  void End(const grpc::Status& status) {
    if (!std::exchange(is_ended_, true)) Finish(status);
  }
  void OnDone() override {
    {
      const MutexLock lock(handle_->mutex);
      handle_->sender = nullptr;
    }
    delete this;
  }

  const std::shared_ptr<Handle> handle_ = std::make_shared<Handle>(this);
  TravellingSnapshot snapshot_;
  SnapshotChunk chunk_;
  size_t sent_ = 0;
  bool is_ended_ = false;
};

class Fetcher final : public grpc::ClientReadReactor<SnapshotChunk> {
 public:
  Fetcher(EventLoop& loop, SnapshotSource::Fetched fetched, Task ended)
      : loop_(loop), fetched_(std::move(fetched)), ended_(std::move(ended)) {}

  void Begin(internal::v1::RaftService::Stub& stub, const ClusterId& cluster, Offset end_min) {
    request_.set_cluster_id(std::string(cluster.bytes.begin(), cluster.bytes.end()));
    request_.set_end_min(end_min.value);
    context_.set_deadline(gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                                       gpr_time_from_minutes(kMinutesMax, GPR_TIMESPAN)));
    stub.async()->FetchSnapshot(&context_, &request_, this);
    StartRead(&chunk_);
    StartCall();
  }

 private:
  void OnReadDone(bool ok) override {
    if (!ok) return;
    if (!is_begun_) {
      is_begun_ = true;
      total_bytes_ = static_cast<size_t>(std::max<int64_t>(0, chunk_.total_bytes()));
      snapshot_.id = {Offset{chunk_.end()}, Term{chunk_.term()}};
      voters_ = chunk_.voters();
      voters_end_ = Offset{chunk_.voters_end()};
    }
    snapshot_.bytes += chunk_.data();
    if (snapshot_.bytes.size() > std::min(total_bytes_, kSnapshotBytesMax)) {
      context_.TryCancel();
      return;
    }
    StartRead(&chunk_);
  }
  Result<TravellingSnapshot> Finished(const grpc::Status& status) {
    if (!status.ok()) {
      return Error(Reason::kLeaderNotAvailable,
                   "the metadata snapshot could not be fetched: " + status.error_message());
    }
    if (!is_begun_ || snapshot_.bytes.size() != total_bytes_)
      return Error(Reason::kLeaderNotAvailable, "the metadata snapshot came cut short");
    if (!voters_.empty()) {
      ASSIGN_OR_RETURN(VoterSet voters, DecodeVoters(voters_));
      snapshot_.voters = raft::VotersAt{voters_end_, std::move(voters)};
    }
    return std::move(snapshot_);
  }
  void OnDone(const grpc::Status& status) override {
    loop_.Post("snapshot.fetched",
               [fetched = std::move(fetched_), result = Finished(status)]() mutable {
                 fetched(std::move(result));
               });
    Task ended = std::move(ended_);
    delete this;
    ended();
  }

  EventLoop& loop_;
  SnapshotSource::Fetched fetched_;
  Task ended_;
  grpc::ClientContext context_;
  FetchSnapshotRequest request_;
  SnapshotChunk chunk_;
  TravellingSnapshot snapshot_;
  std::string voters_;
  Offset voters_end_{0};
  size_t total_bytes_ = 0;
  bool is_begun_ = false;
};

}  // namespace

grpc::ServerWriteReactor<SnapshotChunk>* SendSnapshot(const FetchSnapshotRequest& request,
                                                      const ClusterId& cluster,
                                                      const SnapshotSource::Reader& read) {
  auto* const sender = new Sender;  // deletes itself when it is over
  sender->Begin(request, cluster, read);
  return sender;
}

void FetchSnapshot(internal::v1::RaftService::Stub& stub, EventLoop& loop, const ClusterId& cluster,
                   Offset end_min, SnapshotSource::Fetched fetched, Task ended) {
  auto* const fetcher = new Fetcher(loop, std::move(fetched), std::move(ended));
  fetcher->Begin(stub, cluster, end_min);
}

}  // namespace gregor
