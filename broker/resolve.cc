#include "broker/resolve.h"

#include <string>
#include <utility>

#include "base/utf8.h"

namespace gregor {
namespace {

constexpr size_t kShownBytesMax = 100;

}  // namespace

Error NoSuchTopic(std::string_view name) {
  return Error(Reason::kTopicNotFound,
               "topic " + ShowQuoted(name, kShownBytesMax) +
                   " does not exist: it was deleted, or has to be created first")
      .With("topic", std::string(name));
}

Result<TopicPtr> ResolveTopic(const MetadataImage& image, const TopicRef& ref) {
  if (!ref.id.has_value()) {
    if (TopicPtr topic = image.Topic(ref.name)) return topic;
    return NoSuchTopic(ref.name);
  }
  TopicPtr topic = image.Topic(*ref.id);
  if (topic == nullptr && !ref.name.empty()) {
    if (const TopicPtr other = image.Topic(ref.name)) {
      return Error(Reason::kUnknownTopicId,
                   "topic \"" + other->name + "\" was deleted and created anew: its id is " +
                       other->id.ToString() + " now, not " + ref.id->ToString())
          .With("topic", ref.name)
          .With("topic_id", ref.id->ToString());
    }
  }
  if (topic == nullptr) {
    Error error = Error(Reason::kUnknownTopicId,
                        "no topic has the id " + ref.id->ToString() + ": it may have been deleted")
                      .With("topic_id", ref.id->ToString());
    return ref.name.empty() ? error : std::move(error).With("topic", ref.name);
  }
  if (!ref.name.empty() && topic->name != ref.name) {
    return Error(Reason::kInconsistentTopicId, "id " + ref.id->ToString() + " is topic \"" +
                                                   topic->name + "\", not " +
                                                   ShowQuoted(ref.name, kShownBytesMax))
        .With("topic", topic->name)
        .With("topic_id", ref.id->ToString());
  }
  return topic;
}

}  // namespace gregor
