#include "rpc/range_transfer.h"

#include <memory>
#include <utility>

#include "rpc/queue/client_call.h"
#include "rpc/queue/server_call.h"

namespace gregor {
namespace {

using internal::v1::FetchRangeRequest;
using internal::v1::FetchRangeResponse;

constexpr int64_t kSecondsMax = 10;

// What the calls that come have in common.
struct Answering {
  internal::v1::RaftService::AsyncService& service;
  CallQueue& queue;
  const ClusterId cluster;
  const RaftTransport::RangeReader read;
};

class Answer final : public ServerUnary<Answer, FetchRangeRequest, FetchRangeResponse> {
 public:
  explicit Answer(std::shared_ptr<Answering> all) : ServerUnary(all->queue), all_(std::move(all)) {}

 private:
  friend ServerUnary;
  friend ServerCall;
  void Ask(void* tag) {
    all_->service.RequestFetchRange(&context(), &request(), &responder(), queue().get(),
                                    queue().get(), tag);
  }
  std::shared_ptr<Answer> Another() { return std::make_shared<Answer>(all_); }
  void OnStart() {
    const ClusterId& cluster = all_->cluster;
    if (request().cluster_id() != std::string(cluster.bytes.begin(), cluster.bytes.end()))
      return Fail({grpc::StatusCode::FAILED_PRECONDITION, "the node is of another cluster"});
    // Reading takes its time.
    all_->read(Offset{request().from()}, [self = shared_from_this()](Result<LogRange> range) {
      self->OnRead(std::move(range));
    });
  }
  void OnRead(Result<LogRange> range) {
    if (!range.ok()) return Fail({grpc::StatusCode::UNAVAILABLE, range.error().message});
    FetchRangeResponse response;
    response.set_start(range->start.value);
    if (range->commit.has_value()) response.set_commit(range->commit->value);
    response.set_batches(range->batches.ToString());
    Reply(response);
  }

  const std::shared_ptr<Answering> all_;
};

Result<LogRange> RangeOf(const grpc::Status& status, FetchRangeResponse& response) {
  if (!status.ok()) {
    return Error(Reason::kLeaderNotAvailable,
                 "its metadata log could not be asked: " + status.error_message());
  }
  LogRange range;
  range.start = Offset{response.start()};
  if (response.has_commit()) range.commit = Offset{response.commit()};
  range.batches = Slice::Own(std::move(*response.mutable_batches()));
  return range;
}

}  // namespace

void AnswerRanges(internal::v1::RaftService::AsyncService& service, CallQueue& queue,
                  const ClusterId& cluster, RaftTransport::RangeReader read) {
  std::make_shared<Answer>(
      std::make_shared<Answering>(Answering{service, queue, cluster, std::move(read)}))
      ->Await();
}

std::function<void()> FetchRange(internal::v1::RaftService::Stub& stub, CallQueue& queue,
                                 EventLoop& loop, const ClusterId& cluster, Offset from,
                                 LogRangeRead fetched, Task ended) {
  FetchRangeRequest request;
  request.set_cluster_id(std::string(cluster.bytes.begin(), cluster.bytes.end()));
  request.set_from(from.value);
  const auto call = std::make_shared<UnaryCall<FetchRangeResponse>>();
  call->context().set_deadline(
      gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_seconds(kSecondsMax, GPR_TIMESPAN)));
  call->Start(
      queue,
      [&](grpc::ClientContext* context, grpc::CompletionQueue* calls) {
        return stub.AsyncFetchRange(context, request, calls);
      },
      [&loop, fetched = std::move(fetched), ended = std::move(ended)](
          const grpc::Status& status, FetchRangeResponse response) mutable {
        loop.Post("range.fetched",
                  [fetched = std::move(fetched), range = RangeOf(status, response)]() mutable {
                    fetched(std::move(range));
                  });
        ended();
      });
  return [call = std::weak_ptr(call)] {
    if (const auto begun = call.lock()) begun->context().TryCancel();
  };
}

}  // namespace gregor
