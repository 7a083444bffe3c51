#include "rpc/range_transfer.h"

#include <memory>
#include <utility>

#include "base/thread_annotations.h"

namespace gregor {
namespace {

using internal::v1::FetchRangeRequest;
using internal::v1::FetchRangeResponse;

constexpr int64_t kSecondsMax = 10;

class Answer final : public grpc::ServerUnaryReactor {
 public:
  // What may outlive the call: reading takes its time.
  struct Handle {
    explicit Handle(Answer* answer) : answer(answer) {}
    Mutex mutex;
    Answer* answer TS_GUARDED_BY(mutex);
  };

  explicit Answer(FetchRangeResponse& response) : response_(response) {}

  void Begin(const FetchRangeRequest& request, const ClusterId& cluster,
             const RaftTransport::RangeReader& read) {
    const std::string expected(cluster.bytes.begin(), cluster.bytes.end());
    if (request.cluster_id() != expected)
      return End({grpc::StatusCode::FAILED_PRECONDITION, "the node is of another cluster"});
    read(Offset{request.from()}, [handle = handle_](Result<LogRange> range) {
      const MutexLock lock(handle->mutex);
      if (handle->answer != nullptr) handle->answer->OnRead(std::move(range));
    });
  }

 private:
  void OnRead(Result<LogRange> range) {
    if (is_ended_) return;
    if (!range.ok()) return End({grpc::StatusCode::UNAVAILABLE, range.error().message});
    response_.set_start(range->start.value);
    if (range->commit.has_value()) response_.set_commit(range->commit->value);
    response_.set_batches(range->batches.ToString());
    End(grpc::Status::OK);
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
      handle_->answer = nullptr;
    }
    delete this;
  }

  FetchRangeResponse& response_;
  const std::shared_ptr<Handle> handle_ = std::make_shared<Handle>(this);
  bool is_ended_ = false;
};

struct Question {
  grpc::ClientContext context;
  FetchRangeRequest request;
  FetchRangeResponse response;
  LogRangeRead fetched;
  Task ended;
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

grpc::ServerUnaryReactor* SendRange(const FetchRangeRequest& request, FetchRangeResponse& response,
                                    const ClusterId& cluster,
                                    const RaftTransport::RangeReader& read) {
  auto* const answer = new Answer(response);  // deletes itself when it is over
  answer->Begin(request, cluster, read);
  return answer;
}

void FetchRange(internal::v1::RaftService::Stub& stub, EventLoop& loop, const ClusterId& cluster,
                Offset from, LogRangeRead fetched, Task ended) {
  const auto question = std::make_shared<Question>();
  question->request.set_cluster_id(std::string(cluster.bytes.begin(), cluster.bytes.end()));
  question->request.set_from(from.value);
  question->fetched = std::move(fetched);
  question->ended = std::move(ended);
  question->context.set_deadline(
      gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_seconds(kSecondsMax, GPR_TIMESPAN)));
  stub.async()->FetchRange(&question->context, &question->request, &question->response,
                           [question, &loop](const grpc::Status& status) {
                             loop.Post("range.fetched",
                                       [fetched = std::move(question->fetched),
                                        range = RangeOf(status, question->response)]() mutable {
                                         fetched(std::move(range));
                                       });
                             question->ended();
                           });
}

}  // namespace gregor
