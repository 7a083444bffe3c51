#ifndef GREGOR_TESTS_CONTROLLER_IMAGE_RECORD_MAKER_H_
#define GREGOR_TESTS_CONTROLLER_IMAGE_RECORD_MAKER_H_

#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "controller/image/records.h"
#include "controller/image/security_records.h"

namespace gregor {

// Metadata records as a controller would write them.
class RecordMaker {
 public:
  explicit RecordMaker(uint64_t seed = 1)
      : random_(seed),
        cluster_id_(random_.NewUuid<ClusterId>()),
        directory_(random_.NewUuid<DirectoryId>()) {}

  const ClusterId& cluster_id() const { return cluster_id_; }
  TopicId NewTopicId() { return random_.NewUuid<TopicId>(); }

  pb::MetadataRecord FeatureLevel(int32_t level = kFeatureLevel) {
    pb::MetadataRecord record;
    record.mutable_feature_level()->set_level(level);
    return record;
  }
  pb::MetadataRecord Cluster() {
    pb::MetadataRecord record;
    record.mutable_cluster()->set_cluster_id(ToBytes(cluster_id_.bytes));
    record.mutable_cluster()->set_request_id_key(std::string(16, 0x11));
    return record;
  }
  pb::MetadataRecord Topic(const std::string& name, const TopicId& id) {
    pb::MetadataRecord record;
    record.mutable_topic()->set_name(name);
    record.mutable_topic()->set_topic_id(ToBytes(id.bytes));
    return record;
  }
  // Partitions [first, first + count) of node 1.
  pb::MetadataRecord Partitions(const TopicId& id, int32_t first, int32_t count) {
    pb::MetadataRecord record;
    record.mutable_partitions()->set_topic_id(ToBytes(id.bytes));
    for (int32_t i = first; i < first + count; ++i) {
      auto* partition = record.mutable_partitions()->add_partitions();
      partition->set_index(i);
      partition->add_replicas(1);
      partition->add_directories(ToBytes(directory_.bytes));
      partition->add_isr(1);
      partition->set_leader(1);
    }
    return record;
  }
  pb::MetadataRecord RemoveTopic(const TopicId& id) {
    pb::MetadataRecord record;
    record.mutable_remove_topic()->set_topic_id(ToBytes(id.bytes));
    return record;
  }
  using Entries = std::vector<std::pair<std::string, std::string>>;
  pb::MetadataRecord TopicConfig(const TopicId& id, const Entries& set,
                                 const std::vector<std::string>& removed) {
    pb::MetadataRecord record = Config(set, removed);
    record.mutable_config()->set_topic_id(ToBytes(id.bytes));
    return record;
  }
  pb::MetadataRecord BrokerConfig(int32_t node, const Entries& set,
                                  const std::vector<std::string>& removed) {
    pb::MetadataRecord record = Config(set, removed);
    record.mutable_config()->set_broker_id(node);
    return record;
  }
  pb::MetadataRecord Broker(int32_t node) {
    pb::MetadataRecord record;
    auto* broker = record.mutable_register_broker();
    broker->set_node_id(node);
    broker->set_incarnation(ToBytes(random_.NewUuid<DirectoryId>().bytes));
    auto* listener = broker->add_listeners();
    listener->set_name("grpc");
    listener->set_host("127.0.0.1");
    listener->set_port(9094);
    broker->add_directories(ToBytes(directory_.bytes));
    broker->set_version("test");
    broker->set_feature_level_min(kFeatureLevelMin);
    broker->set_feature_level_max(kFeatureLevel);
    return record;
  }
  pb::MetadataRecord BrokerRestarted(int32_t node) {
    pb::MetadataRecord record;
    record.mutable_broker_restarted()->set_node_id(node);
    return record;
  }
  pb::MetadataRecord ProducerIds(int64_t next) {
    pb::MetadataRecord record;
    record.mutable_producer_ids()->set_next_producer_id(next);
    record.mutable_producer_ids()->set_node_id(-1);
    return record;
  }

  // Reading from a topic.
  pb::MetadataRecord Acl(const std::string& topic, const std::string& principal) {
    pb::MetadataRecord record;
    FillAcl(
        gregor::Acl{
            .name = topic, .principal = principal, .host = "*", .operation = AclOperation::kRead},
        *record.mutable_acl());
    return record;
  }
  pb::MetadataRecord RemoveAcl(const gregor::Acl& acl) {
    pb::MetadataRecord record;
    FillAcl(acl, *record.mutable_remove_acl()->mutable_acl());
    return record;
  }
  pb::MetadataRecord Credential(const std::string& user, ScramMechanism mechanism) {
    pb::MetadataRecord record;
    const auto random = [this] { return ToBytes(random_.NewUuid<DirectoryId>().bytes); };
    FillRecord(UserKey{user, mechanism}, ScramCredential{random(), random(), random(), 4096},
               *record.mutable_user_credential());
    return record;
  }
  pb::MetadataRecord RemoveCredential(const UserKey& key) {
    pb::MetadataRecord record;
    record.mutable_remove_user_credential()->set_user(key.user);
    record.mutable_remove_user_credential()->set_mechanism(
        static_cast<pb::ScramMechanism>(key.mechanism));
    return record;
  }
  pb::MetadataRecord Quota(const QuotaEntity& entity, const QuotaValues& set,
                           const std::vector<std::string>& removed) {
    pb::MetadataRecord record;
    FillRecord(entity, &set, *record.mutable_client_quota());
    for (const std::string& name : removed) record.mutable_client_quota()->add_removed(name);
    return record;
  }

 private:
  static pb::MetadataRecord Config(const Entries& set, const std::vector<std::string>& removed) {
    pb::MetadataRecord record;
    for (const auto& [name, value] : set) {
      auto* entry = record.mutable_config()->add_set();
      entry->set_name(name);
      entry->set_value(value);
    }
    for (const std::string& name : removed) record.mutable_config()->add_removed(name);
    return record;
  }

  Random random_;
  const ClusterId cluster_id_;
  const DirectoryId directory_;
};

}  // namespace gregor

#endif  // GREGOR_TESTS_CONTROLLER_IMAGE_RECORD_MAKER_H_
