#include <cstring>
#include <iostream>
#include <map>
#include <memory>

#include "client/cli/admin.h"
#include "client/cli/output.h"
#include "client/cli/record_format.h"
#include "client/consumer.h"

namespace gregor {
namespace {

struct ConsumeArguments {
  std::string topic;
  std::string from = "end";
  int32_t partition = -1;
  int64_t records_max = -1;
  bool exit_at_end = false;
  std::string format;
};

constexpr size_t kOutputBytes = 1u << 20;
constexpr size_t kDecompressedMax = 1u << 30;

// Where each partition begins, as an offset, so that nothing before it is shown.
Result<std::vector<int64_t>> StartOffsets(Channel& channel, const ConsumeArguments& arguments,
                                          const std::vector<int32_t>& partitions) {
  ASSIGN_OR_RETURN(const FromArgument from, ParseFrom(arguments.from));
  v1::Position position;
  switch (from.kind) {
    case FromArgument::Kind::kOffset:
      return std::vector<int64_t>(partitions.size(), from.value);
    case FromArgument::Kind::kBeginning:
      return FindOffsets(channel, arguments.topic, partitions, EarliestPosition());
    case FromArgument::Kind::kEnd:
      return FindOffsets(channel, arguments.topic, partitions, LatestPosition());
    case FromArgument::Kind::kTail:
      position.set_tail(from.value);
      return FindOffsets(channel, arguments.topic, partitions, position);
    case FromArgument::Kind::kTime:
      break;
  }
  position.set_timestamp_ms(from.value);
  ASSIGN_OR_RETURN(auto offsets, FindOffsets(channel, arguments.topic, partitions, position));
  ASSIGN_OR_RETURN(const auto ends,
                   FindOffsets(channel, arguments.topic, partitions, LatestPosition()));
  for (size_t i = 0; i < offsets.size(); ++i) {
    if (offsets[i] < 0) offsets[i] = ends[i];  // nothing that late yet
  }
  return offsets;
}

// Prints what a consumer gets, until it is told to stop.
class Printer {
 public:
  Printer(RecordFormat format, const ConsumeArguments& arguments)
      : format_(std::move(format)), arguments_(arguments) {}

  // True: enough.
  Result<bool> Print(const Consumed& consumed, int64_t first_wanted) {
    for (const RecordBatch& batch : consumed.batches) {
      if (batch.header.is_control()) continue;
      ASSIGN_OR_RETURN(RecordReader reader, RecordReader::Open(batch, kDecompressedMax));
      while (true) {
        ASSIGN_OR_RETURN(const auto record, reader.Next());
        if (!record.has_value()) break;
        if (record->offset.value < first_wanted) continue;
        if (arguments_.records_max >= 0 && printed_ >= arguments_.records_max) return true;
        format_.Append(consumed.topic, consumed.partition, *record, out_);
        ++printed_;
        if (out_.size() >= kOutputBytes) RETURN_IF_ERROR(Flush());
      }
    }
    return arguments_.records_max >= 0 && printed_ >= arguments_.records_max;
  }

  Result<void> Flush() {
    const bool written =
        std::fwrite(out_.data(), 1, out_.size(), stdout) == out_.size() && std::fflush(stdout) == 0;
    out_.clear();
    if (written) return {};
    return Error(Reason::kUnspecified,
                 std::string("stdout cannot be written: ") + std::strerror(errno));
  }

 private:
  const RecordFormat format_;
  const ConsumeArguments& arguments_;
  std::string out_;
  int64_t printed_ = 0;
};

Result<void> Run(GlobalOptions& global, const ConsumeArguments& arguments) {
  ASSIGN_OR_RETURN(RecordFormat format, RecordFormat::Parse(arguments.format));
  const auto channel = Channel::Connect(global.server);
  ASSIGN_OR_RETURN(const auto partitions,
                   PartitionsOf(*channel, arguments.topic, arguments.partition));
  ASSIGN_OR_RETURN(const auto starts, StartOffsets(*channel, arguments, partitions));
  ASSIGN_OR_RETURN(const auto ends,
                   FindOffsets(*channel, arguments.topic, partitions, LatestPosition()));
  ConsumerOptions options;
  options.server = global.server;
  options.batch_bytes_max = 32u << 20;
  const auto consumer = Consumer::Create(options);
  std::map<int32_t, int64_t> first_wanted, unfinished;
  for (size_t i = 0; i < partitions.size(); ++i) {
    first_wanted[partitions[i]] = starts[i];
    if (arguments.exit_at_end && starts[i] >= ends[i]) continue;
    if (arguments.exit_at_end) unfinished[partitions[i]] = ends[i];
    consumer->Assign(arguments.topic, PartitionIndex{partitions[i]},
                     {StartPosition::Kind::kOffset, starts[i]});
  }
  Printer printer(std::move(format), arguments);
  bool enough = arguments.records_max == 0;
  while (!enough && (!arguments.exit_at_end || !unfinished.empty())) {
    ASSIGN_OR_RETURN(auto consumed, consumer->Poll(std::chrono::milliseconds(0)));
    if (!consumed.has_value()) {
      RETURN_IF_ERROR(printer.Flush());  // what is printed is seen before anything is waited for
      ASSIGN_OR_RETURN(consumed, consumer->Poll(std::chrono::seconds(1)));
    }
    if (!consumed.has_value()) continue;
    const int32_t partition = consumed->partition.value;
    ASSIGN_OR_RETURN(enough, printer.Print(*consumed, first_wanted[partition]));
    const auto end = unfinished.find(partition);
    if (end == unfinished.end() || consumed->next_offset.value < end->second) continue;
    consumer->Unassign(arguments.topic, consumed->partition);
    unfinished.erase(end);
  }
  return printer.Flush();
}

}  // namespace

void AddConsumeCommand(CLI::App& app, GlobalOptions& global) {
  const auto arguments = std::make_shared<ConsumeArguments>();
  CLI::App* const command = app.add_subcommand("consume", "Print records, and follow a topic");
  command->add_option("TOPIC", arguments->topic, "Topic")->required();
  command
      ->add_option("--from", arguments->from,
                   "beginning, end, OFFSET, -N (N records before the end), @TIME (milliseconds, or "
                   "2026-01-31T12:00:00Z)")
      ->capture_default_str();
  command->add_option("--partition", arguments->partition, "Only this partition (default: all)");
  command->add_option("--max-records", arguments->records_max, "Stop after so many records")
      ->check(CLI::NonNegativeNumber);
  command->add_flag("--exit-at-end", arguments->exit_at_end,
                    "Stop at the end of the topic as of the start");
  command->add_option("--format", arguments->format,
                      "json, raw (values without anything between), or a template with {topic} "
                      "{partition} {offset} {timestamp} "
                      "{key} {value} {headers} \\n \\t (default: {value}\\n)");
  OnCommand(*command, global, [&global, arguments] { return Run(global, *arguments); });
}

}  // namespace gregor
