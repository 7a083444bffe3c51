#ifndef GREGOR_BROKER_RESOLVE_H_
#define GREGOR_BROKER_RESOLVE_H_

#include <string_view>

#include "broker/api.h"

namespace gregor {

// The topic that a caller names. Fails with kTopicNotFound; kUnknownTopicId where no topic has the
// id; kInconsistentTopicId where the one that has it is called otherwise. Thread: any.
Result<TopicPtr> ResolveTopic(const MetadataImage& image, const TopicRef& ref);

// kTopicNotFound: whoever asks by name cannot be told whether there was one.
Error NoSuchTopic(std::string_view name);

}  // namespace gregor

#endif  // GREGOR_BROKER_RESOLVE_H_
