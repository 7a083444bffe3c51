#ifndef GREGOR_CLIENT_PRODUCE_ERRORS_H_
#define GREGOR_CLIENT_PRODUCE_ERRORS_H_

#include <cstddef>
#include <optional>

#include "base/result.h"

namespace gregor {

// What errors mean to a producer, and its own. Thread: any.

// Whether the broker does not know the producer as the producer knows itself.
bool IsSessionError(Reason reason);
// Whether the topic, or what is known of it, may be another one.
bool IsAboutTopic(Reason reason);

// Of a batch that was not acknowledged in time; `trouble`: what came last.
Error TimedOut(const std::optional<Error>& trouble, bool maybe_written);
// Of a batch of so many bytes, for a topic that takes `limit`.
Error TooLarge(size_t size, size_t limit);

}  // namespace gregor

#endif  // GREGOR_CLIENT_PRODUCE_ERRORS_H_
