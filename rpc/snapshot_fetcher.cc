#include "rpc/snapshot_fetcher.h"

#include <algorithm>
#include <utility>

#include "raft/host/control_records.h"
#include "rpc/call_watch.h"

namespace gregor {
namespace {

using internal::v1::FetchSnapshotRequest;
using internal::v1::SnapshotChunk;

Error NotFetched(const std::string& why) {
  return Error(Reason::kLeaderNotAvailable, "the metadata snapshot could not be fetched: " + why);
}

Result<VoterSet> DecodeVoters(const std::string& bytes) {
  ASSIGN_OR_RETURN(auto voters, ReadVoters(bytes));
  if (voters.has_value()) return *std::move(voters);
  return Error(Reason::kCorruptBatch, "the voters of a snapshot are none");
}

}  // namespace

// How a call ended, and what there is then: all, with the voters, or a part.
struct SnapshotFetcher::Outcome {
  Result<void> result;
  std::optional<raft::VotersAt> voters;
  Part part;
};

class SnapshotFetcher::Call final : public std::enable_shared_from_this<Call> {
 public:
  using Ended = UniqueFunction<void(Outcome)>;

  // `ended` runs on the loop, and before `closed`.
  Call(EventLoop& loop, CallQueue& queue, const SnapshotLimits& limits, Part part, Ended ended,
       Task closed)
      : loop_(loop),
        queue_(queue),
        snapshot_bytes_max_(limits.snapshot_bytes_max),
        watch_(std::make_shared<CallWatch>(loop, limits.stall, [this] { context_.TryCancel(); })),
        ended_(std::move(ended)),
        closed_(std::move(closed)),
        part_(std::move(part)) {}

  void Begin(internal::v1::RaftService::Stub& stub, const ClusterId& cluster, Offset end_min) {
    request_.set_cluster_id(std::string(cluster.bytes.begin(), cluster.bytes.end()));
    request_.set_end_min(end_min.value);
    request_.set_begun_end(part_.id.end.value);
    request_.set_begun_term(part_.id.term.value);
    request_.set_position(static_cast<int64_t>(part_.bytes.size()));
    watch_->Begin();
    const bool is_open = queue_.Begin([&] {
      reader_ = stub.PrepareAsyncFetchSnapshot(&context_, request_, queue_.get());
      reader_->StartCall(beginning_.Begin(shared_from_this()));
    });
    if (!is_open) OnFinished(true);
  }
  // Thread: any.
  void Cancel() { context_.TryCancel(); }

 private:
  void OnBegun(bool ok) { GoOn(ok); }
  void OnRead(bool ok) {
    if (!ok) return GoOn(false);
    watch_->Note();
    auto taken = Take();
    if (!taken.ok()) {
      refusal_ = std::move(taken).error();
      context_.TryCancel();
    }
    GoOn(!refusal_.has_value());
  }
  void GoOn(bool is_more) {
    queue_.Begin([&] {
      const auto self = shared_from_this();
      if (is_more) return reader_->Read(&chunk_, reading_.Begin(self));
      reader_->Finish(&status_, finishing_.Begin(self));
    });
  }
  Result<void> Take() {
    if (!is_begun_) RETURN_IF_ERROR(TakeFirst());
    is_begun_ = true;
    if (chunk_.data().size() > part_.total_bytes - part_.bytes.size()) {
      part_ = {};
      return NotFetched("more came than there is");
    }
    part_.bytes += chunk_.data();
    return {};
  }
  // Says which snapshot comes, and whether it is what was begun.
  Result<void> TakeFirst() {
    const raft::SnapshotId id{Offset{chunk_.end()}, Term{chunk_.term()}};
    const auto total = static_cast<size_t>(std::max<int64_t>(0, chunk_.total_bytes()));
    const bool goes_on = part_.id == id && part_.total_bytes == total && !part_.bytes.empty() &&
                         chunk_.position() == static_cast<int64_t>(part_.bytes.size());
    if (!goes_on) part_ = {id, total, {}};
    if (!goes_on && chunk_.position() != 0) return NotFetched("it does not fit what is there");
    if (total > snapshot_bytes_max_) return NotFetched("it is too large");
    if (chunk_.voters().empty()) return {};
    ASSIGN_OR_RETURN(VoterSet voters, DecodeVoters(chunk_.voters()));
    voters_ = raft::VotersAt{Offset{chunk_.voters_end()}, std::move(voters)};
    return {};
  }
  Result<void> ResultOf() {
    if (refusal_.has_value()) return *refusal_;
    if (watch_->has_cancelled()) return NotFetched("nothing came any more");
    if (!status_.ok()) return NotFetched(status_.error_message());
    if (!is_begun_ || part_.bytes.size() != part_.total_bytes)
      return NotFetched("it was cut short");
    return {};
  }
  void OnFinished(bool) {
    watch_->End();
    loop_.Post("snapshot.fetched",
               [ended = std::move(ended_),
                outcome = Outcome{ResultOf(), std::move(voters_), std::move(part_)}]() mutable {
                 ended(std::move(outcome));
               });
    std::exchange(closed_, nullptr)();
  }

  EventLoop& loop_;
  CallQueue& queue_;
  const size_t snapshot_bytes_max_;
  const std::shared_ptr<CallWatch> watch_;
  Ended ended_;
  Task closed_;
  grpc::ClientContext context_;
  FetchSnapshotRequest request_;
  std::unique_ptr<grpc::ClientAsyncReader<SnapshotChunk>> reader_;
  SnapshotChunk chunk_;
  grpc::Status status_;
  Operation<Call> beginning_{&Call::OnBegun};
  Operation<Call> reading_{&Call::OnRead};
  Operation<Call> finishing_{&Call::OnFinished};
  Part part_;
  std::optional<Error> refusal_;  // why this end broke it off
  std::optional<raft::VotersAt> voters_;
  bool is_begun_ = false;
};

SnapshotFetcher::SnapshotFetcher(EventLoop& loop, CallQueue& queue, const ClusterId& cluster,
                                 const SnapshotLimits& limits)
    : loop_(loop), queue_(queue), cluster_(cluster), limits_(limits) {}

SnapshotFetcher::~SnapshotFetcher() { *alive_ = false; }

std::optional<Error> SnapshotFetcher::WhyNotNow(NodeId node, Offset end_min) const {
  if (!delivered_.has_value() || delivered_->node != node || end_min > delivered_->id.end)
    return std::nullopt;
  const Duration left = delivered_->again - loop_.clock().Now();
  if (left <= Duration::zero()) return std::nullopt;
  return NotFetched("it came whole before, and was of no use; it is fetched again in " +
                    std::to_string(left / std::chrono::milliseconds(1)) + " ms");
}

std::function<void()> SnapshotFetcher::Fetch(internal::v1::RaftService::Stub& stub, NodeId node,
                                             Offset end_min, SnapshotSource::Fetched fetched,
                                             Task ended) {
  // Of another one nobody will want the rest any more.
  std::optional<Kept> kept = std::exchange(kept_, std::nullopt);
  const bool is_of_use = kept.has_value() && kept->node == node && kept->part.id.end >= end_min;
  const auto call = std::make_shared<Call>(
      loop_, queue_, limits_, is_of_use ? std::move(kept->part) : Part{},
      [this, alive = alive_, node, number = ++calls_,
       fetched = std::move(fetched)](Outcome outcome) mutable {
        if (*alive) OnEnded(node, number, std::move(outcome), std::move(fetched));
      },
      std::move(ended));
  call->Begin(stub, cluster_, end_min);
  return [call = std::weak_ptr(call)] {
    if (const auto begun = call.lock()) begun->Cancel();
  };
}

void SnapshotFetcher::OnEnded(NodeId node, uint64_t number, Outcome outcome,
                              SnapshotSource::Fetched fetched) {
  if (!outcome.result.ok()) {
    if (!outcome.part.bytes.empty()) Keep(node, number, std::move(outcome.part));
    return fetched(std::move(outcome.result).error());
  }
  NoteDelivered(node, outcome.part.id);
  fetched(TravellingSnapshot{outcome.part.id, std::move(outcome.voters),
                             std::move(outcome.part.bytes)});
}

void SnapshotFetcher::Keep(NodeId node, uint64_t number, Part part) {
  kept_ = Kept{node, std::move(part), number};
  loop_.After(limits_.part_kept, "snapshot.drop_part", [this, alive = alive_, number] {
    if (*alive && kept_.has_value() && kept_->number == number) kept_.reset();
  });
}

// Who could use it does not ask for it again.
void SnapshotFetcher::NoteDelivered(NodeId node, const raft::SnapshotId& id) {
  const MonotonicTime now = loop_.clock().Now();
  const bool is_again = delivered_.has_value() && delivered_->node == node &&
                        delivered_->id == id && now - delivered_->again < limits_.pause_max;
  const Duration pause =
      is_again ? std::min(2 * delivered_->pause, limits_.pause_max) : limits_.pause_min;
  delivered_ = Delivered{node, id, pause, now + pause};
}

}  // namespace gregor
