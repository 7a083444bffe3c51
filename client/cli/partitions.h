#ifndef GREGOR_CLIENT_CLI_PARTITIONS_H_
#define GREGOR_CLIENT_CLI_PARTITIONS_H_

#include <CLI/CLI.hpp>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "client/admin.h"

namespace gregor {

// The option --partition, which takes one or a list ("0,2") and may come several times. Thread:
// main.

// Adds it to `command`. REQUIRES: `lists` outlives it.
void AddPartitionOption(CLI::App& command, std::vector<std::string>& lists);
// What it said, each once. Fails with kInvalidArgument.
Result<std::set<int32_t>> ParsePartitions(const std::vector<std::string>& lists);
// Those of `wanted`, or all of the topic where that is empty. Fails with kPartitionNotFound, and as
// Admin::PartitionCount().
Result<std::vector<int32_t>> ChosenPartitions(const Admin& admin, const std::string& topic,
                                              const std::set<int32_t>& wanted);

}  // namespace gregor

#endif  // GREGOR_CLIENT_CLI_PARTITIONS_H_
