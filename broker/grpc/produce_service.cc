#include "broker/grpc/produce_service.h"

#include <limits>
#include <string>
#include <utility>

#include "broker/grpc/byte_buffer.h"
#include "broker/grpc/produce_requests.h"
#include "broker/grpc/produce_stream.h"
#include "broker/grpc/status.h"

namespace gregor {
namespace {

// One Produce.
class ProduceCall final : public HotUnary {
 public:
  ProduceCall(std::shared_ptr<Door> door, ProduceService& service, UnaryMetrics& metrics)
      : HotUnary(std::move(door), metrics), service_(service), metrics_(metrics) {}

 private:
  void Ask(grpc::ServerContext* context, grpc::ByteBuffer* request, Responder* responder,
           grpc::ServerCompletionQueue* queue, void* tag) override {
    service_.RequestProduce(context, request, responder, queue, queue, tag);
  }
  std::shared_ptr<HotUnary> Another() override {
    return std::make_shared<ProduceCall>(shared_door(), service_, metrics_);
  }

  void OnRequest(const Bytes& bytes) override {
    auto message = std::make_shared<ReceivedMessage>(bytes);
    WireProduceRequest request;
    if (auto parsed = ParseProduceRequest(message->bytes, message->arena, request); !parsed.ok())
      return Fail(parsed.error());
    auto work = WorkOf(std::move(request), message);
    if (!work.ok()) {
      door().broker.CountRefused(work.error().reason);
      return Fail(work.error());
    }
    const auto self = std::static_pointer_cast<ProduceCall>(shared_from_this());
    if (auto* const batch = std::get_if<ProduceBatch>(&*work)) {
      return door().broker.Produce(std::move(*batch),
                                   [self](Result<Produced> produced) { self->Answer(produced); });
    }
    door().broker.Produce(std::get<ProduceRecords>(std::move(*work)),
                          [self](Result<ProducedRecords> produced) { self->Answer(produced); });
  }

  // Thread: the broker's.
  void Answer(const Result<Produced>& produced) {
    if (!produced.ok()) return Fail(WithOutcome(produced.error()));
    Reply(MakeMessage(EncodeResponse(*produced).bytes()));
  }
  void Answer(const Result<ProducedRecords>& produced) {
    if (!produced.ok()) return Fail(WithOutcome(produced.error()));
    if (produced->error.has_value()) {
      const Error error = PartialFailure(*produced);
      return Fail(error, ToStatus(ToRpcStatus(error, PartialOf(*produced))));
    }
    Reply(MakeMessage(EncodeResponse(*produced).bytes()));
  }

  ProduceService& service_;
  UnaryMetrics& metrics_;
};

Result<InitProducer> InitOf(const v1::InitProducerRequest& request) {
  if (!request.transactional_id().empty()) {
    return Error(Reason::kUnsupportedVersion,
                 "this version of the server has no transactions: leave transactional_id out");
  }
  InitProducer init;
  if (!request.has_producer_id()) return init;
  const int32_t epoch = request.producer_epoch();
  if (!request.has_producer_epoch() || epoch < 0 || epoch > std::numeric_limits<int16_t>::max()) {
    return Error(Reason::kInvalidArgument,
                 "a producer_id goes with the producer_epoch that InitProducer gave with it");
  }
  init.producer_id = ProducerId{request.producer_id()};
  init.producer_epoch = ProducerEpoch{static_cast<int16_t>(epoch)};
  return init;
}

}  // namespace

ProduceService::ProduceService(Door& door)
    : broker_(door.broker),
      produce_metrics_(door.metrics, "gregor.v1.ProduceService/Produce"),
      stream_metrics_(door.metrics, "gregor.v1.ProduceService/ProduceStream"),
      frame_latency_(stream_metrics_.calls.AddLatency(
          "gregor_grpc_frame_seconds", "From a produce frame's arrival to its answer.")),
      methods_(door.metrics, "gregor.v1.ProduceService") {
  methods_.Add(ControlMethods::Kind::kWrite, "InitProducer", this,
               &ProduceService::RequestInitProducer, &ProduceService::Init);
}

void ProduceService::Serve(const std::shared_ptr<Door>& door) {
  for (int i = 0; i < kUnaryCallsListening; ++i)
    std::make_shared<ProduceCall>(door, *this, produce_metrics_)->Listen();
  for (int i = 0; i < kStreamsListening; ++i)
    MakeProduceStream(door, *this, stream_metrics_, frame_latency_)->Listen();
  methods_.Serve(door);
}

void ProduceService::Init(const v1::InitProducerRequest& request,
                          Reply<v1::InitProducerResponse> reply) {
  auto init = InitOf(request);
  if (!init.ok()) return reply(std::move(init).error());
  broker_.Init(std::move(*init),
               [reply = std::move(reply)](Result<InitializedProducer> producer) mutable {
                 if (!producer.ok()) return reply(std::move(producer).error());
                 v1::InitProducerResponse answer;
                 answer.set_producer_id(producer->producer_id.value);
                 answer.set_producer_epoch(producer->producer_epoch.value);
                 reply(std::move(answer));
               });
}

}  // namespace gregor
