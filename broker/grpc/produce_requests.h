#ifndef GREGOR_BROKER_GRPC_PRODUCE_REQUESTS_H_
#define GREGOR_BROKER_GRPC_PRODUCE_REQUESTS_H_

#include <memory>
#include <variant>

#include "base/result.h"
#include "broker/api.h"
#include "broker/grpc/produce_wire.h"
#include "broker/grpc/wire_writer.h"
#include "gregor/v1/produce.pb.h"

namespace gregor {

// Between the messages of produce.proto and what the broker is asked. Thread: any.

// A write as the broker takes it: a batch that the client made, or plain records.
using ProduceWork = std::variant<ProduceBatch, ProduceRecords>;

// A received message and the copies that were made of it: what parsed requests point into.
struct ReceivedMessage {
  explicit ReceivedMessage(Bytes bytes) : bytes(std::move(bytes)) {}
  Bytes bytes;
  CopyArena arena;
};

// All fail with kInvalidArgument or kUnsupportedVersion; nothing was written then.
Result<ProduceWork> WorkOf(WireProduceRequest request,
                           const std::shared_ptr<ReceivedMessage>& message);

// What a produce stream says once, for all of its frames.
struct ProduceStreamRules {
  AckRule ack;
  Codec codec = Codec::kNone;
  ProducerId producer_id = kNoProducerId;
  ProducerEpoch producer_epoch = kNoProducerEpoch;
};
Result<ProduceStreamRules> RulesOf(const WireProduceOpen& open);
Result<ProduceWork> WorkOf(WireProduceFrame frame, const ProduceStreamRules& rules,
                           const std::shared_ptr<ReceivedMessage>& message, AbandonFlag abandoned);

// Serialized ProduceResponse.
WireWriter EncodeResponse(const Produced& produced);
WireWriter EncodeResponse(const ProducedRecords& produced);
// Serialized ProduceStreamResponse with an ack.
WireWriter EncodeAck(int64_t frame_id, const Produced& produced);
// ... where `explicit_partition` says whether the frame named its partition.
WireWriter EncodeAck(int64_t frame_id, const ProducedRecords& produced, bool explicit_partition);
WireWriter EncodeError(int64_t frame_id, const google::rpc::Status& status);

// What the broker says of a failed write: where it does not say that the outcome is unknown,
// nothing was appended.
Error WithOutcome(Error error);
// The error of a request of which some partitions took their records and others did not: that of
// the partition where repeating the request would not help, else kPartialFailure.
Error PartialFailure(const ProducedRecords& produced);
v1::PartialProduce PartialOf(const ProducedRecords& produced);

}  // namespace gregor

#endif  // GREGOR_BROKER_GRPC_PRODUCE_REQUESTS_H_
