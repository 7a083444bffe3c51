#include "broker/partition_counter.h"

namespace gregor {
namespace {

// What the node's settings say of topics on which nothing is set.
ConfigMap StaticConfigsOf(const BrokerApi& broker) {
  ConfigMap configs;
  const auto described = broker.DescribeTopicConfigs("");
  if (!described.ok()) return configs;
  for (const EffectiveConfig& config : described->entries) {
    if (config.source == ConfigSource::kBrokerStatic)
      configs[std::string(config.spec->broker_synonym)] = config.value;
  }
  return configs;
}

}  // namespace

std::shared_ptr<const PartitionCounts> PartitionCounter::Of(const ImagePtr& image) {
  {
    const MutexLock lock(mutex_);
    if (counts_ != nullptr && image_.lock() == image) return counts_;
  }
  // Whoever asks at the same time counts as well, rather than waits.
  auto counts =
      std::make_shared<const PartitionCounts>(CountPartitions(*image, StaticConfigsOf(broker_)));
  const MutexLock lock(mutex_);
  image_ = image;
  counts_ = counts;
  return counts;
}

}  // namespace gregor
