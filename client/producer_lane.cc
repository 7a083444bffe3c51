#include "client/producer_lane.h"

#include <utility>

#include "base/crc32c.h"
#include "base/murmur2.h"
#include "gregor/v1/produce.pb.h"

namespace gregor::producer_internal {

namespace {

v1::Acks ToProto(ClientAcks acks) {
  return acks == ClientAcks::kAll      ? v1::ACKS_ALL
         : acks == ClientAcks::kLeader ? v1::ACKS_LEADER
                                       : v1::ACKS_NONE;
}

}  // namespace

Result<Lane*> ChooseLane(Topic& topic, std::optional<PartitionIndex> partition,
                         const NewRecord& record) {
  if (!partition.has_value() && record.key.has_value()) {
    partition = PartitionOfKey(*record.key, static_cast<int32_t>(topic.lanes.size()));
  }
  if (!partition.has_value()) return &topic.lanes[topic.sticky];
  if (partition->value >= 0 && static_cast<size_t>(partition->value) < topic.lanes.size()) {
    return &topic.lanes[static_cast<size_t>(partition->value)];
  }
  return Error(Reason::kPartitionNotFound, "topic \"" + topic.name + "\" has no partition " +
                                               std::to_string(partition->value) + ": it has 0 to " +
                                               std::to_string(topic.lanes.size() - 1));
}

Bytes OpenMessage(const ProducerOptions& options, const BatchBuilder::Options& session) {
  v1::ProduceStreamRequest request;
  v1::ProduceOpen& open = *request.mutable_open();
  open.set_acks(ToProto(options.acks));
  if (session.producer_id != kNoProducerId) {
    open.mutable_producer()->set_producer_id(session.producer_id.value);
    open.mutable_producer()->set_producer_epoch(session.producer_epoch.value);
  }
  open.set_max_in_flight_bytes(static_cast<int64_t>(options.in_flight_bytes_max));
  return Slice::Own(request.SerializeAsString());
}

void SetSequence(RecordBatch& batch, Sequence sequence) {
  std::string bytes = batch.bytes.ToString();
  auto* const data = reinterpret_cast<uint8_t*>(bytes.data());
  batch.header.base_sequence = sequence;
  batch.header.Encode(data);
  batch.header.crc = Crc32c(0, {data + kBatchCrcStart, bytes.size() - kBatchCrcStart});
  batch.header.Encode(data);
  batch.bytes = Slice::Own(std::move(bytes));
}

bool IsRetriable(const Error& error) {
  const RetryAdvice advice = SpecOf(error.reason).retry;
  return advice == RetryAdvice::kBackoff || advice == RetryAdvice::kReroute ||
         error.reason == Reason::kPriorRequestFailed || error.reason == Reason::kUnspecified;
}

}  // namespace gregor::producer_internal
