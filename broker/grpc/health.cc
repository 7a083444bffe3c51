#include "broker/grpc/health.h"

#include <optional>
#include <utility>

#include "broker/grpc/byte_buffer.h"

namespace gregor {
namespace {

using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;

grpc::ByteBuffer MakeAnswer(HealthCheckResponse::ServingStatus status) {
  HealthCheckResponse response;
  response.set_status(status);
  return SerializeMessage(response);
}

class CheckCall final : public HotUnary {
 public:
  CheckCall(std::shared_ptr<Door> door, HealthService& service, UnaryMetrics& metrics)
      : HotUnary(std::move(door), metrics), service_(service), metrics_(metrics) {}

 private:
  void Ask(grpc::ServerContext* context, grpc::ByteBuffer* request, Responder* responder,
           grpc::ServerCompletionQueue* queue, void* tag) override {
    service_.RequestCheck(context, request, responder, queue, queue, tag);
  }
  std::shared_ptr<HotUnary> Another() override {
    return std::make_shared<CheckCall>(shared_door(), service_, metrics_);
  }
  bool MayHaveWritten() const override { return false; }
  void OnRequest(const Bytes& message) override {
    HealthCheckRequest request;
    if (auto parsed = ParseMessage(message, request); !parsed.ok()) return Fail(parsed.error());
    const auto status = service_.StatusOf(request.service());
    if (status != HealthCheckResponse::SERVICE_UNKNOWN) return Reply(MakeAnswer(status));
    const Error error(Reason::kUnsupportedVersion,
                      "this version of the server does not have the service that was asked for");
    // The code that the standard has for it.
    Fail(error, grpc::Status(grpc::NOT_FOUND, error.message));
  }

  HealthService& service_;
  UnaryMetrics& metrics_;
};

class WatchStream final : public HotServerStream, public HealthService::Watcher {
 public:
  WatchStream(std::shared_ptr<Door> door, HealthService& service, StreamMetrics& metrics)
      : HotServerStream(std::move(door), metrics), service_(service) {}

 private:
  void Ask(void* tag) override {
    auto* const queue = door().queue.get();
    service_.RequestWatch(&context(), request(), rpc(), queue, queue, tag);
  }
  std::shared_ptr<HotStream> Another() override {
    return std::make_shared<WatchStream>(shared_door(), service_, metrics());
  }
  void OnRequest(const Bytes& message) override {
    HealthCheckRequest request;
    if (auto parsed = ParseMessage(message, request); !parsed.ok()) return End(parsed.error());
    name_ = std::move(*request.mutable_service());
    service_.AddWatcher(this);
    OnChange();
  }
  // It goes on until the shutdown, to say that nothing serves.
  void OnDrain(Duration close_in) override {}
  grpc::ByteBuffer SignOfLife() override { return {}; }
  void OnEnded() override { service_.RemoveWatcher(this); }

  void OnChange() override {
    const auto status = service_.StatusOf(name_);
    if (std::exchange(told_, status) != status) Send(MakeAnswer(status));
    if (service_.shut_down()) End();
  }

  HealthService& service_;
  std::string name_;
  std::optional<HealthCheckResponse::ServingStatus> told_;
};

}  // namespace

HealthService::HealthService(Door& door, std::vector<std::string> services)
    : door_(door),
      services_(services.begin(), services.end()),
      check_metrics_(door.metrics, "grpc.health.v1.Health/Check"),
      watch_metrics_(door.metrics, "grpc.health.v1.Health/Watch") {}

void HealthService::Serve(const std::shared_ptr<Door>& door) {
  for (int i = 0; i < kControlCallsListening; ++i)
    std::make_shared<CheckCall>(door, *this, check_metrics_)->Listen();
  for (int i = 0; i < kControlStreamsListening; ++i)
    std::make_shared<WatchStream>(door, *this, watch_metrics_)->Listen();
}

void HealthService::SetServing(bool serving) {
  Set(serving ? State::kServing : State::kNotServing);
}

void HealthService::Shutdown() { Set(State::kShutDown); }

HealthCheckResponse::ServingStatus HealthService::StatusOf(const std::string& service) const {
  if (!service.empty() && services_.count(service) == 0)
    return HealthCheckResponse::SERVICE_UNKNOWN;
  return state_ == State::kServing ? HealthCheckResponse::SERVING
                                   : HealthCheckResponse::NOT_SERVING;
}

void HealthService::Set(State state) {
  state_ = state;
  door_.queue.Post([this] {
    for (Watcher* const each : watchers_) each->OnChange();
  });
}

}  // namespace gregor
