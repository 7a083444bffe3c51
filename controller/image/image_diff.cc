#include "controller/image/image_diff.h"

#include <utility>

namespace gregor {

MetadataDelta DiffImages(ImagePtr before, ImagePtr after) {
  MetadataDelta delta;
  after->topics.VisitAll([&](const std::string&, const TopicPtr& topic) {
    const TopicPtr old = before == nullptr ? nullptr : before->Topic(topic->id);
    if (old == nullptr) {
      delta.created.push_back(topic);
    } else if (old != topic) {
      delta.changed.push_back(topic);
    }
  });
  if (before != nullptr) {
    before->topics.VisitAll([&](const std::string&, const TopicPtr& topic) {
      if (after->Topic(topic->id) == nullptr) delta.deleted.push_back(topic);
    });
  }
  delta.broker_configs_changed = delta.brokers_changed = true;
  delta.acls_changed = delta.users_changed = delta.quotas_changed = true;
  delta.before = std::move(before);
  delta.after = std::move(after);
  return delta;
}

}  // namespace gregor
