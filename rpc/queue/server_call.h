#ifndef GREGOR_RPC_QUEUE_SERVER_CALL_H_
#define GREGOR_RPC_QUEUE_SERVER_CALL_H_

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <memory>

#include "rpc/queue/call_queue.h"

namespace gregor {

// A call that comes to a server, from waiting for one on: `Call` derives from this, and has
//   void Ask(void* tag);              asks its service for the next call of the method
//   std::shared_ptr<Call> Another();  one more of the kind, which waits when this one has come
//   void OnStart();                   it has come
//   void OnGone();                    it is over, or its caller does not wait any more
// which run on the queue's thread (Ask() on any). It lives as long as an operation or its owner
// holds it.
template <typename Call>
class ServerCall : public std::enable_shared_from_this<Call> {
 public:
  // REQUIRES: the queue is shared.
  explicit ServerCall(CallQueue& queue) : queue_(queue.shared_from_this()) {}

  // Waits for a call. Once. REQUIRES: the server runs. Thread: any.
  void Await() {
    queue_->Begin([this] {
      context_.AsyncNotifyWhenDone(gone_.Begin(this->shared_from_this()));
      static_cast<Call&>(*this).Ask(come_.Begin(this->shared_from_this()));
    });
  }

 protected:
  ~ServerCall() = default;
  CallQueue& queue() { return *queue_; }
  grpc::ServerContext& context() { return context_; }

 private:
  void OnCome(bool ok) {
    // Of a call that never came gRPC does not say that it is over.
    if (!ok) return gone_.Forget();
    static_cast<Call&>(*this).Another()->Await();
    static_cast<Call&>(*this).OnStart();
  }
  void OnOver(bool) { static_cast<Call&>(*this).OnGone(); }

  const std::shared_ptr<CallQueue> queue_;  // also where its server has gone
  grpc::ServerContext context_;
  Operation<ServerCall> come_{&ServerCall::OnCome};
  Operation<ServerCall> gone_{&ServerCall::OnOver};
};

// A unary one: `Call` has neither OnGone() nor what answers it.
template <typename Call, typename Request, typename Response>
class ServerUnary : public ServerCall<Call> {
 public:
  // The first of these two ends it; where its caller does not wait any more nothing comes of them.
  // Thread: any.
  void Reply(const Response& response) {
    End([&](void* tag) { responder_.Finish(response, grpc::Status::OK, tag); });
  }
  void Fail(const grpc::Status& status) {
    End([&](void* tag) { responder_.FinishWithError(status, tag); });
  }

 protected:
  explicit ServerUnary(CallQueue& queue) : ServerCall<Call>(queue) {}
  ~ServerUnary() = default;
  Request& request() { return request_; }
  grpc::ServerAsyncResponseWriter<Response>& responder() { return responder_; }

 private:
  friend ServerCall<Call>;
  void OnGone() {}
  template <typename Finish>
  void End(Finish finish) {
    if (has_ended_.exchange(true)) return;
    this->queue().Begin([&] { finish(ending_.Begin(this->shared_from_this())); });
  }
  void OnEnded(bool) {}

  Request request_;
  grpc::ServerAsyncResponseWriter<Response> responder_{&this->context()};
  std::atomic<bool> has_ended_{false};
  Operation<ServerUnary> ending_{&ServerUnary::OnEnded};
};

}  // namespace gregor

#endif  // GREGOR_RPC_QUEUE_SERVER_CALL_H_
