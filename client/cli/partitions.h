#ifndef GREGOR_CLIENT_CLI_PARTITIONS_H_
#define GREGOR_CLIENT_CLI_PARTITIONS_H_

#include <CLI/CLI.hpp>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "client/admin.h"
#include "client/cli/output.h"

namespace gregor {

// The option --partition, which takes one or a list ("0,2") and may come several times, and what is
// asked of those partitions. Thread: main.

// Adds it to `command`. REQUIRES: `lists` outlives it.
void AddPartitionOption(CLI::App& command, std::vector<std::string>& lists);
// What it said, each once. Fails with kInvalidArgument.
Result<std::set<int32_t>> ParsePartitions(const std::vector<std::string>& lists);
// Those of `wanted`, or all of the topic where that is empty. Fails with kPartitionNotFound, and as
// Admin::PartitionCount().
Result<std::vector<int32_t>> ChosenPartitions(const Admin& admin, const std::string& topic,
                                              const std::set<int32_t>& wanted);

// A partition and two of its offsets.
struct PartitionRange {
  int32_t partition = 0;
  int64_t start = 0;
  int64_t end = 0;
};
using AskForRanges =
    std::function<Result<std::vector<PartitionRange>>(const std::vector<int32_t>& partitions)>;
// What `ask` answers for all at once. Where that fails with kStorageError or kCorruptBatch, one
// partition is asked for after the other: whose log cannot be read at all (kStorageError) is told
// on stderr and left out, and the exit code is 1 in the end; fails where that are all.
Result<std::vector<PartitionRange>> RangesOfReadable(GlobalOptions& global,
                                                     const std::vector<int32_t>& partitions,
                                                     const AskForRanges& ask);

}  // namespace gregor

#endif  // GREGOR_CLIENT_CLI_PARTITIONS_H_
