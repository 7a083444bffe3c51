#include "broker/grpc/produce_requests.h"

#include <algorithm>
#include <limits>
#include <string>
#include <utility>

#include "broker/grpc/byte_buffer.h"
#include "broker/grpc/conversions.h"

namespace gregor {
namespace {

Error NotApplied(Error error) { return std::move(error).With("outcome", "NOT_APPLIED"); }

Error Invalid(std::string message) {
  return NotApplied(Error(Reason::kInvalidArgument, std::move(message)));
}

Result<void> CheckTransactionalId(const WireProducerSession& session) {
  if (session.transactional_id.empty()) return {};
  return NotApplied(Error(Reason::kUnsupportedVersion,
                          "this version of the server has no transactions: leave "
                          "producer.transactional_id out"));
}

Result<ProducerEpoch> ProducerEpochOf(const WireProducerSession& session) {
  if (session.producer_id < 0) {
    return Invalid("producer_id " + std::to_string(session.producer_id) +
                   " was not given by InitProducer: leave producer out for no idempotence");
  }
  if (session.producer_epoch < 0 || session.producer_epoch > std::numeric_limits<int16_t>::max()) {
    return Invalid("producer_epoch " + std::to_string(session.producer_epoch) +
                   " was not given by InitProducer");
  }
  return ProducerEpoch{static_cast<int16_t>(session.producer_epoch)};
}

// One batch that the client made, for a named partition.
Result<ProduceWork> BatchWork(std::string_view topic, std::string_view topic_id,
                              std::optional<int32_t> partition, Bytes batch, const AckRule& ack) {
  if (!partition.has_value())
    return Invalid("record_batch needs a partition: only plain records are assigned to one");
  auto ref = TopicOf(topic, topic_id);
  if (!ref.ok()) return NotApplied(std::move(ref).error());
  ProduceBatch work;
  work.topic = std::move(*ref);
  work.partition = PartitionIndex{*partition};
  work.batch = Unpinned(std::move(batch));
  work.ack = ack;
  return ProduceWork(std::move(work));
}

// A batch carries its producer: a session beside it has to be the same one.
Result<void> CheckSession(const WireProducerSession& session, const Bytes& batch) {
  ASSIGN_OR_RETURN(const ProducerEpoch epoch, ProducerEpochOf(session));
  const auto header = PeekHeader(batch, SIZE_MAX);
  if (!header.ok()) return {};  // refused for that
  if (header->producer_id.value == session.producer_id && header->producer_epoch == epoch)
    return {};
  return Invalid("producer is " + std::to_string(session.producer_id) + " with epoch " +
                 std::to_string(epoch.value) + ", the record_batch has " +
                 std::to_string(header->producer_id.value) + " with epoch " +
                 std::to_string(header->producer_epoch.value) +
                 ": leave producer out, since the batch carries it");
}

Result<ProduceRecords> RecordsWork(std::string_view topic, std::string_view topic_id,
                                   std::optional<int32_t> partition, std::vector<NewRecord> records,
                                   const AckRule& ack,
                                   const std::shared_ptr<ReceivedMessage>& message) {
  auto ref = TopicOf(topic, topic_id);
  if (!ref.ok()) return NotApplied(std::move(ref).error());
  if (records.empty())
    return Invalid("neither records nor record_batch: there is nothing to write");
  ProduceRecords work;
  work.topic = std::move(*ref);
  if (partition.has_value()) work.partition = PartitionIndex{*partition};
  work.records = std::move(records);
  work.owner = message;
  work.ack = ack;
  return work;
}

// --- answers ---

void AddReceipt(const std::optional<Receipt>& receipt, uint32_t field, WireWriter& writer) {
  if (!receipt.has_value()) return;
  const auto packed = [](const std::vector<NodeId>& nodes) {
    WireWriter list;
    for (const NodeId node : nodes) list.Element(node.value);
    return list;
  };
  WireWriter message;
  if (!receipt->synced.empty()) message.Message(1, packed(receipt->synced));
  if (!receipt->held.empty()) message.Message(2, packed(receipt->held));
  writer.Message(field, message);
}

// 0: not set, which is what a stub reads where nothing was sent.
int64_t TimeOf(const Produced& produced) {
  return std::max<int64_t>(0, produced.log_append_time.value);
}

WireWriter EncodeRange(int32_t first_index, int32_t count, Offset base_offset,
                       const Produced& batch) {
  WireWriter range;
  range.Int(1, first_index);
  range.Int(2, count);
  range.Int(3, batch.partition.value);
  range.Int(4, base_offset.value);
  range.Int(5, TimeOf(batch));
  range.Int(6, batch.duplicate ? 1 : 0);
  range.Int(7, batch.leader_epoch.value);
  AddReceipt(batch.receipt, 8, range);
  return range;
}

void AddRanges(const ProducedRecords& produced, uint32_t field, WireWriter& writer) {
  for (const ProducedRange& range : produced.ranges) {
    writer.Message(field, EncodeRange(range.first_index, range.count, range.base_offset,
                                      produced.batches[range.batch]));
  }
}

// The fields of ProduceAck up to the receipt.
WireWriter AckOf(int64_t frame_id, Offset base_offset, const Produced& produced) {
  WireWriter ack;
  ack.Int(1, frame_id);
  ack.Int(2, base_offset.value);
  ack.Int(3, produced.partition.value);
  ack.Int(4, produced.leader_epoch.value);
  ack.Int(5, TimeOf(produced));
  ack.Int(6, produced.duplicate ? 1 : 0);
  AddReceipt(produced.receipt, 7, ack);
  return ack;
}

}  // namespace

Result<ProduceWork> WorkOf(WireProduceRequest request,
                           const std::shared_ptr<ReceivedMessage>& message) {
  const auto ack = AcksOf(request.acks, request.acks_count, request.receipt);
  if (!ack.ok()) return NotApplied(ack.error());
  const auto codec = CodecOf(request.compression);
  if (!codec.ok()) return NotApplied(codec.error());
  if (auto routing = CheckRouting(request.routing); !routing.ok())
    return NotApplied(std::move(routing).error());
  if (request.producer.has_value()) RETURN_IF_ERROR(CheckTransactionalId(*request.producer));
  if (!request.record_batch.empty()) {
    if (!request.records.empty())
      return Invalid("records and record_batch exclude each other: give one");
    if (!request.request_id.empty()) {
      return Invalid(
          "request_id goes with plain records: a record_batch carries its producer's sequence");
    }
    if (request.producer.has_value())
      RETURN_IF_ERROR(CheckSession(*request.producer, request.record_batch));
    return BatchWork(request.topic, request.topic_id, request.partition,
                     std::move(request.record_batch), *ack);
  }
  ASSIGN_OR_RETURN(auto work, RecordsWork(request.topic, request.topic_id, request.partition,
                                          std::move(request.records), *ack, message));
  work.codec = *codec;
  work.request_id = request.request_id;
  if (request.producer.has_value()) {
    work.producer_id = ProducerId{request.producer->producer_id};
    ASSIGN_OR_RETURN(work.producer_epoch, ProducerEpochOf(*request.producer));
    work.base_sequence = Sequence{request.producer->base_sequence};
  }
  return ProduceWork(std::move(work));
}

Result<ProduceStreamRules> RulesOf(const WireProduceOpen& open) {
  ProduceStreamRules rules;
  ASSIGN_OR_RETURN(rules.ack, AcksOf(open.acks, open.acks_count, open.receipt));
  ASSIGN_OR_RETURN(rules.codec, CodecOf(open.compression));
  RETURN_IF_ERROR(CheckRouting(open.routing));
  if (open.max_in_flight_bytes < 0 || open.max_in_flight_frames < 0)
    return Error(Reason::kInvalidArgument, "a window cannot be negative: 0 is the server's choice");
  if (!open.producer.has_value()) return rules;
  RETURN_IF_ERROR(CheckTransactionalId(*open.producer));
  rules.producer_id = ProducerId{open.producer->producer_id};
  ASSIGN_OR_RETURN(rules.producer_epoch, ProducerEpochOf(*open.producer));
  return rules;
}

Result<ProduceWork> WorkOf(WireProduceFrame frame, const ProduceStreamRules& rules,
                           const std::shared_ptr<ReceivedMessage>& message, AbandonFlag abandoned) {
  if (!frame.record_batch.empty()) {
    if (!frame.records.empty())
      return Invalid("records and record_batch exclude each other: give one");
    ASSIGN_OR_RETURN(auto work, BatchWork(frame.topic, frame.topic_id, frame.partition,
                                          std::move(frame.record_batch), rules.ack));
    std::get<ProduceBatch>(work).abandoned = std::move(abandoned);
    return work;
  }
  ASSIGN_OR_RETURN(auto work, RecordsWork(frame.topic, frame.topic_id, frame.partition,
                                          std::move(frame.records), rules.ack, message));
  work.codec = rules.codec;
  work.abandoned = std::move(abandoned);
  if (rules.producer_id != kNoProducerId) {
    work.producer_id = rules.producer_id;
    work.producer_epoch = rules.producer_epoch;
    work.base_sequence = Sequence{frame.base_sequence};
  }
  return ProduceWork(std::move(work));
}

WireWriter EncodeResponse(const Produced& produced) {
  WireWriter response;
  response.Message(1, EncodeRange(0, produced.record_count, produced.base_offset, produced));
  return response;
}

WireWriter EncodeResponse(const ProducedRecords& produced) {
  WireWriter response;
  AddRanges(produced, 1, response);
  return response;
}

WireWriter EncodeAck(int64_t frame_id, const Produced& produced) {
  WireWriter response;
  response.Message(2, AckOf(frame_id, produced.base_offset, produced));
  return response;
}

WireWriter EncodeAck(int64_t frame_id, const ProducedRecords& produced, bool explicit_partition) {
  CHECK(!produced.ranges.empty());
  const ProducedRange& first = produced.ranges.front();
  WireWriter ack = AckOf(frame_id, first.base_offset, produced.batches[first.batch]);
  if (!explicit_partition) AddRanges(produced, 8, ack);
  WireWriter response;
  response.Message(2, ack);
  return response;
}

WireWriter EncodeError(int64_t frame_id, const google::rpc::Status& status) {
  WireWriter error;
  error.Int(1, frame_id);
  error.Bytes(2, status.SerializeAsString());
  WireWriter response;
  response.Message(3, error);
  return response;
}

Error WithOutcome(Error error) {
  for (const auto& [key, value] : error.details) {
    if (key == "outcome") return error;
  }
  return NotApplied(std::move(error));
}

Error PartialFailure(const ProducedRecords& produced) {
  CHECK(produced.error.has_value());
  const Error& cause = *produced.error;
  const bool appended = std::any_of(produced.batches.begin(), produced.batches.end(),
                                    [](const Produced& batch) { return !batch.duplicate; });
  // Whoever is told of a partial failure repeats the request: that must be able to succeed.
  const bool is_final =
      SpecOf(cause.reason).grpc_code == SpecOf(Reason::kInvalidArgument).grpc_code;
  Error error =
      is_final ? Error(cause.reason,
                       cause.message + (appended ? "; other partitions took their records" : ""))
               : Error(Reason::kPartialFailure,
                       "some partitions took their records, others did not: " + cause.ToString());
  for (const auto& [key, value] : cause.details) {
    if (key != "outcome") error.With(key, value);
  }
  if (!is_final) error.With("cause", std::string(ReasonName(cause.reason)));
  if (produced.outcome_unknown) {
    error.With("outcome", "UNKNOWN");
  } else if (is_final && !appended) {
    error.With("outcome", "NOT_APPLIED");
  }
  return error;
}

v1::PartialProduce PartialOf(const ProducedRecords& produced) {
  v1::PartialProduce partial;
  for (const ProducedRange& range : produced.ranges) {
    const Produced& batch = produced.batches[range.batch];
    v1::ProducedRange& added = *partial.add_appended();
    added.set_first_index(range.first_index);
    added.set_count(range.count);
    added.set_partition(batch.partition.value);
    added.set_base_offset(range.base_offset.value);
    added.set_log_append_time_ms(TimeOf(batch));
    added.set_duplicate(batch.duplicate);
    added.set_leader_epoch(batch.leader_epoch.value);
  }
  return partial;
}

}  // namespace gregor
