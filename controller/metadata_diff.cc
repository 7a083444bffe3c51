#include "controller/metadata_diff.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <tuple>

#include "base/check.h"
#include "base/crc32c.h"
#include "controller/image/records.h"
#include "controller/image/rows.h"

namespace gregor {
namespace {

using Fields = std::vector<std::pair<std::string, std::string>>;

// By type and name; partitions of a topic by their number.
struct ObjectKey {
  int order = 0;
  std::string type;
  std::string name;
  int32_t number = 0;
  auto Tie() const { return std::tie(order, type, name, number); }
  friend bool operator<(const ObjectKey& a, const ObjectKey& b) { return a.Tie() < b.Tie(); }
};
using Objects = std::map<ObjectKey, Fields>;

// Of an enum's value: "OPERATION_CLUSTER_ACTION" is "cluster_action".
std::string LastWords(const std::string& name, std::string_view prefix) {
  std::string words = name.starts_with(prefix) ? name.substr(prefix.size()) : name;
  std::transform(words.begin(), words.end(), words.begin(), [](char letter) {
    return letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter + 32) : letter;
  });
  return words;
}

// What it says, as it is nothing else. The principal comes last, as it may be any text.
std::string NameOf(const pb::AclRecord& acl) {
  using pb::AclRecord;
  return LastWords(AclRecord::Permission_Name(acl.permission()), "PERMISSION_") + " " +
         LastWords(AclRecord::Operation_Name(acl.operation()), "OPERATION_") + " of " +
         LastWords(AclRecord::Resource_Name(acl.resource()), "RESOURCE_") + " " +
         QuoteJson(acl.name()) + " " +
         LastWords(AclRecord::Pattern_Name(acl.pattern()), "PATTERN_") + " from " + acl.host() +
         " for " + acl.principal();
}

ObjectKey ClusterKey() { return {0, "cluster", "", 0}; }

// Takes the rows of one image apart into objects.
class Rows {
 public:
  Rows(const MetadataImage& image, const MetadataImage& other, bool as_json)
      : image_(image), other_(other), as_json_(as_json) {
    objects_[ClusterKey()];  // it is there, whatever its rows are
  }

  void Add(const std::string& key, const std::string& bytes) {
    const auto parsed = ParseRecord(bytes);
    CHECK(parsed.ok()) << parsed.error();
    const pb::MetadataRecord& record = *parsed;
    switch (record.record_case()) {
      case pb::MetadataRecord::kFeatureLevel:
        return AddToCluster(Describe(record.feature_level(), "level", "feature_level"));
      case pb::MetadataRecord::kCluster:
        return AddToCluster(Describe(record.cluster()));
      case pb::MetadataRecord::kProducerIds:
        return AddToCluster(
            {{"next_producer_id", std::to_string(record.producer_ids().next_producer_id())}});
      case pb::MetadataRecord::kRegisterBroker:
        objects_[{1, "broker", "", record.register_broker().node_id()}] =
            Describe(record.register_broker());
        return;
      case pb::MetadataRecord::kConfig:
        return AddConfig(record.config());
      case pb::MetadataRecord::kTopic:
        return AddTopic(record.topic());
      case pb::MetadataRecord::kPartitions:
        return AddPartitions(record.partitions());
      case pb::MetadataRecord::kAcl:
        objects_[{5, "acl", NameOf(record.acl()), 0}];
        return;
      case pb::MetadataRecord::kUserCredential:
        return AddCredential(record.user_credential());
      case pb::MetadataRecord::kClientQuota:
        return AddQuota(record.client_quota());
      default:
        return AddOther(key, record);
    }
  }

  Objects Take() { return std::move(objects_); }

 private:
  Fields Describe(const google::protobuf::Message& message, const std::string& field = "",
                  const std::string& name = "") const {
    Fields fields = DescribeFields(message, as_json_, true);
    for (auto& each : fields) {
      if (each.first == field) each.first = name;
    }
    return fields;
  }
  void AddToCluster(const Fields& fields) {
    Fields& cluster = objects_[ClusterKey()];
    cluster.insert(cluster.end(), fields.begin(), fields.end());
  }

  void AddConfig(const pb::ConfigRecord& record) {
    std::string name = "all brokers";
    if (record.has_topic_id()) {
      name = "topic " + TopicName(record.topic_id());
    } else if (record.broker_id() >= 0) {
      name = "broker " + std::to_string(record.broker_id());
    }
    Fields& fields = objects_[{2, "config", name, 0}];
    for (const auto& entry : record.set())
      fields.emplace_back(entry.name(), QuoteJson(entry.value()));
  }

  void AddTopic(const pb::TopicRecord& record) {
    Fields fields = Describe(record);
    std::erase_if(fields, [](const auto& field) { return field.first == "name"; });
    TopicId id;
    // Of one that both images have its partitions say what changed.
    if (ReadId(record.topic_id(), &id) && other_.Topic(id) == nullptr)
      fields.emplace_back("partition_count", std::to_string(image_.Topic(id)->partition_count()));
    objects_[{3, "topic", record.name(), 0}] = std::move(fields);
  }

  void AddPartitions(const pb::PartitionsRecord& record) {
    TopicId id;
    if (!ReadId(record.topic_id(), &id) || other_.Topic(id) == nullptr) return;
    const std::string name = TopicName(record.topic_id());
    for (const auto& partition : record.partitions()) {
      Fields fields = Describe(partition);
      std::erase_if(fields, [](const auto& field) { return field.first == "index"; });
      objects_[{4, "partition", name + "-", partition.index()}] = std::move(fields);
    }
  }

  // What is secret shows only that it is another one.
  void AddCredential(const pb::UserCredentialRecord& record) {
    const std::string mechanism = pb::ScramMechanism_Name(record.mechanism());
    Fields fields = Describe(record);
    std::erase_if(fields, [](const auto& field) { return field.first != "iterations"; });
    char mark[16];
    const uint32_t crc =
        Crc32c(0, {reinterpret_cast<const uint8_t*>(record.salt().data()), record.salt().size()});
    std::snprintf(mark, sizeof mark, "\"<%08x>\"", crc);
    fields.emplace_back("credential", mark);
    objects_[{6, "user", record.user() + " " + LastWords(mechanism, "SCRAM_MECHANISM_"), 0}] =
        std::move(fields);
  }

  void AddQuota(const pb::ClientQuotaRecord& record) {
    std::string name;
    const auto add = [&](const char* kind, const std::string& value) {
      name += (name.empty() ? "" : ", ") + std::string(kind) + " " + QuoteJson(value);
    };
    if (record.has_user()) add("user", record.user());
    if (record.has_client_id()) add("client_id", record.client_id());
    if (record.has_ip()) add("ip", record.ip());
    Fields& quota = objects_[{7, "quota", name, 0}];
    for (const auto& entry : record.set()) {
      for (const auto& [field, value] : Describe(entry))
        if (field == "value") quota.emplace_back(entry.name(), value);
    }
  }

  // Of a type that has no more to say: a row is an object.
  void AddOther(const std::string& key, const pb::MetadataRecord& record) {
    const auto fields = DescribeFields(record, as_json_, false);
    std::string name;
    for (const char letter : key) {
      constexpr char kHex[] = "0123456789abcdef";
      const auto byte = static_cast<uint8_t>(letter);
      name += {kHex[byte >> 4], kHex[byte & 15]};
    }
    objects_[{8, fields.empty() ? "record" : fields[0].first, name, 0}] = fields;
  }

  std::string TopicName(const std::string& topic_id) const {
    TopicId id;
    const TopicPtr topic = ReadId(topic_id, &id) ? image_.Topic(id) : nullptr;
    return topic == nullptr ? id.ToString() : topic->name;
  }

  const MetadataImage& image_;
  const MetadataImage& other_;
  const bool as_json_;
  Objects objects_;
};

const std::string* Find(const Fields* fields, const std::string& name) {
  if (fields == nullptr) return nullptr;
  const auto found = std::find_if(fields->begin(), fields->end(),
                                  [&](const auto& field) { return field.first == name; });
  return found == fields->end() ? nullptr : &found->second;
}

std::optional<std::string> Copy(const std::string* text) {
  return text == nullptr ? std::nullopt : std::optional(*text);
}

std::string NameOf(const ObjectKey& key) {
  const bool has_number = key.type == "broker" || key.type == "partition";
  return key.name + (has_number ? std::to_string(key.number) : "");
}

bool IsNothing(const std::string& value) {
  return value == "0" || value == "false" || value == "\"\"" || value == "[]";
}

// Of an object of which either is there.
ObjectChange Compare(const ObjectKey& key, const Fields* before, const Fields* after) {
  ObjectChange change;
  change.kind = before == nullptr  ? ObjectChange::Kind::kAdded
                : after == nullptr ? ObjectChange::Kind::kRemoved
                                   : ObjectChange::Kind::kChanged;
  change.type = key.type;
  change.name = NameOf(key);
  for (const auto& [name, value] : after == nullptr ? *before : *after) {
    const std::string* const was = Find(before, name);
    const std::string* const is = Find(after, name);
    const bool is_same = was != nullptr && is != nullptr && *was == *is;
    const bool is_left_out = (before == nullptr || after == nullptr) && IsNothing(value);
    if (!is_same && !is_left_out) change.fields.push_back({name, Copy(was), Copy(is)});
  }
  if (before == nullptr || after == nullptr) return change;
  for (const auto& [name, value] : *before) {
    if (Find(after, name) == nullptr) change.fields.push_back({name, value, std::nullopt});
  }
  return change;
}

}  // namespace

std::vector<ObjectChange> DiffObjects(const MetadataImage& before, const MetadataImage& after,
                                      bool as_json) {
  Rows old_rows(before, after, as_json), new_rows(after, before, as_json);
  std::map<std::string, bool> replaced;
  for (const RowChange& change : DiffRows(&before, after)) {
    if (change.replaces) replaced[change.key] = true;
    if (change.record.has_value()) new_rows.Add(change.key, *change.record);
  }
  CHECK(VisitRows(before, [&](std::string_view key, const std::string& record) {
          if (replaced.count(std::string(key)) != 0) old_rows.Add(std::string(key), record);
          return Result<void>();
        }).ok());
  const Objects was = old_rows.Take(), is = new_rows.Take();
  std::vector<ObjectChange> changes;
  for (auto old = was.begin(), now = is.begin(); old != was.end() || now != is.end();) {
    const bool has_old = now == is.end() || (old != was.end() && !(now->first < old->first));
    const bool has_new = old == was.end() || (now != is.end() && !(old->first < now->first));
    const ObjectKey& key = has_old ? old->first : now->first;
    ObjectChange change =
        Compare(key, has_old ? &old->second : nullptr, has_new ? &now->second : nullptr);
    // Rows have several partitions each.
    if (!change.fields.empty() || !has_old || !has_new) changes.push_back(std::move(change));
    if (has_old) ++old;
    if (has_new) ++now;
  }
  return changes;
}

}  // namespace gregor
