#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <iostream>
#include <memory>
#include <mutex>

#include "base/clock.h"
#include "client/cli/help.h"
#include "client/cli/line_reader.h"
#include "client/cli/output.h"
#include "client/cli/producer_arguments.h"
#include "client/cli/record_format.h"
#include "client/cli/trouble_watch.h"
#include "client/producer.h"

namespace gregor {
namespace {

struct ProduceArguments {
  std::string topic;
  std::string file;
  std::string key_separator;
  std::vector<std::string> headers;
  std::optional<int32_t> partition;
  ProducerArguments producer;
  std::optional<std::string> null_value;
  bool quiet = false;
};

// The file, or stdin.
class Input {
 public:
  static Result<Input> Open(const std::string& file) {
    const bool is_stdin = file.empty() || file == "-";
    const int fd = is_stdin ? STDIN_FILENO : open(file.c_str(), O_RDONLY | O_CLOEXEC);
    const auto failed = [&](int error) {
      return Error(Reason::kInvalidArgument,
                   (is_stdin ? "stdin" : file) + ": " + std::strerror(error));
    };
    if (fd < 0) return failed(errno);
    Input input(fd);
    struct stat status = {};
    if (fstat(fd, &status) != 0) return failed(errno);
    if (S_ISDIR(status.st_mode)) return failed(EISDIR);
    return input;
  }
  Input(Input&& other) noexcept : fd_(std::exchange(other.fd_, STDIN_FILENO)) {}
  ~Input() {
    if (fd_ != STDIN_FILENO) close(fd_);
  }
  int fd() const { return fd_; }
  bool is_terminal() const { return isatty(fd_) != 0; }

 private:
  explicit Input(int fd) : fd_(fd) {}
  int fd_;
};

// Puts a line into `record`.
Result<void> FillRecord(std::string_view line, int64_t line_number,
                        const ProduceArguments& arguments, NewRecord& record) {
  record.value = line;
  if (!arguments.key_separator.empty()) {
    const size_t at = line.find(arguments.key_separator);
    if (at == std::string_view::npos) {
      // Not bad usage: what came before is written already.
      return Error(Reason::kInvalidRecord,
                   "line " + std::to_string(line_number) + " has no \"" + arguments.key_separator +
                       "\" between key and value: " + std::string(line.substr(0, 80)));
    }
    record.key = line.substr(0, at);
    record.value = line.substr(at + arguments.key_separator.size());
  }
  if (arguments.null_value.has_value() && *record.value == *arguments.null_value)
    record.value.reset();
  record.timestamp = SystemClock().WallNow();
  return {};
}

// What became of the lines. Thread: the producer's counts, the command's reads.
struct Totals {
  std::atomic<int64_t> written{0};
  std::atomic<int64_t> failed{0};

  void Count(const Delivery& delivery) {
    if (delivery.error == nullptr) {
      written += delivery.record_count;
      return;
    }
    {
      const std::lock_guard lock(mutex);
      // The first lines of those that failed for the same reason: partitions take turns.
      const bool is_first =
          !first_error.has_value() ||
          (first_error->reason == delivery.error->reason &&
           first_error->reason != Reason::kUnspecified &&  // as of what is given up after it
           delivery.first_number < first_number);
      if (is_first) {
        first_error = NameLines(delivery);
        first_number = delivery.first_number;
      }
    }
    failed += delivery.record_count;
    if (producer != nullptr) producer->Abort();
  }

  // Every line is one record, so records have the numbers of lines.
  Error NameLines(const Delivery& delivery) const {
    Error error = *delivery.error;
    if (error.reason == Reason::kTopicNotFound && written > 0)
      error.message = "the topic was deleted while records were written to it";
    int64_t first = delivery.first_number, last = delivery.last_number, index = 0;
    const bool together = last - first + 1 == delivery.record_count;
    if (together && ParseWholeNumber(DetailOf(error, "record_index"), &index) && index >= 0 &&
        index < delivery.record_count)
      first = last = first + index;
    error.message =
        (first == last ? "line " + std::to_string(first)
                       : (together ? "lines " : "lines between ") + std::to_string(first) +
                             (together ? " to " : " and ") + std::to_string(last)) +
        ": " + error.message;
    return error;
  }

  std::mutex mutex;
  std::optional<Error> first_error;  // of a delivery, with its lines
  int64_t first_number = 0;
  Producer* producer = nullptr;  // stops at the first failure; set before anything is sent
};

using Headers = std::vector<std::pair<std::string, std::string>>;

// Sends line after line, until the first that fails.
Result<void> SendLines(LineReader& lines, Producer& producer, const ProduceArguments& arguments,
                       const Headers& headers, const Totals& totals) {
  NewRecord record;
  for (const auto& [key, value] : headers) record.headers.push_back({key, value});
  std::optional<PartitionIndex> partition;
  if (arguments.partition.has_value()) partition = PartitionIndex{*arguments.partition};
  while (totals.failed == 0) {
    ASSIGN_OR_RETURN(const auto line, lines.Next());
    if (!line.has_value()) break;
    RETURN_IF_ERROR(FillRecord(*line, lines.count(), arguments, record));
    auto sent = producer.Send(arguments.topic, partition, record);
    if (sent.ok()) continue;
    Error error = std::move(sent).error();
    error.message = "line " + std::to_string(lines.count()) + ": " + error.message;
    return error;
  }
  return {};
}

void PrintTotals(const GlobalOptions& global, const ProduceArguments& arguments,
                 const Totals& totals, const LineReader& lines) {
  if (global.output == "json") {
    std::cout << Dump({{"topic", arguments.topic},
                       {"records", totals.written.load()},
                       {"failed", totals.failed.load()}})
              << std::endl;
  } else if (!arguments.quiet) {
    std::cerr << totals.written << " record" << (totals.written == 1 ? "" : "s") << " written to "
              << arguments.topic;
    if (totals.failed > 0) std::cerr << ", " << totals.failed << " not";
    if (lines.last_line_was_cut()) std::cerr << " (the last line had no line end)";
    std::cerr << std::endl;
  }
}

Result<void> RunProduce(GlobalOptions& global, const ProduceArguments& arguments) {
  ASSIGN_OR_RETURN(const Headers headers, SplitPairs(arguments.headers));
  ASSIGN_OR_RETURN(const Input input, Input::Open(arguments.file));
  Totals totals;
  ASSIGN_OR_RETURN(auto producer, Producer::Create(arguments.producer.ToOptions(global.server),
                                                   [&totals](const Delivery& delivery) {
                                                     totals.Count(delivery);
                                                   }));
  totals.producer = producer.get();
  const TroubleWatch watch([&] { return producer->trouble(); });
  // Also where there is no line, and before somebody has typed one.
  RETURN_IF_ERROR(producer->Prepare(arguments.topic));
  if (input.is_terminal() && !arguments.quiet)
    std::cerr << "One record a line; Ctrl-D ends." << std::endl;
  LineReader lines(input.fd());
  auto result = SendLines(lines, *producer, arguments, headers, totals);
  producer->Flush();
  PrintTotals(global, arguments, totals, lines);
  const std::lock_guard lock(totals.mutex);
  if (totals.first_error.has_value()) return *totals.first_error;
  return result;
}

}  // namespace

void AddProduceCommand(CLI::App& app, GlobalOptions& global) {
  const auto arguments = std::make_shared<ProduceArguments>();
  CLI::App* const command =
      app.add_subcommand("produce", "Write records: one a line, from stdin or a file");
  command->add_option("TOPIC", arguments->topic, "Topic, which must exist")
      ->required()
      ->check(NotEmpty());
  command->add_option("--file", arguments->file, "Read this file instead of stdin; -: stdin")
      ->check(NotEmpty())
      ->type_name("FILE");
  command
      ->add_option("--key-separator", arguments->key_separator,
                   "A line is a key, this text, and a value; \\t is a tab (default: all of it is "
                   "value)")
      ->check(NotEmpty())
      ->transform(Rewriting(Unescape))
      ->type_name("TEXT");
  command
      ->add_option("--header", arguments->headers,
                   "Header of every record, may be given several times")
      ->type_name("NAME=VALUE")
      ->expected(1)
      ->take_all()
      ->allow_extra_args(false);
  command
      ->add_option("--partition", arguments->partition,
                   "Write to this partition (default: by key; without key spread)")
      ->check(Between(0, INT32_MAX))
      ->type_name("N");
  arguments->producer.AddOptions(*command);
  command
      ->add_option("--null-value", arguments->null_value,
                   "A value of this text is written as null (a tombstone)")
      ->type_name("TEXT");
  command->add_flag("--quiet", arguments->quiet, "Do not say how many records were written");
  AddExamples(*command,
              {"echo 'hello, world' | gregor produce hello",
               "gregor produce logs --file app.log --compression zstd",
               "gregor produce users --key-separator : --header source=import < users.txt"},
              "An empty line is a record with an empty value. A last line without a line end "
              "counts, too; consume ends it with one. Lines of a topic with several partitions "
              "keep their order within each partition.");
  OnCommand(*command, global, [&global, arguments] { return RunProduce(global, *arguments); });
}

}  // namespace gregor
