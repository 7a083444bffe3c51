#ifndef GREGOR_TESTS_CONTROLLER_IMAGE_IMAGE_MAKER_H_
#define GREGOR_TESTS_CONTROLLER_IMAGE_IMAGE_MAKER_H_

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "controller/image/replay.h"
#include "tests/controller/image/record_maker.h"

namespace gregor {

// Images that change at random, by records.
class ImageMaker {
 public:
  explicit ImageMaker(uint64_t seed) : random_(seed), make_(seed) {
    Commit({make_.FeatureLevel(), make_.Cluster(), make_.Broker(1)});
  }

  const ImagePtr& image() const { return image_; }

  // One random change.
  const ImagePtr& Step() {
    const auto choice = random_.Below(100);
    if (random_.Chance(0.2)) return ChangeSecurity();
    const TopicPtr topic = RandomTopic();
    if (topic == nullptr || choice < 25) {
      CreateTopic("topic-" + std::to_string(++topic_number_),
                  static_cast<int32_t>(random_.Below(4) == 0 ? random_.Below(600) : 3));
    } else if (choice < 40) {
      Commit({make_.RemoveTopic(topic->id)});
    } else if (choice < 50) {
      Commit({make_.Partitions(topic->id, topic->partition_count(),
                               static_cast<int32_t>(1 + random_.Below(200)))});
    } else if (choice < 65) {
      Commit({random_.Chance(0.7)
                  ? make_.TopicConfig(topic->id, {{"retention.ms", std::to_string(choice)}}, {})
                  : make_.TopicConfig(topic->id, {}, {"retention.ms"})});
    } else if (choice < 72) {
      const auto node = static_cast<int32_t>(random_.Below(3)) - 1;
      Commit({random_.Chance(0.6)
                  ? make_.BrokerConfig(node, {{"log.retention.ms", std::to_string(choice)}}, {})
                  : make_.BrokerConfig(node, {}, {"log.retention.ms"})});
    } else if (choice < 78) {
      Commit({make_.Broker(1), make_.BrokerRestarted(1)});
    } else if (choice < 84) {
      Commit({make_.ProducerIds(image_->next_producer_id + 1000)});
    } else if (topic->partition_count() > 0) {
      ChangeLeader(topic->id, static_cast<int32_t>(
                                  random_.Below(static_cast<uint64_t>(topic->partition_count()))));
    } else {
      // Gone and there again, in one batch.
      const TopicId id = make_.NewTopicId();
      Commit(
          {make_.RemoveTopic(topic->id), make_.Topic(topic->name, id), make_.Partitions(id, 0, 2)});
    }
    return image_;
  }

  // A random change of rules, users or quotas.
  const ImagePtr& ChangeSecurity() {
    const auto letter = static_cast<char>('a' + random_.Below(5));
    const std::string name(1 + random_.Below(3), letter);
    const auto acl = make_.Acl(name, "User:" + name.substr(0, 1));
    const UserKey user{name, static_cast<ScramMechanism>(1 + random_.Below(2))};
    QuotaEntity entity;
    if (random_.Chance(0.7)) entity.user = name;
    if (!entity.user.has_value() || random_.Chance(0.3)) entity.client_id = name.substr(1);
    switch (random_.Below(6)) {
      case 0:
      case 1:
        Commit({image_->acls.Find(*ReadAcl(acl.acl())) == nullptr
                    ? acl
                    : make_.RemoveAcl(*ReadAcl(acl.acl()))});
        break;
      case 2:
        Commit({make_.Credential(user.user, user.mechanism)});
        break;
      case 3:
        Commit({image_->users.Find(user) == nullptr ? make_.Credential(user.user, user.mechanism)
                                                    : make_.RemoveCredential(user)});
        break;
      case 4:
        Commit({make_.Quota(entity, {}, {"producer_byte_rate"})});
        break;
      default:
        Commit({make_.Quota(entity, {{"producer_byte_rate", 1.0 + random_.Fraction()}}, {})});
    }
    return image_;
  }

  TopicId CreateTopic(const std::string& name, int32_t partitions) {
    const TopicId id = make_.NewTopicId();
    auto topic = make_.Topic(name, id);
    if (random_.Chance(0.3)) topic.mutable_topic()->set_request_hash(random_.Next() | 1);
    Commit({topic, make_.Partitions(id, 0, partitions)});
    return id;
  }
  void ChangeLeader(const TopicId& id, int32_t partition) {
    pb::MetadataRecord record;
    record.mutable_partition_change()->set_topic_id(ToBytes(id.bytes));
    record.mutable_partition_change()->set_partition(partition);
    record.mutable_partition_change()->set_leader(random_.Chance(0.5) ? 1 : -1);
    Commit({record});
  }
  void Commit(const std::vector<pb::MetadataRecord>& records) {
    Replay replay(image_);
    Offset offset = image_ == nullptr ? Offset{0} : image_->version;
    for (const auto& record : records) {
      const auto applied = replay.Apply(offset, record);
      EXPECT_TRUE(applied.ok()) << applied.error();
      offset = offset + 1;
    }
    image_ = replay.Finish({offset, LeaderEpoch{1}, Timestamp{offset.value * 10}}).after;
  }

 private:
  TopicPtr RandomTopic() {
    if (image_->topics.empty()) return nullptr;
    TopicPtr chosen;
    auto left = random_.Below(image_->topics.size());
    image_->topics.VisitAll([&](const std::string&, const TopicPtr& topic) {
      if (left-- == 0) chosen = topic;
    });
    return chosen;
  }

  Random random_;
  RecordMaker make_;
  ImagePtr image_;
  int topic_number_ = 0;
};

}  // namespace gregor

#endif  // GREGOR_TESTS_CONTROLLER_IMAGE_IMAGE_MAKER_H_
