#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <iostream>
#include <map>
#include <memory>
#include <set>

#include "client/admin.h"
#include "client/cli/help.h"
#include "client/cli/output.h"
#include "client/cli/partitions.h"
#include "client/cli/record_format.h"
#include "client/cli/trouble_watch.h"
#include "client/consumer.h"
#include "client/record_cursor.h"

namespace gregor {
namespace {

struct ConsumeArguments {
  std::string topic;
  std::string from;
  std::vector<std::string> partitions;  // "0", or "0,2"; none: all
  int64_t records_max = -1;
  bool exit_at_end = false;
  std::string format;
  std::string null_value;
  bool skip_corrupt = false;
};

constexpr size_t kOutputBytes = 256u << 10;

// Where reading begins, and where each partition ends now.
Result<std::vector<PartitionRange>> FindRanges(const Admin& admin, const std::string& topic,
                                               const FromArgument& from,
                                               const std::vector<int32_t>& partitions) {
  ASSIGN_OR_RETURN(const auto ends,
                   admin.FindOffsets(topic, partitions, AtAnchor(v1::Position::ANCHOR_LATEST)));
  std::vector<int64_t> starts = ends;
  if (from.kind == FromArgument::Kind::kOffset) {
    starts.assign(ends.size(), from.value);
  } else if (from.kind != FromArgument::Kind::kEnd) {
    v1::Position position;
    if (from.kind == FromArgument::Kind::kBeginning)
      position = AtAnchor(v1::Position::ANCHOR_EARLIEST);
    if (from.kind == FromArgument::Kind::kTail) position.set_tail(from.value);
    if (from.kind == FromArgument::Kind::kTime) position.set_timestamp_ms(from.value);
    ASSIGN_OR_RETURN(starts, admin.FindOffsets(topic, partitions, position));
  }
  std::vector<PartitionRange> ranges;
  for (size_t i = 0; i < partitions.size(); ++i) {
    const int64_t start = starts[i] < 0 ? ends[i] : starts[i];  // nothing that late yet
    ranges.push_back({partitions[i], start, ends[i]});
  }
  return ranges;
}

// Whether it is about a batch whose records cannot be read, and behind which reading can go on.
bool IsUnreadableBatch(const Error& error) {
  return (error.reason == Reason::kCorruptBatch || error.reason == Reason::kInvalidRecord ||
          error.reason == Reason::kBatchTooLarge) &&
         !DetailOf(error, "next_offset").empty();
}

void TellLeftOut(const Error& error) {
  std::cerr << "gregor: left out: " << error.message << " [" << ReasonName(error.reason) << "]"
            << std::endl;
}

// With how to go on behind it.
Error WithAdvice(Error error) {
  if (!IsUnreadableBatch(error)) return error;
  const std::string partition(DetailOf(error, "partition"));
  const std::string next(DetailOf(error, "next_offset"));
  error.message += ". Go on behind it with --partition " + partition + " --from " + next +
                   ", or leave out what cannot be read with --skip-corrupt";
  return error;
}

// Damage in the way of a search by time is left out, too, where that is wanted.
Result<std::vector<PartitionRange>> FindRangesOrSkip(const Admin& admin,
                                                     const ConsumeArguments& arguments,
                                                     const FromArgument& from,
                                                     const std::vector<int32_t>& partitions) {
  auto ranges = FindRanges(admin, arguments.topic, from, partitions);
  int64_t next = 0;
  if (ranges.ok() || !arguments.skip_corrupt || partitions.size() > 1 ||
      !IsUnreadableBatch(ranges.error()) ||
      !ParseWholeNumber(DetailOf(ranges.error(), "next_offset"), &next))
    return ranges;
  TellLeftOut(ranges.error());
  return FindRanges(admin, arguments.topic, {FromArgument::Kind::kOffset, next}, partitions);
}

// Prints what a consumer gets, until it is told to stop.
class Printer {
 public:
  Printer(RecordFormat format, const ConsumeArguments& arguments)
      : format_(std::move(format)),
        records_max_(arguments.records_max),
        skip_corrupt_(arguments.skip_corrupt) {}

  // Whether all is printed that was wanted, or nobody reads it any more.
  bool is_done() const { return is_unread_ || is_full(); }
  bool is_unread() const { return is_unread_; }

  // Looks whether somebody reads stdout: who only waits does not learn it by writing.
  void LookForReader() {
    pollfd out = {.fd = STDOUT_FILENO, .events = 0, .revents = 0};
    is_unread_ = is_unread_ || (poll(&out, 1, 0) > 0 && (out.revents & (POLLERR | POLLHUP)) != 0);
  }

  // Records at `end` and behind are left out; -1: none.
  Result<void> Print(const Consumed& consumed, int64_t end) {
    RecordCursor cursor(consumed);
    while (!is_done()) {
      auto next = cursor.Next();
      if (!next.ok()) {
        RETURN_IF_ERROR(Skip(next.error()));
        continue;
      }
      const auto& record = *next;
      if (!record.has_value() || (end >= 0 && record->offset.value >= end)) break;
      format_.Append(consumed.topic, consumed.partition, *record, out_);
      ++printed_;
      if (out_.size() >= kOutputBytes) RETURN_IF_ERROR(Flush());
    }
    return {};
  }

  // Leaves out a batch that cannot be read, and says so; else fails with the error.
  Result<void> Skip(const Error& error) {
    if (!skip_corrupt_ || !IsUnreadableBatch(error)) return WithAdvice(error);
    TellLeftOut(error);
    return {};
  }

  Result<void> Flush() {
    for (size_t done = 0; done < out_.size();) {
      const ssize_t written = write(STDOUT_FILENO, out_.data() + done, out_.size() - done);
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) {
        const int failed = errno;
        out_.clear();
        is_unread_ = failed == EPIPE;
        if (is_unread_) return {};
        return Error(Reason::kUnspecified,
                     std::string("stdout cannot be written: ") + std::strerror(failed));
      }
      done += static_cast<size_t>(written);
    }
    out_.clear();
    return {};
  }

 private:
  const RecordFormat format_;
  const int64_t records_max_;
  const bool skip_corrupt_;
  bool is_full() const { return records_max_ >= 0 && printed_ >= records_max_; }

  std::string out_;
  int64_t printed_ = 0;
  bool is_unread_ = false;
};

// What comes next, within `timeout`. A batch that the server cannot read is left out where that is
// wanted.
Result<std::optional<Consumed>> PollOrSkip(Consumer& consumer, Printer& printer, Duration timeout) {
  while (true) {
    auto consumed = consumer.Poll(timeout);
    if (consumed.ok()) return consumed;
    const Error& error = consumed.error();
    RETURN_IF_ERROR(printer.Skip(error));
    int64_t partition = 0, next = 0;
    if (!ParseWholeNumber(DetailOf(error, "partition"), &partition) ||
        !ParseWholeNumber(DetailOf(error, "next_offset"), &next))
      return error;
    consumer.Assign(std::string(DetailOf(error, "topic")),
                    PartitionIndex{static_cast<int32_t>(partition)},
                    {StartPosition::Kind::kOffset, next});
  }
}

// What comes next, however long that takes; none: nobody reads what is printed any more.
Result<std::optional<Consumed>> WaitForNext(Consumer& consumer, Printer& printer) {
  constexpr Duration kLookInterval = std::chrono::milliseconds(200);
  RETURN_IF_ERROR(printer.Flush());  // what is printed is seen before anything is waited for
  std::optional<Consumed> consumed;
  while (!consumed.has_value() && !printer.is_done()) {
    ASSIGN_OR_RETURN(consumed, PollOrSkip(consumer, printer, kLookInterval));
    if (!consumed.has_value()) printer.LookForReader();
  }
  return consumed;
}

// Follows the partitions; those of `unfinished` up to the offset there.
Result<void> Follow(Consumer& consumer, Printer& printer, bool exit_at_end,
                    std::map<int32_t, int64_t>& unfinished) {
  while (!printer.is_done() && (!exit_at_end || !unfinished.empty())) {
    ASSIGN_OR_RETURN(auto consumed, PollOrSkip(consumer, printer, Duration(0)));
    if (!consumed.has_value()) {
      ASSIGN_OR_RETURN(consumed, WaitForNext(consumer, printer));
    }
    if (!consumed.has_value()) break;
    const auto end = unfinished.find(consumed->partition.value);
    const bool ends = end != unfinished.end();
    if (exit_at_end && !ends) continue;  // what came behind the end of one that is finished
    RETURN_IF_ERROR(printer.Print(*consumed, ends ? end->second : -1));
    if (!ends || consumed->next_offset.value < end->second) continue;
    consumer.Unassign(consumed->topic, consumed->partition);
    unfinished.erase(end);
  }
  return {};
}

Result<void> RunConsume(GlobalOptions& global, const ConsumeArguments& arguments) {
  ASSIGN_OR_RETURN(RecordFormat format,
                   RecordFormat::Parse(arguments.format, arguments.null_value));
  if (!format.ShowsRecords()) {
    return Error(Reason::kInvalidArgument,
                 "the format \"" + arguments.format +
                     "\" shows nothing of a record: it is neither json nor raw, and has none of "
                     "{topic} {partition} {offset} {timestamp} {key} {value} {headers}");
  }
  const bool from_end = arguments.from.empty() && !arguments.exit_at_end;
  ASSIGN_OR_RETURN(const FromArgument from, ParseFrom(!arguments.from.empty() ? arguments.from
                                                      : from_end              ? "end"
                                                                              : "beginning"));
  ASSIGN_OR_RETURN(const auto wanted, ParsePartitions(arguments.partitions));
  const Admin admin(global.server);
  ASSIGN_OR_RETURN(const auto partitions, ChosenPartitions(admin, arguments.topic, wanted));
  const auto ranges = RangesOfReadable(global, partitions, [&](const std::vector<int32_t>& of) {
    return FindRangesOrSkip(admin, arguments, from, of);
  });
  if (!ranges.ok()) return WithAdvice(ranges.error());
  ConsumerOptions options;
  options.server = global.server;
  options.client_id = "gregor";
  const auto consumer = Consumer::Create(options);
  std::map<int32_t, int64_t> unfinished;
  for (const PartitionRange& range : *ranges) {
    if (arguments.exit_at_end && range.start == range.end) continue;
    if (arguments.exit_at_end) unfinished[range.partition] = range.end;
    consumer->Assign(arguments.topic, PartitionIndex{range.partition},
                     {StartPosition::Kind::kOffset, range.start});
  }
  if (wanted.empty() && !arguments.exit_at_end) {
    consumer->FollowTopic(arguments.topic, PartitionIndex{static_cast<int32_t>(partitions.size())});
  }
  if (from_end && isatty(STDERR_FILENO) != 0) {
    std::cerr << "Waiting for new records; --from beginning shows those that are there. Ctrl-C "
                 "ends."
              << std::endl;
  }
  const TroubleWatch watch([&] { return consumer->trouble(); });
  Printer printer(std::move(format), arguments);
  auto followed = Follow(*consumer, printer, arguments.exit_at_end, unfinished);
  RETURN_IF_ERROR(printer.Flush());
  if (printer.is_unread()) {
    std::raise(SIGPIPE);  // ends as a write would have, unless the signal is ignored
    global.exit_code = kExitUnread;
    return {};
  }
  if (!followed.ok() && followed.error().reason == Reason::kOffsetOutOfRange &&
      from.kind == FromArgument::Kind::kOffset) {
    Error error = std::move(followed).error();
    error.message += partitions.size() > 1
                         ? ": choose partitions with --partition, or --from beginning"
                         : ": --from beginning takes what is there";
    return error;
  }
  return followed;
}

}  // namespace

void AddConsumeCommand(CLI::App& app, GlobalOptions& global) {
  const auto arguments = std::make_shared<ConsumeArguments>();
  CLI::App* const command = app.add_subcommand("consume", "Print records, and follow a topic");
  command->add_option("TOPIC", arguments->topic, "Topic")->required()->check(NotEmpty());
  command
      ->add_option("--from", arguments->from,
                   "Where to begin: beginning (or earliest), end (or latest), an offset, -N (N "
                   "records before the end of each partition), or @TIME (milliseconds since 1970, "
                   "or 2026-01-31T12:00:00Z). Default: end, or beginning with --exit-at-end")
      ->check(NotEmpty())
      ->type_name("POSITION");
  AddPartitionOption(*command, arguments->partitions);
  command->add_option("--max-records", arguments->records_max, "Stop after so many records")
      ->check(AtLeast(0))
      ->type_name("N");
  command->add_flag("--exit-at-end", arguments->exit_at_end,
                    "Stop where the topic ended when the command began");
  command
      ->add_option(
          "--format", arguments->format,
          "json (one document a line), raw (values with nothing between), or a template "
          "with {topic} {partition} {offset} {timestamp} {key} {value} {headers}, \\n \\t "
          "\\r \\0 \\\\, and {{ }} for braces. Default: {value}\\n, with --output json: json")
      ->check(NotEmpty())
      ->type_name("FORMAT");
  command
      ->add_option("--null-value", arguments->null_value,
                   "What stands for a key or value that is null (default: nothing; in JSON: null)")
      ->type_name("TEXT");
  command->add_flag("--skip-corrupt", arguments->skip_corrupt,
                    "Leave out batches that cannot be read, and say on stderr which (default: stop "
                    "there). Where one is in the way to a time, what follows it is printed");
  AddExamples(
      *command,
      {"gregor consume hello --from beginning", "gregor consume orders --exit-at-end > orders.txt",
       "gregor consume orders --from -10 --format '{partition}:{offset} {key} {value}\\n'",
       "gregor consume orders --from @2026-01-31T12:00:00Z --format json",
       "gregor consume users --exit-at-end --format '{key}={value}\\n' --null-value NULL"},
      "Only records go to stdout. In JSON, bytes that are no UTF-8 are {\"base64\": ...}, and "
      "null is null. Where nobody reads them any more, as behind `| head -1`, it ends "
      "quietly, with 141 (SIGPIPE).");
  OnCommand(*command, global, [&global, arguments, command] {
    const bool in_json = global.output == "json" && command->count("--format") == 0;
    if (in_json) arguments->format = "json";
    return RunConsume(global, *arguments);
  });
}

}  // namespace gregor
