#include "client/produce_errors.h"

#include <chrono>
#include <string>
#include <utility>

#include "client/channel.h"

namespace gregor {
namespace {

// The message, with the reason where it says more.
std::string Described(const Error& error) {
  const bool says_more = error.reason != Reason::kUnspecified &&
                         error.reason != Reason::kCommitTimedOut && !IsUnreachable(error);
  return error.message + (says_more ? " [" + std::string(ReasonName(error.reason)) + "]" : "");
}

}  // namespace

bool IsSessionError(Reason reason) {
  return reason == Reason::kOutOfOrderSequence || reason == Reason::kUnknownProducerId ||
         reason == Reason::kInvalidProducerEpoch;
}

bool IsAboutTopic(Reason reason) {
  return reason == Reason::kTopicNotFound || reason == Reason::kPartitionNotFound ||
         reason == Reason::kUnknownTopicId || reason == Reason::kBatchTooLarge;
}

Error TimedOut(std::string_view done, const std::optional<Error>& trouble,
               const Refusals::Refusal* refusal, MonotonicTime now, bool maybe_written) {
  std::string message = "not " + std::string(done) + " within the delivery timeout";
  if (trouble.has_value()) message += "; the last trouble was: " + Described(*trouble);
  const bool is_news =
      refusal != nullptr && (!trouble.has_value() || trouble->reason != refusal->error.reason ||
                             trouble->message != refusal->error.message);
  if (is_news) {
    const auto ago = std::chrono::duration_cast<std::chrono::seconds>(now - refusal->at).count();
    message +=
        "; the last refusal, " + std::to_string(ago) + " s ago, was: " + Described(refusal->error);
  }
  return Error(Reason::kCommitTimedOut, std::move(message))
      .With("outcome", maybe_written ? "UNKNOWN" : "NOT_APPLIED");
}

void SetOutcome(Error& error, bool maybe_written) {
  std::erase_if(error.details, [](const auto& detail) { return detail.first == "outcome"; });
  error.With("outcome", maybe_written ? "UNKNOWN" : "NOT_APPLIED");
}

Error GivenUp() { return Error(Reason::kUnspecified, "given up: the producer was aborted"); }

Error TooLarge(size_t size, size_t limit) {
  return Error(Reason::kBatchTooLarge, "a batch has " + std::to_string(size) +
                                           " bytes, the topic's max.message.bytes is " +
                                           std::to_string(limit))
      .With("limit_bytes", std::to_string(limit))
      .With("actual_bytes", std::to_string(size))
      .With("outcome", "NOT_APPLIED");
}

}  // namespace gregor
