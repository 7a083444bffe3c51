#include "controller/image/topic_configs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace gregor {
namespace {

using testing::HasSubstr;

std::string Refusal(const ConfigMap& configs) {
  const auto checked = CheckTopicConfigs(configs);
  if (checked.ok()) return "";
  EXPECT_EQ(checked.error().reason, Reason::kInvalidConfig);
  return checked.error().message;
}

// A topic with `configs`, a node with dynamic and static ones.
struct Layers {
  ConfigMap topic, node, cluster, file;

  TopicSettings Settings() const {
    const auto [image, topic_image] = Images();
    return ResolveTopicSettings(topic_image, image, NodeId{1}, file);
  }
  EffectiveConfig Effective(std::string_view name) const {
    const auto [image, topic_image] = Images();
    return ResolveTopicConfig(*FindTopicConfig(name), topic, image, NodeId{1}, file);
  }

 private:
  std::pair<MetadataImage, TopicImage> Images() const {
    MetadataImage image;
    image.broker_configs.Set(NodeId{1}, std::make_shared<const ConfigMap>(node));
    image.broker_configs.Set(NodeId{-1}, std::make_shared<const ConfigMap>(cluster));
    TopicImage topic_image;
    topic_image.configs = std::make_shared<const ConfigMap>(topic);
    return {image, topic_image};
  }
};

TEST(TopicConfigs, EveryDefaultIsValid) {
  for (const auto specs : {TopicConfigSpecs(), BrokerConfigSpecs()}) {
    for (const ConfigSpec& spec : specs) {
      const auto checked = CheckConfigValue(spec, spec.default_value);
      EXPECT_TRUE(checked.ok()) << checked.error();
      EXPECT_FALSE(spec.documentation.empty()) << spec.name;
      EXPECT_FALSE(spec.valid.empty()) << spec.name;
    }
  }
}

TEST(TopicConfigs, EveryNameIsFound) {
  for (const ConfigSpec& spec : TopicConfigSpecs()) {
    EXPECT_EQ(FindTopicConfig(spec.name), &spec);
    if (spec.broker_synonym.empty()) continue;
    const ConfigSpec* synonym = FindBrokerConfig(spec.broker_synonym);
    ASSERT_NE(synonym, nullptr) << spec.broker_synonym;
    EXPECT_EQ(synonym->default_value, spec.default_value);
  }
  for (const ConfigSpec& spec : BrokerConfigSpecs()) EXPECT_EQ(FindBrokerConfig(spec.name), &spec);
  EXPECT_EQ(FindTopicConfig("retention"), nullptr);
  EXPECT_EQ(FindBrokerConfig(""), nullptr);
}

TEST(TopicConfigs, ValuesWithinBoundsAreTaken) {
  EXPECT_EQ(Refusal({{"retention.ms", "-1"},
                     {"retention.bytes", "-5"},
                     {"segment.bytes", "1048576"},
                     {"cleanup.policy", "compact, delete"},
                     {"min.cleanable.dirty.ratio", "0.01"},
                     {"message.timestamp.type", "LogAppendTime"},
                     {"durability", "replicated"},
                     {"preallocate", "TRUE"},
                     {"compression.type", "zstd"},
                     {"flush.ms", "0"}}),
            "");
  EXPECT_EQ(Refusal({{"cleanup.policy", ""}}), "");
}

TEST(TopicConfigs, ValuesOutOfBoundsAreRefusedWithWhatIsValid) {
  EXPECT_EQ(Refusal({{"retention.ms", "-2"}}),
            "retention.ms cannot be \"-2\"; valid: at least -1; -1: no limit");
  const ConfigMap bad = {{"segment.bytes", "100"},
                         {"segment.ms", "0"},
                         {"flush.messages", "0"},
                         {"min.insync.replicas", "0"},
                         {"max.message.bytes", "2147483648"},
                         {"min.cleanable.dirty.ratio", "1.1"},
                         {"cleanup.policy", "compact,,delete"},
                         {"compression.type", "brotli"},
                         {"message.timestamp.type", "createtime"},
                         {"durability", "none"},
                         {"preallocate", "yes"},
                         {"delete.retention.ms", "1d"},
                         {"index.interval.bytes", ""},
                         {"segment.jitter.ms", "9223372036854775808"},
                         {"max.compaction.lag.ms", "nan"}};
  for (const auto& [name, value] : bad) {
    EXPECT_THAT(Refusal({{name, value}}), HasSubstr(name + " cannot be \"" + value + "\"; valid:"));
  }
  EXPECT_NE(Refusal({{"min.cleanable.dirty.ratio", "nan"}}), "");
}

TEST(TopicConfigs, UnknownNamesAreRefusedAndShownSafely) {
  EXPECT_THAT(Refusal({{"retention", "1"}}), HasSubstr("\"retention\" is no topic config"));
  const std::string refusal = Refusal({{"a\x1b[31m" + std::string(5000, 'b'), "1"}});
  EXPECT_THAT(refusal, HasSubstr("\"a\\x1b[31mbb"));
  EXPECT_LT(refusal.size(), 300u);
}

TEST(TopicConfigs, WhatHasNoEffectIsRefusedNotKept) {
  EXPECT_THAT(Refusal({{"remote.storage.enable", "true"}}), HasSubstr("has no effect"));
  EXPECT_THAT(Refusal({{"preallocate", "true"}, {"remote.log.copy.disable", "true"}}),
              HasSubstr("has no effect"));
  EXPECT_THAT(Refusal({{"compression.zstd.level", "9"}}), HasSubstr("has no effect"));
  EXPECT_THAT(Refusal({{"max.decompressed.message.bytes", "1048576"}}),
              HasSubstr("only the default is taken: \"67108864\""));
  // What happens anyway may be asked for.
  EXPECT_EQ(FindTopicConfig("max.decompressed.message.bytes")->default_value,
            std::to_string(kDecompressedBytesMax));
  EXPECT_EQ(Refusal({{"remote.storage.enable", "false"}}), "");
}

TEST(TopicConfigs, SecretsAreNotShown) {
  const auto checked = CheckConfigValue(*FindBrokerConfig("ssl.key.password"), "hunter2");
  ASSERT_FALSE(checked.ok());
  EXPECT_THAT(checked.error().message, testing::Not(HasSubstr("hunter2")));
}

TEST(TopicConfigs, TheCompactionLagsAreComparedWithEachOther) {
  EXPECT_THAT(Refusal({{"min.compaction.lag.ms", "10"}, {"max.compaction.lag.ms", "9"}}),
              HasSubstr("must not be above max.compaction.lag.ms (9)"));
  EXPECT_EQ(Refusal({{"min.compaction.lag.ms", "9"}, {"max.compaction.lag.ms", "9"}}), "");
}

TEST(TopicConfigs, TheNearestLayerWins) {
  Layers layers;
  const auto expect = [&](std::string_view value, ConfigSource source) {
    const EffectiveConfig config = layers.Effective("retention.ms");
    EXPECT_EQ(config.value, value);
    EXPECT_EQ(config.source, source);
  };
  expect("604800000", ConfigSource::kDefault);
  layers.file["log.retention.ms"] = "1";
  expect("1", ConfigSource::kBrokerStatic);
  layers.cluster["log.retention.ms"] = "2";
  expect("2", ConfigSource::kClusterDynamic);
  layers.node["log.retention.ms"] = "3";
  expect("3", ConfigSource::kBrokerDynamic);
  layers.topic["retention.ms"] = "4";
  expect("4", ConfigSource::kTopic);
}

TEST(TopicConfigs, DefaultsAreThoseOfTheLog) { EXPECT_EQ(Layers().Settings(), TopicSettings()); }

TEST(TopicConfigs, EverySettingArrives) {
  Layers layers;
  layers.topic = {{"cleanup.policy", " compact "},
                  {"retention.ms", "-1"},
                  {"retention.bytes", "5"},
                  {"segment.bytes", "2000000"},
                  {"durability", "replicated"},
                  {"compression.type", "uncompressed"},
                  {"message.timestamp.type", "LogAppendTime"},
                  {"max.message.bytes", "77"},
                  {"min.insync.replicas", "2"},
                  {"min.cleanable.dirty.ratio", "0.25"},
                  {"flush.messages", "9"}};
  const TopicSettings settings = layers.Settings();
  EXPECT_TRUE(settings.log.cleanup_compact);
  EXPECT_FALSE(settings.log.cleanup_delete);
  EXPECT_EQ(settings.log.retention_ms, LogConfig::kNever);
  EXPECT_EQ(settings.log.retention_bytes, 5);
  EXPECT_EQ(settings.log.segment_bytes, 2000000);
  EXPECT_EQ(settings.log.durability, Durability::kReplicated);
  EXPECT_EQ(settings.compression, Codec::kNone);
  EXPECT_EQ(settings.timestamp_type, TimestampType::kLogAppendTime);
  EXPECT_EQ(settings.message_bytes_max, 77u);
  EXPECT_EQ(settings.min_insync_replicas, 2);
  EXPECT_EQ(settings.log.min_cleanable_dirty_ratio, 0.25);
  EXPECT_EQ(settings.log.flush_messages, 9);
  layers.topic["compression.type"] = "producer";
  EXPECT_EQ(layers.Settings().compression, std::nullopt);
}

TEST(TopicConfigs, AValueOfANewerVersionCountsAsNotSet) {
  Layers layers;
  layers.topic["retention.ms"] = "soon";
  EXPECT_EQ(layers.Settings().log.retention_ms, LogConfig().retention_ms);
}

TEST(TopicConfigs, ListsAreSplitAndJoined) {
  EXPECT_TRUE(SplitConfigList(" ").empty());
  EXPECT_EQ(SplitConfigList("a, b ,c"), (std::vector<std::string>{"a", "b", "c"}));
  EXPECT_EQ(JoinConfigList({"a", "b"}), "a,b");
}

}  // namespace
}  // namespace gregor
