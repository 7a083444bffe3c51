#include "client/produce_errors.h"

#include <utility>

#include "client/channel.h"

namespace gregor {

bool IsSessionError(Reason reason) {
  return reason == Reason::kOutOfOrderSequence || reason == Reason::kUnknownProducerId ||
         reason == Reason::kInvalidProducerEpoch;
}

bool IsAboutTopic(Reason reason) {
  return reason == Reason::kTopicNotFound || reason == Reason::kPartitionNotFound ||
         reason == Reason::kUnknownTopicId || reason == Reason::kBatchTooLarge;
}

Error TimedOut(const std::optional<Error>& trouble, bool maybe_written) {
  std::string message = "not acknowledged within the delivery timeout";
  if (trouble.has_value()) message += "; the last trouble was: " + trouble->message;
  if (trouble.has_value() && trouble->reason != Reason::kUnspecified && !IsUnreachable(*trouble))
    message += " [" + std::string(ReasonName(trouble->reason)) + "]";
  return Error(Reason::kCommitTimedOut, std::move(message))
      .With("outcome", maybe_written ? "UNKNOWN" : "NOT_APPLIED");
}

Error TooLarge(size_t size, size_t limit) {
  return Error(Reason::kBatchTooLarge, "a batch has " + std::to_string(size) +
                                           " bytes, the topic's max.message.bytes is " +
                                           std::to_string(limit))
      .With("limit_bytes", std::to_string(limit))
      .With("actual_bytes", std::to_string(size))
      .With("outcome", "NOT_APPLIED");
}

}  // namespace gregor
