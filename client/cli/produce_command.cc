#include <unistd.h>

#include <cstring>
#include <fstream>
#include <iostream>
#include <memory>

#include "client/cli/admin.h"
#include "client/cli/output.h"
#include "client/producer.h"

namespace gregor {
namespace {

struct ProduceArguments {
  std::string topic;
  std::string file;
  std::string key_separator;
  std::vector<std::string> headers;
  std::optional<int32_t> partition;
  std::string acks = "all";
  std::string compression = "none";
  std::optional<std::string> null_value;
  bool quiet = false;
};

Result<ProducerOptions> OptionsOf(const GlobalOptions& global, const ProduceArguments& arguments) {
  ProducerOptions options;
  options.server = global.server;
  options.acks = arguments.acks == "all"      ? ClientAcks::kAll
                 : arguments.acks == "leader" ? ClientAcks::kLeader
                                              : ClientAcks::kNone;
  for (const Codec codec :
       {Codec::kNone, Codec::kGzip, Codec::kSnappy, Codec::kLz4, Codec::kZstd}) {
    if (CodecName(codec) == arguments.compression) options.compression = codec;
  }
  return options;
}

// Calls `take` with each line, without its end; a last line without end counts, too.
template <typename Take>
Result<void> ForEachLine(std::FILE* input, Take take) {
  char* line = nullptr;
  size_t room = 0;
  Result<void> result;
  for (ssize_t size; result.ok() && (size = getline(&line, &room, input)) >= 0;) {
    if (size > 0 && line[size - 1] == '\n') --size;
    result = take(std::string_view(line, static_cast<size_t>(size)));
  }
  std::free(line);
  if (result.ok() && std::ferror(input) != 0)
    return Error(Reason::kInvalidArgument, "the input cannot be read");
  return result;
}

Result<NewRecord> RecordOf(std::string_view line, const ProduceArguments& arguments,
                           const std::vector<RecordHeader>& headers) {
  NewRecord record;
  record.value = line;
  if (!arguments.key_separator.empty()) {
    const size_t at = line.find(arguments.key_separator);
    if (at == std::string_view::npos) {
      return Error(Reason::kInvalidArgument, "a line has no \"" + arguments.key_separator +
                                                 "\": " + std::string(line.substr(0, 80)));
    }
    record.key = line.substr(0, at);
    record.value = line.substr(at + arguments.key_separator.size());
  }
  if (arguments.null_value.has_value() && *record.value == *arguments.null_value)
    record.value.reset();
  record.headers = headers;
  record.timestamp = SystemClock().WallNow();
  return record;
}

Result<void> Run(GlobalOptions& global, const ProduceArguments& arguments) {
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(nullptr,
                                                       [](std::FILE* f) { return std::fclose(f); });
  if (!arguments.file.empty()) {
    file.reset(std::fopen(arguments.file.c_str(), "rb"));
    if (file == nullptr)
      return Error(Reason::kInvalidArgument, arguments.file + ": " + std::strerror(errno));
  }
  std::vector<std::pair<std::string, std::string>> header_texts;
  std::vector<RecordHeader> headers;
  for (const std::string& header : arguments.headers) {
    ASSIGN_OR_RETURN(header_texts.emplace_back(), SplitPair(header));
  }
  for (const auto& [key, value] : header_texts) headers.push_back({key, value});
  std::optional<PartitionIndex> partition;
  if (arguments.partition.has_value()) partition = PartitionIndex{*arguments.partition};
  int64_t delivered = 0;
  ASSIGN_OR_RETURN(const ProducerOptions options, OptionsOf(global, arguments));
  ASSIGN_OR_RETURN(const auto producer, Producer::Create(options, [&](const Delivery& delivery) {
                     if (delivery.error == nullptr) delivered += delivery.record_count;
                   }));
  if (file == nullptr && isatty(STDIN_FILENO) != 0)
    std::cerr << "One record a line; Ctrl-D ends.\n";
  auto read =
      ForEachLine(file == nullptr ? stdin : file.get(), [&](std::string_view line) -> Result<void> {
        ASSIGN_OR_RETURN(const NewRecord record, RecordOf(line, arguments, headers));
        return producer->Send(arguments.topic, partition, record);
      });
  producer->Flush();
  const auto failed = producer->first_error();
  if (global.output == "json") {
    std::cout << Json({{"records", delivered}}).dump() << std::endl;
  } else if (!arguments.quiet) {
    std::cerr << delivered << " record" << (delivered == 1 ? "" : "s") << " written to "
              << arguments.topic << "\n";
  }
  if (failed.has_value()) return *failed;
  return read;
}

}  // namespace

void AddProduceCommand(CLI::App& app, GlobalOptions& global) {
  const auto arguments = std::make_shared<ProduceArguments>();
  CLI::App* const command =
      app.add_subcommand("produce", "Write records: one a line, from stdin or a file");
  command->add_option("TOPIC", arguments->topic, "Topic, which must exist")->required();
  command->add_option("--file", arguments->file, "Read this file instead of stdin")->type_name("F");
  command
      ->add_option("--key-separator", arguments->key_separator, "A line is key, separator, value")
      ->type_name("TEXT");
  command
      ->add_option("--header", arguments->headers,
                   "Header of every record, may be given several times")
      ->type_name("NAME=VALUE");
  command->add_option("--partition", arguments->partition,
                      "Write to this partition (default: by key, or spread)");
  command->add_option("--acks", arguments->acks, "When a record counts as written")
      ->check(CLI::IsMember({"all", "leader", "none"}))
      ->capture_default_str();
  command->add_option("--compression", arguments->compression, "Compression of the batches")
      ->check(CLI::IsMember({"none", "gzip", "snappy", "lz4", "zstd"}))
      ->capture_default_str();
  command
      ->add_option("--null-value", arguments->null_value,
                   "A value of this text is written as null (a tombstone)")
      ->type_name("TEXT");
  command->add_flag("--quiet", arguments->quiet, "Do not say how many records were written");
  command->footer(
      "An empty line is a record with an empty value. A last line without a line end counts, too; "
      "consume ends it with one.");
  OnCommand(*command, global, [&global, arguments] { return Run(global, *arguments); });
}

}  // namespace gregor
