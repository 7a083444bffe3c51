#ifndef GREGOR_CONTROLLER_TOPIC_NAMES_H_
#define GREGOR_CONTROLLER_TOPIC_NAMES_H_

#include <string>
#include <string_view>

#include "base/result.h"
#include "controller/image/image.h"

namespace gregor {

// Text that came from outside, as a message can show it: in quotes, cut, without what a
// terminal acts on.
std::string ShowText(std::string_view text);

// Whether a topic may be called so, as in Kafka: 1 to 249 of a-z, A-Z, 0-9, '.', '_', '-', but not
// "." or "..". Fails with kInvalidTopic.
Result<void> CheckTopicName(std::string_view name);

// Whether a topic may come to be called so beside those of `image`: names that differ in '.' and
// '_' only would have one name in metrics. Fails with kTopicAlreadyExists, kInvalidTopic. REQUIRES:
// the name was checked.
Result<void> CheckNewTopicName(const std::string& name, const MetadataImage& image);

}  // namespace gregor

#endif  // GREGOR_CONTROLLER_TOPIC_NAMES_H_
