// The table of topic configs.
#include "controller/image/config_tables.h"

#include <algorithm>

namespace gregor {
namespace {

constexpr std::string_view kPolicies[] = {"compact", "delete"};
constexpr std::string_view kCodecs[] = {"uncompressed", "zstd", "lz4",
                                        "snappy",       "gzip", "producer"};
constexpr std::string_view kTimestampTypes[] = {"CreateTime", "LogAppendTime"};
constexpr std::string_view kDurabilities[] = {"synced", "replicated"};

constexpr ConfigSpec kTopicConfigs[] = {
    TextConfig("cleanup.policy", ConfigType::kList, "delete", "compact, delete, both or none",
               kPolicies, "log.cleanup.policy",
               "What happens to old segments: deleted by age and size, or compacted to the last "
               "record of each key. With none everything is kept."),
    NotYet(NumberConfig("compression.gzip.level", ConfigType::kInt, "-1", "-1 to 9", -1, 9,
                        "compression.gzip.level",
                        "Level when the broker compresses with gzip; -1: the library's.")),
    NotYet(NumberConfig("compression.lz4.level", ConfigType::kInt, "9", "1 to 17", 1, 17,
                        "compression.lz4.level", "Level when the broker compresses with lz4.")),
    TextConfig("compression.type", ConfigType::kString, "producer",
               "uncompressed, zstd, lz4, snappy, gzip, producer", kCodecs, "compression.type",
               "How batches that the broker makes of plain records are compressed; producer: as "
               "the request says. Batches made by clients are stored as they came."),
    NotYet(NumberConfig("compression.zstd.level", ConfigType::kInt, "3", "-131072 to 22", -131072,
                        22, "compression.zstd.level",
                        "Level when the broker compresses with zstd.")),
    LongConfig("delete.retention.ms", "86400000", "at least 0", 0,
               "log.cleaner.delete.retention.ms",
               "How long compaction keeps tombstones (ms), so that readers can see them."),
    OfCluster(
        TextConfig("durability", ConfigType::kString, "synced", "synced, replicated", kDurabilities,
                   "log.durability",
                   "When acks=all is given. synced: the in-sync replicas have the record on disk; "
                   "replicated: they have it in memory, and a background flush follows.")),
    NotYet(BooleanConfig("errors.deadletterqueue.group.enable", "false", "",
                         "Whether the topic may be a share group's dead letter queue.")),
    LongConfig("file.delete.delay.ms", "60000", "at least 0", 0, "log.segment.delete.delay.ms",
               "How long the files of a deleted segment stay (ms)."),
    LongConfig("flush.messages", kConfigLongMax, "at least 1", 1, "log.flush.interval.messages",
               "With durability=replicated: a sync starts once so many records are not synced. "
               "With durability=synced every append is synced anyway."),
    LongConfig("flush.ms", kConfigLongMax, "at least 0", 0, "log.flush.interval.ms",
               "With durability=replicated: a sync starts once a record has waited so long (ms)."),
    NotYet(TextConfig("follower.replication.throttled.replicas", ConfigType::kList, "",
                      "partition:broker, ... or *", {}, "",
                      "Replicas whose replication is throttled on the follower's side.")),
    IntConfig("index.interval.bytes", "4096", "at least 0", 0, "log.index.interval.bytes",
              "An index entry is made for about each so many bytes."),
    NotYet(TextConfig("leader.replication.throttled.replicas", ConfigType::kList, "",
                      "partition:broker, ... or *", {}, "",
                      "Replicas whose replication is throttled on the leader's side.")),
    NotYet(LongConfig("local.retention.bytes", "-2", "at least -2", -2, "log.local.retention.bytes",
                      "With tiered storage: bytes kept locally; -2: as retention.bytes.")),
    NotYet(LongConfig("local.retention.ms", "-2", "at least -2", -2, "log.local.retention.ms",
                      "With tiered storage: time kept locally (ms); -2: as retention.ms.")),
    LongConfig("max.compaction.lag.ms", kConfigLongMax, "at least 1", 1,
               "log.cleaner.max.compaction.lag.ms",
               "A record is compacted at the latest when it is so old (ms)."),
    NotYet(IntConfig("max.decompressed.message.bytes", "67108864", "at least 0", 0, "",
                     "Largest record once it is decompressed (bytes). What all records of a batch "
                     "take together is bounded by that instead, in every topic.")),
    IntConfig("max.message.bytes", "1048588", "at least 0", 0, "message.max.bytes",
              "Largest batch that is accepted, as sent (bytes)."),
    LongConfig("message.timestamp.after.max.ms", "3600000", "at least 0", 0,
               "log.message.timestamp.after.max.ms",
               "How far a record's time may lie in the future of the broker's (ms)."),
    LongConfig("message.timestamp.before.max.ms", kConfigLongMax, "at least 0", 0,
               "log.message.timestamp.before.max.ms",
               "How far a record's time may lie in the past of the broker's (ms)."),
    TextConfig("message.timestamp.type", ConfigType::kString, "CreateTime",
               "CreateTime, LogAppendTime", kTimestampTypes, "log.message.timestamp.type",
               "Whose time records have: the producer's, or the broker's when it appends."),
    NumberConfig("min.cleanable.dirty.ratio", ConfigType::kDouble, "0.5", "0 to 1", 0, 1,
                 "log.cleaner.min.cleanable.ratio",
                 "A log is compacted once so much of it was not compacted yet."),
    LongConfig("min.compaction.lag.ms", "0", "at least 0, at most max.compaction.lag.ms", 0,
               "log.cleaner.min.compaction.lag.ms",
               "A record is not compacted before it is so old (ms)."),
    OfCluster(IntConfig("min.insync.replicas", "1", "at least 1", 1, "min.insync.replicas",
                        "acks=all is refused while fewer replicas are in sync.")),
    BooleanConfig("preallocate", "false", "log.preallocate",
                  "Whether a segment's file gets its full size when it is made."),
    NotYet(LongConfig("remote.copy.lag.bytes", "0", "at least -1", -1, "log.remote.copy.lag.bytes",
                      "With tiered storage: bytes after which a segment is copied.")),
    NotYet(LongConfig("remote.copy.lag.ms", "0", "at least -1", -1, "log.remote.copy.lag.ms",
                      "With tiered storage: time after which a segment is copied (ms).")),
    NotYet(BooleanConfig("remote.log.copy.disable", "false", "",
                         "With tiered storage: nothing further is copied.")),
    NotYet(BooleanConfig("remote.log.delete.on.disable", "false", "",
                         "Whether switching tiered storage off deletes what was copied.")),
    NotYet(BooleanConfig("remote.storage.enable", "false", "", "Tiered storage.")),
    LongConfig("retention.bytes", "-1", "any; negative: no limit", INT64_MIN, "log.retention.bytes",
               "With cleanup.policy=delete: old segments go while a partition is larger (bytes)."),
    LongConfig("retention.ms", "604800000", "at least -1; -1: no limit", -1, "log.retention.ms",
               "With cleanup.policy=delete: segments go when their last record is so old (ms)."),
    IntConfig(
        "segment.bytes", "1073741824", "at least 1048576", 1048576, "log.segment.bytes",
        "A segment's file ends before it is larger (bytes). A batch above it has one of its own."),
    IntConfig("segment.index.bytes", "10485760", "at least 4", 4, "log.index.size.max.bytes",
              "A segment ends once its index is so large (bytes)."),
    LongConfig("segment.jitter.ms", "0", "at least 0", 0, "log.roll.jitter.ms",
               "Up to so much is taken off segment.ms at random (ms), so that logs do not all "
               "begin a segment at once."),
    LongConfig("segment.ms", "604800000", "at least 1", 1, "log.roll.ms",
               "A segment ends once it is so old (ms)."),
    OfCluster(BooleanConfig("unclean.leader.election.enable", "false",
                            "unclean.leader.election.enable",
                            "Whether a replica that was not in sync may lead if no other is left, "
                            "at the cost of lost records.")),
};

template <size_t kCount>
constexpr bool IsSorted(const ConfigSpec (&specs)[kCount]) {
  for (size_t i = 1; i < kCount; ++i) {
    if (specs[i].name <= specs[i - 1].name) return false;
  }
  return true;
}
static_assert(IsSorted(kTopicConfigs));

}  // namespace

std::span<const ConfigSpec> TopicConfigSpecs() { return kTopicConfigs; }

}  // namespace gregor
