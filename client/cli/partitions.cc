#include "client/cli/partitions.h"

#include <algorithm>
#include <numeric>

#include "client/cli/record_format.h"

namespace gregor {

void AddPartitionOption(CLI::App& command, std::vector<std::string>& lists) {
  command.add_option("--partition", lists, "Only this partition, or these: 0,2 (default: all)")
      ->expected(1)
      ->take_all()
      ->allow_extra_args(false)
      ->type_name("N");
}

Result<std::set<int32_t>> ParsePartitions(const std::vector<std::string>& lists) {
  std::set<int32_t> partitions;
  for (const std::string& list : lists) {
    for (size_t begin = 0; begin <= list.size();) {
      const size_t end = std::min(list.find(',', begin), list.size());
      const std::string text = list.substr(begin, end - begin);
      int64_t number = 0;
      if (!ParseWholeNumber(text, &number) || number < 0 || number > INT32_MAX)
        return Error(Reason::kInvalidArgument, "--partition: \"" + text +
                                                   "\" is no whole number from 0 to " +
                                                   std::to_string(INT32_MAX));
      partitions.insert(static_cast<int32_t>(number));
      begin = end + 1;
    }
  }
  return partitions;
}

Result<std::vector<int32_t>> ChosenPartitions(const Admin& admin, const std::string& topic,
                                              const std::set<int32_t>& wanted) {
  ASSIGN_OR_RETURN(const int32_t count, admin.PartitionCount(topic));
  for (const int32_t partition : wanted) {
    if (partition < count) continue;
    return Error(Reason::kPartitionNotFound,
                 "topic \"" + topic + "\" has no partition " + std::to_string(partition) +
                     ": it has " + (count == 1 ? "only 0" : "0 to " + std::to_string(count - 1)));
  }
  if (!wanted.empty()) return std::vector<int32_t>(wanted.begin(), wanted.end());
  std::vector<int32_t> all(static_cast<size_t>(count));
  std::iota(all.begin(), all.end(), 0);
  return all;
}

Result<std::vector<PartitionRange>> RangesOfReadable(GlobalOptions& global,
                                                     const std::vector<int32_t>& partitions,
                                                     const AskForRanges& ask) {
  auto all = ask(partitions);
  const bool is_of_one = !all.ok() && (all.error().reason == Reason::kStorageError ||
                                       all.error().reason == Reason::kCorruptBatch);
  if (!is_of_one || partitions.size() == 1) return all;
  std::vector<PartitionRange> readable;
  std::optional<Error> unreadable;
  for (const int32_t partition : partitions) {
    const auto range = ask({partition});
    if (range.ok()) {
      readable.push_back(range->front());
    } else if (range.error().reason != Reason::kStorageError) {
      if (unreadable.has_value()) PrintError(*unreadable, false);
      return range.error();
    } else {
      if (unreadable.has_value()) PrintError(*unreadable, false);
      unreadable = range.error();
    }
  }
  if (!unreadable.has_value()) return readable;
  if (readable.empty()) return *unreadable;
  PrintError(*unreadable, false);
  global.exit_code = 1;
  return readable;
}

}  // namespace gregor
