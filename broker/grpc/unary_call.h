#ifndef GREGOR_BROKER_GRPC_UNARY_CALL_H_
#define GREGOR_BROKER_GRPC_UNARY_CALL_H_

#include <google/protobuf/message_lite.h>
#include <grpcpp/alarm.h>
#include <grpcpp/grpcpp.h>

#include <memory>
#include <utility>

#include "base/clock.h"
#include "base/result.h"
#include "base/task.h"
#include "base/thread_annotations.h"
#include "broker/grpc/call_metrics.h"

namespace gregor {

// Answers a unary call; at most once, from any thread. A call that has ended meanwhile (the client
// went, the time was up) takes no answer any more: it is dropped.
template <typename Response>
using Reply = UniqueFunction<void(Result<Response>)>;

struct CallRules {
  // nullptr: nobody looks. Outlives the calls.
  MethodMetrics* metrics = nullptr;
  // For calls whose client set no deadline.
  Duration timeout = std::chrono::seconds(60);
  // Whether the call changes something: a call that ran out of time then has the outcome UNKNOWN.
  bool writes = false;
};

// One call of the callback API whose answer may come later than its end. Frees itself. Thread: any.
class UnaryCall final : public grpc::ServerUnaryReactor {
 public:
  // What may outlive the call: whoever takes the call out of it first ends it.
  class Handle {
   public:
    explicit Handle(UnaryCall* call) : call_(call) {}
    // nullptr if somebody else has.
    UnaryCall* Take();

   private:
    Mutex mutex_;
    UnaryCall* call_ TS_GUARDED_BY(mutex_);
  };

  // nullptr where the call has ended already, because its deadline had passed when it came; else
  // ends it when the time is up.
  static std::pair<UnaryCall*, std::shared_ptr<Handle>> Begin(grpc::CallbackServerContext& context,
                                                              const CallRules& rules);
  // REQUIRES: taken.
  void FinishOk() { End(grpc::Status::OK); }
  void Fail(const Error& error);

 private:
  UnaryCall(grpc::CallbackServerContext& context, const CallRules& rules);
  void OnCancel() override;
  void OnDone() override { delete this; }
  void End(const grpc::Status& status);
  static void EndLate(Handle& handle, bool writes);

  grpc::CallbackServerContext& context_;
  MethodMetrics* const metrics_;
  std::shared_ptr<Handle> handle_;
  std::unique_ptr<grpc::Alarm> timeout_;
};

// Runs `task` on one of gRPC's threads: for work that would hold up the caller's.
void RunOnGrpcThread(Task task);

// Calls take and give serialized messages, because gRPC answers one that it cannot parse without a
// word. Fails with kInvalidArgument, outcome NOT_APPLIED.
Result<void> ParseMessage(const grpc::ByteBuffer& bytes, google::protobuf::MessageLite& message);
grpc::ByteBuffer SerializeMessage(const google::protobuf::MessageLite& message);

// Calls `start(request, reply)`, whose reference is valid until it returns, and returns what a raw
// method of the callback API has to.
template <typename Request, typename Response, typename Start>
grpc::ServerUnaryReactor* AnswerLater(grpc::CallbackServerContext* context,
                                      const grpc::ByteBuffer* bytes, grpc::ByteBuffer* response,
                                      const CallRules& rules, Start start) {
  auto [call, handle] = UnaryCall::Begin(*context, rules);
  if (handle == nullptr) return call;
  Reply<Response> reply([handle = handle, response](Result<Response> result) {
    UnaryCall* const taken = handle->Take();
    if (taken == nullptr) return;
    if (!result.ok()) return taken->Fail(result.error());
    *response = SerializeMessage(*result);
    taken->FinishOk();
  });
  Request request;
  if (auto parsed = ParseMessage(*bytes, request); parsed.ok()) {
    start(static_cast<const Request&>(request), std::move(reply));
  } else {
    reply(std::move(parsed).error());
  }
  return call;
}

// The same where the answer is at hand: `make(request)` gives it.
template <typename Request, typename Response, typename Make>
grpc::ServerUnaryReactor* AnswerNow(grpc::CallbackServerContext* context,
                                    const grpc::ByteBuffer* bytes, grpc::ByteBuffer* response,
                                    const CallRules& rules, Make make) {
  return AnswerLater<Request, Response>(
      context, bytes, response, rules,
      [&](const Request& request, Reply<Response> reply) { reply(make(request)); });
}

}  // namespace gregor

#endif  // GREGOR_BROKER_GRPC_UNARY_CALL_H_
