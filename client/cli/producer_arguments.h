#ifndef GREGOR_CLIENT_CLI_PRODUCER_ARGUMENTS_H_
#define GREGOR_CLIENT_CLI_PRODUCER_ARGUMENTS_H_

#include <CLI/CLI.hpp>
#include <optional>
#include <string>

#include "client/producer.h"

namespace gregor {

// Options of a producer that several commands have. Thread: main.
struct ProducerArguments {
  std::string acks = "all";
  std::string compression = "none";
  std::optional<int64_t> batch_bytes;
  std::optional<double> linger_ms;
  double delivery_timeout_seconds = 120;

  // Adds them to `command`. REQUIRES: this outlives it.
  void AddOptions(CLI::App& command);
  ProducerOptions ToOptions(const std::string& server) const;
};

// What --acks says: all, leader, none, Kafka's -1, 1 and 0 for them, or a number of replicas from 2
// on. nullopt: none of these.
struct AcksArgument {
  ClientAcks acks = ClientAcks::kAll;
  int32_t count = 0;
};
std::optional<AcksArgument> ParseAcks(const std::string& text);

}  // namespace gregor

#endif  // GREGOR_CLIENT_CLI_PRODUCER_ARGUMENTS_H_
