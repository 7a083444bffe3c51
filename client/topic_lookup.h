#ifndef GREGOR_CLIENT_TOPIC_LOOKUP_H_
#define GREGOR_CLIENT_TOPIC_LOOKUP_H_

#include <memory>
#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "client/accumulator.h"
#include "client/router.h"

namespace gregor {

// Asks for what a producer has to know of a topic, and the router for its leaders. Waits until
// `deadline`, and a moment for each question however little is left. Fails with kTopicNotFound and
// as Router::Call() does. Thread: any.
Result<Accumulator::TopicInfo> LookUpTopic(const std::shared_ptr<Router>& router,
                                           const std::string& name, MonotonicTime deadline);

}  // namespace gregor

#endif  // GREGOR_CLIENT_TOPIC_LOOKUP_H_
