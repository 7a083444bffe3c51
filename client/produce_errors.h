#ifndef GREGOR_CLIENT_PRODUCE_ERRORS_H_
#define GREGOR_CLIENT_PRODUCE_ERRORS_H_

#include <cstddef>
#include <optional>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"
#include "client/refusals.h"

namespace gregor {

// What errors mean to a producer, and its own. Thread: any.

// Whether the broker does not know the producer as the producer knows itself.
bool IsSessionError(Reason reason);
// Whether the topic, or what is known of it, may be another one.
bool IsAboutTopic(Reason reason);

// Of a batch that was not `done` ("acknowledged") in time. `trouble`: what is known to be wrong at
// present; `refusal`: nullptr, or the last one that may have to do with it.
Error TimedOut(std::string_view done, const std::optional<Error>& trouble,
               const Refusals::Refusal* refusal, MonotonicTime now, bool maybe_written);
// Says as outcome whether the batch may have been written, whatever an answer says: that speaks of
// one attempt only.
void SetOutcome(Error& error, bool maybe_written);
// Of what an aborted producer had not delivered, and of what it is given from then on.
Error GivenUp();
// Of a batch of so many bytes, for a topic that takes `limit`.
Error TooLarge(size_t size, size_t limit);

}  // namespace gregor

#endif  // GREGOR_CLIENT_PRODUCE_ERRORS_H_
