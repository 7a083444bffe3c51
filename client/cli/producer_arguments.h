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

  // Adds them to `command`. REQUIRES: this outlives it.
  void AddOptions(CLI::App& command);
  ProducerOptions ToOptions(const std::string& server) const;
};

}  // namespace gregor

#endif  // GREGOR_CLIENT_CLI_PRODUCER_ARGUMENTS_H_
