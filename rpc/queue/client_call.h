#ifndef GREGOR_RPC_QUEUE_CLIENT_CALL_H_
#define GREGOR_RPC_QUEUE_CLIENT_CALL_H_

#include <grpcpp/grpcpp.h>

#include <memory>
#include <utility>

#include "base/task.h"
#include "rpc/queue/call_queue.h"

namespace gregor {

// A unary call to a server. Lives as long as it is under way or its owner holds it. Thread: any.
template <typename Response>
class UnaryCall final : public std::enable_shared_from_this<UnaryCall<Response>> {
 public:
  using Reader = std::unique_ptr<grpc::ClientAsyncResponseReader<Response>>;
  using Done = UniqueFunction<void(const grpc::Status& status, Response response)>;

  // Deadline, and TryCancel(), which ends it also before it is begun.
  grpc::ClientContext& context() { return context_; }
  // Begins it with begin(context, queue), such as a stub's AsyncExecute(). `done` runs once: on the
  // queue's thread, or at once where the queue is closed. Once.
  template <typename BeginCall>
  void Start(CallQueue& queue, BeginCall begin, Done done) {
    done_ = std::move(done);
    const bool is_open = queue.Begin([&] {
      reader_ = begin(&context_, queue.get());
      reader_->Finish(&response_, &status_, finish_.Begin(this->shared_from_this()));
    });
    if (is_open) return;
    status_ = {grpc::StatusCode::UNAVAILABLE, "the node stops"};
    OnFinished(true);
  }

 private:
  void OnFinished(bool) { std::exchange(done_, nullptr)(status_, std::move(response_)); }

  grpc::ClientContext context_;
  Reader reader_;
  Response response_;
  grpc::Status status_;
  Done done_;
  Operation<UnaryCall> finish_{&UnaryCall::OnFinished};
};

}  // namespace gregor

#endif  // GREGOR_RPC_QUEUE_CLIENT_CALL_H_
