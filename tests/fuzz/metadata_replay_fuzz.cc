// Links: gregor_raft_host gregor_image gregor_proto gregor_storage gregor_base
// The metadata as a node reads them back: records of the log, a snapshot, the vote file, control
// records. The first byte of the input says what the rest is: 0 records as bytes, each with its
// length (16 bits) in front; 1 a script of records that make sense mostly; 2 a snapshot's frames,
// whose checksums are put right; 3 a vote file; 4 the value of a control record.
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/crc32c.h"
#include "controller/image/log_replay.h"
#include "controller/image/rows.h"
#include "controller/image/snapshot.h"
#include "raft/host/vote_file.h"
#include "storage/encoding.h"

namespace gregor {
namespace {

using Rows = std::map<std::string, std::string>;

Rows RowsOf(const MetadataImage& image) {
  Rows rows;
  CHECK(VisitRows(image, [&](std::string_view key, const std::string& record) {
          CHECK(rows.empty() || rows.rbegin()->first < key);
          rows.emplace(key, record);
          return Result<void>();
        }).ok());
  return rows;
}

// Whatever was made of records: its rows make it again, and the difference leads to it.
void CheckImage(const MetadataImage* before, const MetadataImage& after) {
  const Rows rows = RowsOf(after);
  ImageLoader loader;
  for (const auto& [key, record] : rows) {
    const auto added = loader.Add(key, record);
    CHECK(added.ok()) << added.error();
  }
  const auto finished = loader.Finish(PositionOf(after));
  CHECK(finished.ok()) << finished.error();
  const ImagePtr loaded = *finished;
  CHECK_EQ(loaded->state_hash, after.state_hash);
  CHECK(RowsOf(*loaded) == rows);
  CHECK_EQ(loaded->partition_count, after.partition_count);
  Rows changed = before == nullptr ? Rows() : RowsOf(*before);
  for (const RowChange& change : DiffRows(before, after)) {
    CHECK_EQ(change.replaces, changed.erase(change.key) != 0);
    if (change.record.has_value()) changed[change.key] = *change.record;
  }
  CHECK(changed == rows);
  int64_t partitions = 0;
  after.topics.VisitAll([&](const std::string& name, const TopicPtr& topic) {
    CHECK(name == topic->name && after.Topic(topic->id) == topic);
    partitions += topic->partition_count();
  });
  CHECK_EQ(partitions, after.partition_count);
}

void RawRecords(std::string_view rest) {
  ImagePtr image;
  ImagePosition position{Offset{0}, LeaderEpoch{1}, Timestamp{1}};
  std::optional<LogReplay> replay;
  while (true) {
    const auto size = TakeBigEndian<uint16_t>(&rest);
    if (!size.has_value() || *size > rest.size()) return;
    if (!replay.has_value()) replay.emplace(image);
    position.version = position.version + 1;
    if (!replay->Apply(position, rest.substr(0, *size)).ok()) return;
    rest.remove_prefix(*size);
    // The inside of a transaction is no image.
    if (replay->open_since().has_value()) continue;
    const ImagePtr after = replay->Finish().after;
    replay.reset();
    CheckImage(image.get(), *after);
    image = after;
  }
}

// Records of few topics, brokers and configs, chosen by bytes.
class Script {
 public:
  explicit Script(std::string_view rest) : rest_(rest) {}

  void Run() {
    pb::MetadataRecord level, cluster;
    level.mutable_feature_level()->set_level(kFeatureLevel);
    cluster.mutable_cluster()->set_cluster_id(Id(1));
    cluster.mutable_cluster()->set_request_id_key(Id(2));
    Apply({level, cluster});
    while (!rest_.empty()) {
      std::vector<pb::MetadataRecord> records;
      for (int count = Byte() % 3; count >= 0 && !rest_.empty(); --count) records.push_back(Next());
      Apply(records);
    }
  }

 private:
  uint8_t Byte() { return TakeBigEndian<uint8_t>(&rest_).value_or(0); }
  static std::string Id(uint8_t number) { return std::string(16, static_cast<char>(number)); }
  std::string TopicId() { return Id(static_cast<uint8_t>(Byte() % 6)); }
  int32_t Node() { return Byte() % 4 - 1; }

  pb::MetadataRecord Next() {
    pb::MetadataRecord record;
    switch (Byte() % 15) {
      case 0:
        record.mutable_topic()->set_topic_id(TopicId());
        record.mutable_topic()->set_name(std::string(1, static_cast<char>('a' + Byte() % 4)));
        record.mutable_topic()->set_request_hash(Byte() % 3);
        break;
      case 1:
        MakePartitions(*record.mutable_partitions());
        break;
      case 2:
        MakeChange(*record.mutable_partition_change());
        break;
      case 3:
        record.mutable_remove_topic()->set_topic_id(TopicId());
        break;
      case 4:
        MakeConfig(*record.mutable_config());
        break;
      case 5:
        MakeBroker(*record.mutable_register_broker());
        break;
      case 6:
        record.mutable_broker_restarted()->set_node_id(Node());
        break;
      case 7:
        record.mutable_broker_change()->set_node_id(Node());
        record.mutable_broker_change()->set_broker_epoch(Byte());
        if (Byte() % 2 == 0) record.mutable_broker_change()->set_fenced(Byte() % 2 == 0);
        break;
      case 8:
        record.mutable_unregister_broker()->set_node_id(Node());
        record.mutable_unregister_broker()->set_broker_epoch(Byte());
        break;
      case 9:
        record.mutable_producer_ids()->set_next_producer_id(Byte() * int64_t{1000});
        record.mutable_producer_ids()->set_node_id(Node());
        break;
      case 10:
        MakeAcl(*record.mutable_acl());
        break;
      case 11:
        MakeAcl(*record.mutable_remove_acl()->mutable_acl());
        break;
      case 12:
        MakeCredential(*record.mutable_user_credential());
        break;
      case 13:
        record.mutable_remove_user_credential()->set_user(Name());
        record.mutable_remove_user_credential()->set_mechanism(Kind<pb::ScramMechanism>(4));
        break;
      default:
        MakeQuota(*record.mutable_client_quota());
    }
    return record;
  }

  std::string Name() { return std::string(Byte() % 3, static_cast<char>('a' + Byte() % 3)); }
  template <typename Enum>
  Enum Kind(int count) {
    return static_cast<Enum>(Byte() % count);
  }

  void MakeAcl(pb::AclRecord& record) {
    record.set_resource(Kind<pb::AclRecord::Resource>(7));
    record.set_pattern(Kind<pb::AclRecord::Pattern>(4));
    record.set_name(Name());
    record.set_principal(Name());
    record.set_host(Name());
    record.set_operation(Kind<pb::AclRecord::Operation>(13));
    record.set_permission(Kind<pb::AclRecord::Permission>(4));
  }
  void MakeCredential(pb::UserCredentialRecord& record) {
    record.set_user(Name());
    record.set_mechanism(Kind<pb::ScramMechanism>(4));
    record.set_salt(Name());
    record.set_stored_key(Name());
    record.set_server_key(Name());
    record.set_iterations(Node());
  }
  void MakeQuota(pb::ClientQuotaRecord& record) {
    if (Byte() % 2 == 0) record.set_user(Name());
    if (Byte() % 2 == 0) record.set_client_id(Name());
    if (Byte() % 2 == 0) record.set_ip(Name());
    for (int count = Byte() % 3; count > 0; --count) {
      auto& entry = *record.add_set();
      entry.set_name(std::string(1, static_cast<char>('p' + Byte() % 3)));
      entry.set_value(Byte() % 8 == 1 ? std::numeric_limits<double>::infinity() : Byte() / 3.0);
    }
    if (Byte() % 3 == 0) record.add_removed(std::string(1, static_cast<char>('p' + Byte() % 3)));
  }
  void MakePartitions(pb::PartitionsRecord& record) {
    record.set_topic_id(TopicId());
    const int32_t first = Byte() % 160;
    for (int32_t i = 0; i < Byte() % 150; ++i) {
      auto& partition = *record.add_partitions();
      partition.set_index(first + i);
      for (int32_t node = 0; node <= Byte() % 3; ++node) {
        partition.add_replicas(node);
        partition.add_directories(Id(Byte() % 3));
        if (Byte() % 2 == 0) partition.add_isr(node);
      }
      partition.set_leader(Node());
      partition.set_leader_epoch(Byte() % 64 == 1 ? INT32_MAX : Byte());
      partition.set_partition_epoch(Byte() % 64 == 1 ? INT32_MAX : Byte());
    }
  }
  void MakeChange(pb::PartitionChangeRecord& record) {
    record.set_topic_id(TopicId());
    record.set_partition(Byte());
    if (Byte() % 2 == 0) record.set_leader(Node());
    if (Byte() % 2 == 0) MakeList(*record.mutable_isr());
    if (Byte() % 4 == 0) MakeList(*record.mutable_eligible());
    if (Byte() % 8 == 0) MakeList(*record.mutable_adding());
    if (Byte() % 8 == 0) MakeList(*record.mutable_removing());
    if (Byte() % 8 == 0) record.set_recovering(Byte() % 2 == 0);
    for (int count = Byte() % 3; count > 0; --count) {
      record.add_replicas(Node());
      record.add_directories(Id(Byte()));
    }
  }
  void MakeList(pb::NodeList& list) {
    for (int count = Byte() % 3; count > 0; --count) list.add_nodes(Node());
  }
  void MakeConfig(pb::ConfigRecord& record) {
    if (Byte() % 2 == 0) {
      record.set_topic_id(TopicId());
    } else {
      record.set_broker_id(Node());
    }
    for (int count = Byte() % 3; count > 0; --count) {
      auto& entry = *record.add_set();
      entry.set_name(std::string(1, static_cast<char>('p' + Byte() % 3)));
      entry.set_value(std::string(1, static_cast<char>(Byte() & 0x7f)));
    }
    if (Byte() % 3 == 0) record.add_removed(std::string(1, static_cast<char>('p' + Byte() % 3)));
  }
  void MakeBroker(pb::RegisterBrokerRecord& record) {
    record.set_node_id(Node());
    record.set_incarnation(Id(Byte()));
    if (Byte() % 2 == 0) {
      auto& listener = *record.add_listeners();
      listener.set_name("grpc");
      listener.set_host("h");
      listener.set_port(Byte() * 300);
    }
    record.add_directories(Id(Byte()));
    record.set_feature_level_min(1);
    record.set_feature_level_max(1 + Byte() % 3);
    record.set_fenced(Byte() % 2 == 0);
  }

  // A batch: it takes effect as a whole, or not.
  void Apply(const std::vector<pb::MetadataRecord>& records) {
    Replay replay(image_);
    Offset offset = offset_;
    for (const pb::MetadataRecord& record : records) {
      const std::string bytes = SerializeRecord(record);
      const auto parsed = ParseRecord(bytes);
      CHECK(parsed.ok()) << parsed.error();
      CHECK(!DescribeRecord(*parsed, true).empty());
      if (!replay.Apply(offset, *parsed).ok()) return;
      offset = offset + 1;
    }
    const MetadataDelta delta = replay.Finish({offset, LeaderEpoch{1}, Timestamp{1}});
    CheckImage(image_.get(), *delta.after);
    for (const TopicPtr& topic : delta.created) CHECK(delta.after->Topic(topic->id) == topic);
    for (const TopicPtr& topic : delta.changed) CHECK(image_->Topic(topic->id) != nullptr);
    for (const TopicPtr& topic : delta.deleted) CHECK(delta.after->Topic(topic->id) == nullptr);
    image_ = delta.after;
    offset_ = offset;
  }

  std::string_view rest_;
  ImagePtr image_;
  Offset offset_{0};
};

// Frames with sizes in front, as a snapshot with checksums.
void Snapshot(std::string_view rest) {
  std::string bytes = "GREGORS1";
  while (true) {
    const auto size = TakeBigEndian<uint16_t>(&rest);
    if (!size.has_value() || *size > rest.size()) break;
    const std::string_view frame = rest.substr(0, *size);
    rest.remove_prefix(*size);
    PutBigEndian(&bytes, static_cast<uint32_t>(frame.size()));
    PutBigEndian(&bytes, Crc32c(0, {reinterpret_cast<const uint8_t*>(frame.data()), frame.size()}));
    bytes += frame;
  }
  bytes += rest;
  const auto image = DecodeSnapshot(bytes);
  if (!image.ok()) return;
  CheckImage(nullptr, **image);
  CHECK(DecodeSnapshot(EncodeSnapshot(**image)).ok());
}

void VoteFile(std::string_view text) {
  const auto vote = DecodeVote(text);
  if (vote.ok()) CHECK(EncodeVote(*vote) == text);
}

void Control(std::string_view rest) {
  std::string key(3, '\0');
  key += static_cast<char>(TakeBigEndian<uint8_t>(&rest).value_or(2));
  BatchBuilder::Options options;
  options.attributes = BatchHeader::kControlBit;
  BatchBuilder builder(options);
  NewRecord record;
  record.key = key;
  record.value = rest;
  builder.Add(record);
  const auto decoded = DecodeControl(builder.Build());
  if (!decoded.ok() || std::holds_alternative<UnknownControl>(*decoded)) return;
  CHECK(*DecodeControl(EncodeControl(*decoded, Timestamp{1})) == *decoded);
}

void Run(uint8_t kind, std::string_view rest) {
  if (kind == 0) RawRecords(rest);
  if (kind == 1) Script(rest).Run();
  if (kind == 2) Snapshot(rest);
  if (kind == 3) VoteFile(rest);
  if (kind == 4) Control(rest);
}

}  // namespace
}  // namespace gregor

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0 || size > (64 << 10)) return 0;
  gregor::Run(data[0] % 5, {reinterpret_cast<const char*>(data) + 1, size - 1});
  return 0;
}
