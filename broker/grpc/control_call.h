#ifndef GREGOR_BROKER_GRPC_CONTROL_CALL_H_
#define GREGOR_BROKER_GRPC_CONTROL_CALL_H_

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/task.h"
#include "broker/grpc/byte_buffer.h"
#include "broker/grpc/hot_call.h"
#include "controller/image/controller_api.h"

namespace gregor {

class ControlCall;

// A unary method that is no matter of microseconds. Its requests are parsed and handled, and its
// answers serialized, on the door's control loop. Only a few calls of it wait there, so that none
// keeps other methods waiting: gRPC holds the others, unread.
struct ControlMethod {
  std::function<void(grpc::ServerContext*, grpc::ByteBuffer* request, HotUnary::Responder*,
                     grpc::ServerCompletionQueue*, void* tag)>
      ask;
  std::function<void(const Bytes& message, ControlCall&)> handle;
  // Whether it changes something: a call without an answer then has the outcome UNKNOWN, and none
  // is begun while the server stops.
  bool writes;
  UnaryMetrics metrics;
};

// One call of it.
class ControlCall final : public HotUnary {
 public:
  // REQUIRES: `method` lives as long as the door.
  ControlCall(std::shared_ptr<Door> door, ControlMethod& method);

  // The first one ends it. Thread: any.
  template <typename Response>
  void Answer(Result<Response> result) {
    if (!result.ok()) return Fail(result.error());
    door().OnControl([self = Self(), response = *std::move(result)] {
      self->Reply(SerializeMessage(response));
    });
  }
  using HotUnary::peer;
  using HotUnary::TimeLeft;
  std::shared_ptr<ControlCall> Self() {
    return std::static_pointer_cast<ControlCall>(shared_from_this());
  }

 private:
  void Ask(grpc::ServerContext* context, grpc::ByteBuffer* request, Responder* responder,
           grpc::ServerCompletionQueue* queue, void* tag) override {
    method_.ask(context, request, responder, queue, tag);
  }
  std::shared_ptr<HotUnary> Another() override {
    return std::make_shared<ControlCall>(shared_door(), method_);
  }
  void OnRequest(const Bytes& message) override;
  void OnGone() override { Drop(); }
  bool MayHaveWritten() const override { return method_.writes; }
  void Handle(const Bytes& message);  // Thread: the control loop

  ControlMethod& method_;
};

// Whether gRPC's name of a peer is an address of the machine's own.
bool IsLocalPeer(std::string_view peer);

// Answers a call; once, from any thread. A call that has ended meanwhile (the client went, the time
// was up) takes no answer any more: it is dropped.
template <typename Response>
class Reply {
 public:
  explicit Reply(std::shared_ptr<ControlCall> call) : call_(std::move(call)) {}

  void operator()(Result<Response> result) { call_->Answer(std::move(result)); }
  // Whether the caller is on this machine: nobody else hears what it says.
  bool is_local() const { return IsLocalPeer(call_->peer()); }
  // How long an answer will be of use.
  Duration time_left() const { return call_->TimeLeft(); }
  // Of an operation whose answer becomes this call's; it ends a little before the call does, so
  // that what is known by then is told.
  OperationContext operation_context() const {
    return {.principal = "", .timeout = time_left() - kAnswerEarlier};
  }

 private:
  static constexpr Duration kAnswerEarlier = std::chrono::milliseconds(50);

  std::shared_ptr<ControlCall> call_;
};

// The control methods of a service. Thread: main.
class ControlMethods {
 public:
  enum class Kind { kRead, kWrite };
  template <typename Base>
  using Ask = void (Base::*)(grpc::ServerContext*, grpc::ByteBuffer*, HotUnary::Responder*,
                             grpc::CompletionQueue*, grpc::ServerCompletionQueue*, void* tag);

  // `service`: "gregor.v1.TopicService". REQUIRES: `metrics` outlives this.
  ControlMethods(Metrics& metrics, std::string service)
      : metrics_(metrics), service_(std::move(service)) {}

  // Calls of `name`, for which `ask` asks the service, are handled by `handle`, whose reference is
  // valid until it returns. REQUIRES: `service` lives as long as the door.
  template <typename Service, typename Base, typename Request, typename Response>
  void Add(Kind kind, const std::string& name, Service* service, Ask<Base> ask,
           void (Service::*handle)(const Request&, Reply<Response>)) {
    AddMethod<Request, Response>(kind, name, service, ask,
                                 [service, handle](const Request& request, Reply<Response> reply) {
                                   (service->*handle)(request, std::move(reply));
                                 });
  }
  // The same where the answer is at hand.
  template <typename Service, typename Base, typename Request, typename Response>
  void Add(Kind kind, const std::string& name, Service* service, Ask<Base> ask,
           Result<Response> (Service::*handle)(const Request&) const) {
    AddMethod<Request, Response>(kind, name, service, ask,
                                 [service, handle](const Request& request, Reply<Response> reply) {
                                   reply((service->*handle)(request));
                                 });
  }
  // Begins to take calls. Once, when the server runs.
  void Serve(const std::shared_ptr<Door>& door);

 private:
  template <typename Request, typename Response, typename Service, typename Base, typename Handle>
  void AddMethod(Kind kind, const std::string& name, Service* service, Ask<Base> ask,
                 Handle handle) {
    auto ask_service = [service, ask](auto* context, auto* request, auto* responder, auto* queue,
                                      void* tag) {
      (service->*ask)(context, request, responder, queue, queue, tag);
    };
    auto parse_and_handle = [handle](const Bytes& message, ControlCall& call) {
      Reply<Response> reply(call.Self());
      Request request;
      if (auto parsed = ParseMessage(message, request); !parsed.ok())
        return reply(std::move(parsed).error());
      handle(static_cast<const Request&>(request), std::move(reply));
    };
    methods_.emplace_back(
        new ControlMethod{.ask = std::move(ask_service),
                          .handle = std::move(parse_and_handle),
                          .writes = kind == Kind::kWrite,
                          .metrics = UnaryMetrics(metrics_, service_ + "/" + name)});
  }

  Metrics& metrics_;
  const std::string service_;
  std::vector<std::unique_ptr<ControlMethod>> methods_;
};

}  // namespace gregor

#endif  // GREGOR_BROKER_GRPC_CONTROL_CALL_H_
