#ifndef GREGOR_CONTROLLER_IMAGE_REPLAY_H_
#define GREGOR_CONTROLLER_IMAGE_REPLAY_H_

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "controller/image/image.h"
#include "controller/image/records.h"
#include "controller/image/replay_parts.h"
#include "controller/image/replay_security.h"

namespace gregor {

// Where in the metadata log an image stands.
struct ImagePosition {
  Offset version{0};  // after the last record
  LeaderEpoch term{-1};
  Timestamp timestamp{-1};
  // Of the image there; nullopt: not said, as before feature level 2.
  std::optional<uint64_t> state_hash = std::nullopt;
  friend bool operator==(const ImagePosition&, const ImagePosition&) = default;
};
ImagePosition PositionOf(const MetadataImage& image);

// A broker as the record at `offset` registers it. Fails with kStorageError where no broker can be
// so.
Result<BrokerImage> RegisteredBroker(Offset offset, const pb::RegisterBrokerRecord& record);

// What records mean: the one replay of the metadata log, for controllers and brokers, the log's
// tail and snapshots alike. Takes an image and records, gives the next image and the difference.
// The result depends on nothing but those. Thread: its owner's.
class Replay {
 public:
  // `base` nullptr: the image before the first record.
  explicit Replay(ImagePtr base);

  // Applies the record at `offset`. Fails with kStorageError, saying why, where the record
  // contradicts the records before it; nothing may be called afterwards then.
  Result<void> Apply(Offset offset, const pb::MetadataRecord& record);
  // The same from bytes; fails as ParseRecord() does, too.
  Result<void> Apply(Offset offset, std::string_view record);

  // A topic as it is so far. nullptr if there is none.
  const TopicImage* Topic(const TopicId& id) const;

  // The image of everything applied, with its state hash; that of `position` is not looked at.
  // `before` of the delta is the base. Once.
  MetadataDelta Finish(const ImagePosition& position);

 private:
  Result<void> Dispatch(Offset offset, const pb::MetadataRecord& record);
  Result<void> Apply(const pb::FeatureLevelRecord& record);
  Result<void> Apply(const pb::ClusterRecord& record);
  Result<void> Apply(const pb::TopicRecord& record);
  Result<void> Apply(const pb::PartitionsRecord& record);
  Result<void> Apply(const pb::PartitionChangeRecord& record);
  Result<void> Apply(const pb::RemoveTopicRecord& record);
  Result<void> Apply(const pb::ConfigRecord& record);
  Result<void> Apply(Offset offset, const pb::RegisterBrokerRecord& record);
  Result<void> Apply(const pb::BrokerRestartedRecord& record);
  Result<void> Apply(Offset offset, const pb::BrokerChangeRecord& record);
  Result<void> Apply(const pb::UnregisterBrokerRecord& record);
  Result<void> Apply(const pb::ProducerIdsRecord& record);
  Result<void> Apply(Offset offset, const pb::StateHashRecord& record);

  bool HasName(const std::string& name) const;
  // The topic, to be changed. Fails if there is none.
  Result<TopicImage*> Change(const std::string& id_bytes);
  // The same without the changes that wait in `run_`.
  Result<TopicImage*> Find(const std::string& id_bytes);
  void EndRun();
  // The registered broker that a record is about. Fails if there is none, or of another epoch.
  Result<std::shared_ptr<const BrokerImage>> Registered(int32_t node_id) const;
  Result<BrokerImage> Registered(int32_t node_id, int64_t broker_epoch) const;
  void FinishTopics(MetadataDelta& delta);

  RecordParser parser_;
  ImagePtr base_;  // never null
  bool has_base_;
  MetadataImage now_;  // but for topics, which are below
  // Changed topics; nullptr: removed.
  std::map<TopicId, std::shared_ptr<TopicImage>> changed_;
  // Names whose topic changed; zero: removed.
  std::map<std::string, TopicId, std::less<>> names_;
  // Changes of one topic's partitions that its map is yet to get, in the order of their indexes: a
  // broker that comes or goes changes thousands, and the map takes them in one step.
  struct Run {
    TopicImage* topic = nullptr;
    std::vector<std::pair<PartitionIndex, std::optional<PartitionPtr>>> changes;
  } run_;
  Sharing<NodeId> nodes_;
  Sharing<DirectoryId> directories_;
  SecurityReplay security_;
  bool brokers_changed_ = false;
  bool broker_configs_changed_ = false;
  bool has_changes_ = false;  // a record was applied that may change something
  std::optional<StateHashCheck> hash_check_;
};

}  // namespace gregor

#endif  // GREGOR_CONTROLLER_IMAGE_REPLAY_H_
