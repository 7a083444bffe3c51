// Links: gregor_node
// A settings file, and configs of topics and brokers, as people (and scripts) write them. The first
// byte says which. What is refused is refused with a message that a person can read; what is taken
// can be used.
#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "controller/image/topic_configs.h"
#include "node/settings.h"

namespace gregor {
namespace {

constexpr size_t kMessageBytesMax = 4096;

void CheckMessage(const Error& error) {
  CHECK(error.reason == Reason::kInvalidConfig) << error;
  CHECK(!error.message.empty());
  CHECK_LE(error.message.size(), kMessageBytesMax);
}

void ParseFile(std::string_view text) {
  Settings settings;
  const auto parsed = ParseSettings("node.yaml", std::string(text), settings);
  if (!parsed.ok()) {
    CheckMessage(parsed.error());
    CHECK(parsed.error().message.starts_with("node.yaml:")) << parsed.error();
    return;
  }
  const auto checked = CheckSettings(settings);
  if (!checked.ok()) CheckMessage(checked.error());
  CHECK(!settings.data_dir.empty());
  CHECK_EQ(settings.LogDirs().empty(), !settings.roles.broker);
}

void ApplyFlags(std::string_view text) {
  Settings settings;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const size_t equals = std::min(line.find('='), line.size());
    const auto applied = ApplySetting(settings, line.substr(0, equals),
                                      line.substr(std::min(equals + 1, line.size())));
    if (!applied.ok()) CheckMessage(applied.error());
  }
}

// Lines of name=value, as of one topic.
void ResolveTopic(std::string_view text) {
  ConfigMap configs;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const size_t equals = std::min(line.find('='), line.size());
    configs[std::string(line.substr(0, equals))] = line.substr(std::min(equals + 1, line.size()));
  }
  const auto checked = CheckTopicConfigs(configs);
  if (!checked.ok()) return CheckMessage(checked.error());
  TopicImage topic;
  topic.configs = std::make_shared<const ConfigMap>(configs);
  const TopicSettings settings = ResolveTopicSettings(topic, MetadataImage(), NodeId{1}, {});
  CHECK_GT(settings.message_bytes_max, 0u);
  CHECK_GT(settings.log.segment_bytes, 0);
  CHECK(settings.log.cleanup_delete || settings.log.cleanup_compact);
  for (const ConfigSpec& spec : TopicConfigSpecs()) {
    const auto effective = ResolveTopicConfig(spec, configs, MetadataImage(), NodeId{1}, {});
    CHECK(CheckConfigValue(spec, effective.value).ok()) << spec.name << "=" << effective.value;
  }
}

}  // namespace
}  // namespace gregor

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 3) {
    case 0:
      gregor::ParseFile(text);
      break;
    case 1:
      gregor::ApplyFlags(text);
      break;
    default:
      gregor::ResolveTopic(text);
  }
  return 0;
}
