#include "client/producer_lane.h"

#include <utility>

#include "base/crc32c.h"

namespace gregor::producer_internal {

v1::Acks ToProto(ClientAcks acks) {
  return acks == ClientAcks::kAll      ? v1::ACKS_ALL
         : acks == ClientAcks::kLeader ? v1::ACKS_LEADER
                                       : v1::ACKS_NONE;
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
