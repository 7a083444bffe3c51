#include "node/metadata_commands.h"

#include <filesystem>
#include <iostream>
#include <memory>
#include <optional>
#include <vector>

#include "controller/metadata_dump.h"
#include "controller/metadata_views.h"
#include "node/offline_report.h"
#include "storage/disk.h"

namespace gregor {
namespace {

constexpr char kMoments[] =
    "WHEN is an offset of the metadata log (everything before it), @MILLISECONDS since 1970 or "
    "@2026-01-31T12:00:00Z (what was written up to then), or end. ";
constexpr char kPaths[] =
    "PATH is a stopped node's data directory, or a metadata snapshot. Nothing is written and "
    "nothing is locked. The last records of one node's log may never have been committed.\n"
    "Exit codes: 0 fine, 1 damaged, not readable, or not known any more or yet, 2 bad arguments.";

bool Exists(const std::string& path) {
  std::error_code error;
  return std::filesystem::exists(path, error);
}

// What the flags of one command say of its output.
struct Output {
  const std::string* format = nullptr;
  bool json = false;
  DumpFormat Format() const {
    return json || *format == "json" ? DumpFormat::kJson : DumpFormat::kText;
  }
};

std::shared_ptr<Output> AddOutput(CLI::App& command, const std::string& output_format) {
  auto output = std::make_shared<Output>();
  output->format = &output_format;
  command.add_flag("--json", output->json, "The same as --output json: one document a line");
  return output;
}

// A snapshot has no records: it is shown as what they came to.
Result<void> Dump(const std::string& path, std::optional<int64_t> until,
                  MetadataDumpOptions options) {
  WarnWhereInUse(path);
  const auto files = NewPosixFileSystem(1);
  std::error_code error;
  if (std::filesystem::is_regular_file(path, error)) {
    MetadataMoment moment;
    if (until.has_value()) moment.offset = Offset{*until};
    return PrintMetadataAt(*files, {path, moment}, options.format, std::cout);
  }
  if (until.has_value()) options.until = Offset{*until};
  return DumpMetadata(*files, path, options, std::cout);
}

void AddDump(CLI::App& metadata, const std::string& output_format, int& exit_code) {
  CLI::App* const dump =
      metadata.add_subcommand("dump", "Print the metadata log's records and what they mean");
  const auto path = std::make_shared<std::string>();
  const auto no_records = std::make_shared<bool>(false);
  const auto until = std::make_shared<std::optional<int64_t>>();
  dump->add_option("PATH", *path, "The node's data directory, or a metadata snapshot")->required();
  dump->add_flag("--image-only", *no_records, "Only the resulting topics, configs and brokers");
  dump->add_option("--until", *until, "Stop before this offset of the metadata log")
      ->type_name("OFFSET");
  dump->footer(std::string(kPaths) +
               "\n\nExamples:\n  gregor metadata dump data\n"
               "  gregor metadata dump data --image-only --until 1200 --json\n"
               "  gregor metadata dump data/metadata/snapshots/OFFSET-TERM.snapshot");
  const auto output = AddOutput(*dump, output_format);
  dump->callback([=, &exit_code] {
    MetadataDumpOptions options;
    options.format = output->Format();
    options.records = !*no_records;
    exit_code = ReportOffline(Dump(*path, *until, options));
  });
}

Result<void> ShowAt(const std::string& path, const std::string& when, DumpFormat format) {
  ASSIGN_OR_RETURN(const MetadataMoment moment, ParseMoment(when));
  WarnWhereInUse(path);
  return PrintMetadataAt(*NewPosixFileSystem(1), {path, moment}, format, std::cout);
}

void AddAt(CLI::App& metadata, const std::string& output_format, int& exit_code) {
  CLI::App* const at = metadata.add_subcommand(
      "at", "Print what the cluster looked like at an offset of the metadata log, or at a time");
  const auto path = std::make_shared<std::string>();
  const auto when = std::make_shared<std::string>("end");
  at->add_option("PATH", *path, "The node's data directory, or a metadata snapshot")->required();
  at->add_option("WHEN", *when, "The moment")->capture_default_str();
  at->footer(std::string(kMoments) + kPaths +
             "\n\nExamples:\n  gregor metadata at data 1200\n"
             "  gregor metadata at data @2026-01-31T12:00:00Z --json");
  const auto output = AddOutput(*at, output_format);
  at->callback(
      [=, &exit_code] { exit_code = ReportOffline(ShowAt(*path, *when, output->Format())); });
}

struct DiffArguments {
  std::vector<std::string> sources;
  std::string at;
  bool records = false;
};

// PATH WHEN [WHEN], or PATH PATH.
Result<void> ShowDiff(const DiffArguments& arguments, DumpFormat format) {
  const std::vector<std::string>& sources = arguments.sources;
  MetadataSource first{sources[0], {}}, second{sources[0], {}};
  const bool is_one = sources.size() == 3 || !Exists(sources[1]);
  if (is_one && !arguments.at.empty())
    return Error(Reason::kInvalidArgument, "--at is for two directories or snapshots");
  if (is_one) {
    ASSIGN_OR_RETURN(first.moment, ParseMoment(sources[1]));
    if (sources.size() == 3) {
      ASSIGN_OR_RETURN(second.moment, ParseMoment(sources[2]));
    }
  } else {
    second.path = sources[1];
    if (!arguments.at.empty()) {
      ASSIGN_OR_RETURN(first.moment, ParseMoment(arguments.at));
    }
    second.moment = first.moment;
  }
  WarnWhereInUse(first.path);
  if (!is_one) WarnWhereInUse(second.path);
  return PrintMetadataDiff(*NewPosixFileSystem(1), first, second, arguments.records, format,
                           std::cout);
}

void AddDiff(CLI::App& metadata, const std::string& output_format, int& exit_code) {
  CLI::App* const diff = metadata.add_subcommand(
      "diff", "Print what changed between two moments, or what is not the same on two nodes");
  const auto arguments = std::make_shared<DiffArguments>();
  diff->add_option("SOURCES", arguments->sources,
                   "PATH WHEN [WHEN]: between two moments, or from one to the end; or PATH PATH")
      ->required()
      ->expected(2, 3);
  diff->add_option("--at", arguments->at, "Compare both paths at this moment (default: their ends)")
      ->type_name("WHEN");
  diff->add_flag("--records", arguments->records, "Print the records that led there, too");
  diff->footer(std::string(kMoments) + kPaths +
               "\n\nExamples:\n  gregor metadata diff data 1200 1300 --records\n"
               "  gregor metadata diff data @2026-01-31T12:00:00Z\n"
               "  gregor metadata diff node1/data node2/data --at 1200");
  const auto output = AddOutput(*diff, output_format);
  diff->callback(
      [=, &exit_code] { exit_code = ReportOffline(ShowDiff(*arguments, output->Format())); });
}

}  // namespace

void AddMetadataCommands(CLI::App& app, const std::string& output_format, int& exit_code) {
  CLI::App* const metadata =
      app.add_subcommand("metadata", "Look at the metadata of a stopped node");
  metadata->require_subcommand(1);
  AddDump(*metadata, output_format, exit_code);
  AddAt(*metadata, output_format, exit_code);
  AddDiff(*metadata, output_format, exit_code);
}

}  // namespace gregor
