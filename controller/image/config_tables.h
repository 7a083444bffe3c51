#ifndef GREGOR_CONTROLLER_IMAGE_CONFIG_TABLES_H_
#define GREGOR_CONTROLLER_IMAGE_CONFIG_TABLES_H_

#include "controller/image/topic_configs.h"

namespace gregor {

// How the tables of configs are written down (config_tables.cc, broker_config_table.cc).

inline constexpr std::string_view kConfigLongMax = "9223372036854775807";

constexpr ConfigSpec NumberConfig(std::string_view name, ConfigType type,
                                  std::string_view default_value, std::string_view valid,
                                  int64_t low, int64_t high, std::string_view synonym,
                                  std::string_view documentation) {
  ConfigSpec spec{.name = name,
                  .type = type,
                  .default_value = default_value,
                  .valid = valid,
                  .documentation = documentation,
                  .broker_synonym = synonym};
  spec.low = low;
  spec.high = high;
  return spec;
}

constexpr ConfigSpec LongConfig(std::string_view name, std::string_view default_value,
                                std::string_view valid, int64_t low, std::string_view synonym,
                                std::string_view documentation) {
  return NumberConfig(name, ConfigType::kLong, default_value, valid, low, INT64_MAX, synonym,
                      documentation);
}

constexpr ConfigSpec IntConfig(std::string_view name, std::string_view default_value,
                               std::string_view valid, int64_t low, std::string_view synonym,
                               std::string_view documentation) {
  return NumberConfig(name, ConfigType::kInt, default_value, valid, low, INT32_MAX, synonym,
                      documentation);
}

constexpr ConfigSpec TextConfig(std::string_view name, ConfigType type,
                                std::string_view default_value, std::string_view valid,
                                std::span<const std::string_view> choices, std::string_view synonym,
                                std::string_view documentation) {
  ConfigSpec spec{.name = name,
                  .type = type,
                  .default_value = default_value,
                  .valid = valid,
                  .documentation = documentation,
                  .broker_synonym = synonym};
  spec.choices = choices;
  return spec;
}

constexpr ConfigSpec BooleanConfig(std::string_view name, std::string_view default_value,
                                   std::string_view synonym, std::string_view documentation) {
  return TextConfig(name, ConfigType::kBoolean, default_value, "true, false", {}, synonym,
                    documentation);
}

// Without effect so far.
constexpr ConfigSpec NotYet(ConfigSpec spec) {
  spec.effect = ConfigEffect::kNotYet;
  return spec;
}

// Of all brokers together.
constexpr ConfigSpec OfCluster(ConfigSpec spec) {
  spec.of_cluster = true;
  return spec;
}

}  // namespace gregor

#endif  // GREGOR_CONTROLLER_IMAGE_CONFIG_TABLES_H_
