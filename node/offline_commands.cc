#include "node/offline_commands.h"

#include <cctype>
#include <filesystem>
#include <functional>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "controller/format.h"
#include "controller/metadata_history.h"
#include "node/command_group.h"
#include "node/directories.h"
#include "node/log_scan.h"
#include "node/metadata_commands.h"
#include "node/offline_report.h"
#include "node/recover_command.h"
#include "node/setting_flags.h"
#include "storage/disk.h"

namespace gregor {
namespace {

using Json = nlohmann::ordered_json;

// Bytes as they can be shown on a terminal.
std::string Printable(std::string_view bytes) {
  constexpr char kHex[] = "0123456789abcdef";
  std::string text;
  for (const char c : bytes) {
    const auto byte = static_cast<uint8_t>(c);
    if (byte >= ' ' && byte < 127 && byte != '\\') {
      text += c;
    } else {
      text += {'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
    }
  }
  return text;
}

Json Shown(const std::optional<std::string_view>& field) {
  return field.has_value() ? Json(Printable(*field)) : Json(nullptr);
}

// From the root, with neither "." nor "/" at its end.
std::string FullPath(const std::string& directory) {
  std::string path = std::filesystem::absolute(directory).lexically_normal().string();
  if (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

// Whose log a folder is: {"topic": "orders", "partition": 0}, or nothing where nobody knows.
class LogNames {
 public:
  // From the metadata of the data directory that `directory` is, or lies in, if they can be read.
  LogNames(FileSystem& files, const std::string& directory) {
    std::string path = FullPath(directory);
    std::error_code error;
    for (int i = 0; i < 3 && !std::filesystem::is_directory(JoinPath(path, "metadata"), error); ++i)
      path = std::filesystem::path(path).parent_path().string();
    const auto history = MetadataHistory::Open(files, path);
    if (!history.ok()) return;
    auto state = history->At({});
    if (state.ok()) image_ = std::move(state->image);
  }

  Json Of(const std::string& folder) const {
    const std::filesystem::path path(FullPath(folder));
    const auto id = TopicIdPartition::Parse(path.filename().string());
    if (image_ == nullptr || !id.has_value()) return Json::object();
    const TopicPtr topic = image_->Topic(id->topic_id);
    if (topic == nullptr) return Json::object();
    return {{"topic", topic->name}, {"partition", id->partition.value}};
  }

 private:
  ImagePtr image_;
};

// `log` names it.
Json DescribeBatch(Json log, const ScannedBatch& scanned) {
  const BatchHeader& header = scanned.batch.header;
  log.update(Json{{"file", scanned.file},
                  {"position", scanned.position},
                  {"size", header.size()},
                  {"base_offset", header.base_offset.value},
                  {"last_offset", header.last_offset().value},
                  {"records", header.record_count},
                  {"leader_epoch", header.leader_epoch.value},
                  {"max_timestamp", header.max_timestamp.value},
                  {"codec", CodecName(header.codec())},
                  {"producer_id", header.producer_id.value},
                  {"producer_epoch", header.producer_epoch.value},
                  {"base_sequence", header.base_sequence.value},
                  {"control", header.is_control()}});
  return log;
}

Json DescribeLog(Json log, const std::string& folder, const ScanSummary& summary) {
  const auto& first = summary.first_offset;
  log.update(Json{{"log", folder},
                  {"files", summary.files},
                  {"batches", summary.batches},
                  {"records", summary.records},
                  {"bytes", summary.bytes},
                  {"first_offset", first.has_value() ? Json(first->value) : Json()},
                  {"next_offset", summary.next_offset.value},
                  {"good_up_to", summary.good_up_to.value_or(summary.next_offset).value},
                  {"problems", summary.problems.size()}});
  return log;
}

void PrintJsonOrLine(const Json& json, bool as_json) {
  if (as_json) {
    std::cout << json.dump() << "\n";
    return;
  }
  bool first = true;
  for (const auto& [name, value] : json.items()) {
    std::cout << (first ? "" : "  ") << name << "="
              << (value.is_string() ? value.get<std::string>() : value.dump());
    first = false;
  }
  std::cout << "\n";
}

void PrintRecords(const RecordBatch& batch, bool as_json) {
  constexpr size_t kDecompressedMax = 1u << 30;
  auto reader = RecordReader::Open(batch, kDecompressedMax);
  if (!reader.ok()) {
    std::cerr << "gregor: offset " << batch.header.base_offset << ": " << reader.error().message
              << "\n";
    return;
  }
  for (auto next = reader->Next(); next.ok() && next->has_value(); next = reader->Next()) {
    const RecordView& record = **next;
    Json json = {{"offset", record.offset.value},
                 {"timestamp", record.timestamp.value},
                 {"key", Shown(record.key)},
                 {"value", Shown(record.value)}};
    Json headers = Json::array();
    for (const RecordHeader& header : DecodeHeaders(record)) {
      headers.push_back({Printable(header.key), Shown(header.value)});
    }
    if (!headers.empty()) json["headers"] = headers;
    if (!as_json) std::cout << "  ";
    PrintJsonOrLine(json, as_json);
  }
}

// "1 log", "2 logs".
std::string Counted(int64_t count, const std::string& what) {
  return std::to_string(count) + " " + what + (count == 1 ? "" : "s");
}

// Scans every log below `directory`; `visit` gets the batches, with what names their log. The
// result is an error if anything is wrong.
Result<void> ScanAll(const std::string& directory, bool as_json, bool summaries,
                     const std::function<void(const Json& log, const ScannedBatch&)>& visit) {
  WarnWhereInUse(directory);
  const auto files = NewPosixFileSystem(1);
  ASSIGN_OR_RETURN(const auto folders, FindLogFolders(*files, directory));
  const LogNames names(*files, directory);
  size_t problems = 0;
  int64_t records = 0;
  for (const std::string& folder : folders) {
    const Json log = names.Of(folder);
    ASSIGN_OR_RETURN(const ScanSummary summary,
                     ScanLog(*files, folder, [&](const auto& batch) { visit(log, batch); }));
    for (const ScanProblem& problem : summary.problems) {
      std::cerr << "gregor: " << problem.file << " at " << problem.position << ": " << problem.what
                << "\n";
    }
    problems += summary.problems.size();
    records += summary.records;
    if (!summaries) continue;
    Json row = DescribeLog(log, folder, summary);
    if (!as_json && row["first_offset"].is_null()) row["first_offset"] = "-";
    PrintJsonOrLine(row, as_json);
  }
  if (summaries && !as_json) {
    std::cout << Counted(static_cast<int64_t>(folders.size()), "log") << ", "
              << Counted(records, "record") << ", "
              << (problems == 0 ? "no problems"
                                : Counted(static_cast<int64_t>(problems), "problem"))
              << "\n";
  }
  if (problems == 0) return {};
  return Error(
      Reason::kStorageError,
      std::to_string(problems) +
          " problem(s). What lies above a log's synced mark is cut at the next start (a torn "
          "write). Below it the log is refused then, or, where that is before its last checkpoint, "
          "served: reading fails there");
}

void AddLogCommands(CLI::App& app, const std::string& output_format, int& exit_code) {
  CLI::App* const log = app.add_subcommand("log", "Look at the files of a stopped node's logs");
  log->require_subcommand(1);
  const auto directory = std::make_shared<std::string>();
  const auto records = std::make_shared<bool>(false);
  CLI::App* const dump = log->add_subcommand(
      "dump", "Print the batches of a partition's folder, or of all in a log directory");
  dump->add_option("DIR", *directory, "Folder of a partition, a log directory, or a data directory")
      ->required();
  dump->add_flag("--records", *records, "Print the records of each batch, too");
  dump->callback([=, &output_format, &exit_code] {
    const bool as_json = output_format == "json";
    exit_code = ReportOffline(
        ScanAll(*directory, as_json, false, [&](const Json& log, const ScannedBatch& scanned) {
          PrintJsonOrLine(DescribeBatch(log, scanned), as_json);
          if (*records) PrintRecords(scanned.batch, as_json);
        }));
  });
  CLI::App* const verify = log->add_subcommand(
      "verify", "Check every batch: length, checksum, order of offsets and epochs");
  verify
      ->add_option("DIR", *directory, "Folder of a partition, a log directory, or a data directory")
      ->required();
  verify->footer(
      "Exit codes: 0 all is well, 1 something is damaged or cannot be read, 2 bad arguments.");
  verify->callback([=, &output_format, &exit_code] {
    exit_code = ReportOffline(ScanAll(*directory, output_format == "json", true,
                                      [](const Json&, const ScannedBatch&) {}));
  });
}

void PrintFormatted(const Settings& settings, const NodeIdentity& identity, bool was_before,
                    bool as_json) {
  if (as_json) {
    const Json json = {{"data_dir", settings.data_dir},
                       {"node_id", identity.node_id.value},
                       {"cluster_id", identity.cluster_id.ToString()},
                       {"was_formatted", was_before}};
    std::cout << json.dump(2) << "\n";
    return;
  }
  std::cout << (was_before ? "nothing to do: " : "formatted ") << settings.data_dir
            << (was_before ? " is formatted as node " : " as node ") << identity.node_id
            << " of cluster " << identity.cluster_id << "\n";
}

struct FormatArguments {
  std::string cluster_id;
  bool if_needed = false;
  std::vector<std::string> add_log_dirs;
  int32_t feature_level = FormatOptions().feature_level;
};

// Whether what `if_needed` is for is there: the directory of this node, of this cluster. Fails
// where it is another one's.
Result<bool> IsFormatted(FileSystem& files, const Settings& settings, const FormatOptions& options,
                         bool as_json) {
  if (options.cluster_id.IsZero())
    return Error(Reason::kInvalidArgument,
                 "--if-needed needs --cluster-id: without it nobody knows whether the directory is "
                 "of that cluster");
  ASSIGN_OR_RETURN(const auto identity, ReadIdentity(files, settings.data_dir));
  if (!identity.has_value()) return false;
  RETURN_IF_ERROR(CheckIdentity(*identity, settings.data_dir, options.node_id, options.cluster_id));
  PrintFormatted(settings, *identity, true, as_json);
  return true;
}

// Makes a log directory of the folder.
Result<void> FormatLogDir(FileSystem& files, const Settings& settings, const NodeIdentity& identity,
                          const std::string& path) {
  const auto disk = NewThreadDisk(files, {});
  const auto loop = NewThreadLoop("format");
  ASSIGN_OR_RETURN(auto options, LogDirectoryOptions(files, settings, identity, path));
  options.format_if_empty = true;
  ASSIGN_OR_RETURN(const auto directory, LogDirectory::Open(*disk, *loop, options));
  return directory->CloseCleanly();
}

// Makes log directories of folders of a node that was formatted before: those of new disks, or of
// disks that took the place of lost ones. Only of those that are named, as an empty folder may also
// be where a disk is not mounted.
Result<void> AddLogDirs(FileSystem& files, Settings settings, const FormatArguments& arguments,
                        const FormatOptions& options, bool as_json) {
  const auto known = settings.LogDirs();
  for (const std::string& path : arguments.add_log_dirs) {
    if (std::find(known.begin(), known.end(), path) == known.end())
      return Error(
          Reason::kInvalidArgument,
          "--add-log-dir: " + path + " is none of the node's log_dirs: name it there, too");
  }
  settings.must_be_formatted = true;
  ASSIGN_OR_RETURN(const auto lock, LockDataDirectory(files, settings));
  Random random = Random::FromSystem();
  ASSIGN_OR_RETURN(const NodeIdentity identity, OpenIdentity(files, settings, random));
  RETURN_IF_ERROR(CheckIdentity(identity, settings.data_dir, options.node_id, options.cluster_id));
  for (const std::string& path : arguments.add_log_dirs) {
    const bool was_before = !LogDirectory::IdOf(files, path).IsZero();
    if (!was_before) RETURN_IF_ERROR(FormatLogDir(files, settings, identity, path));
    if (as_json) {
      std::cout << Json({{"log_dir", path}, {"was_formatted", was_before}}).dump() << std::endl;
    } else {
      std::cout << (was_before ? "nothing to do: " : "formatted ") << path
                << (was_before ? " is a log directory" : " as a log directory") << std::endl;
    }
  }
  return {};
}

Result<void> FormatNode(const SettingFlags& flags, const FormatArguments& arguments, bool as_json) {
  ASSIGN_OR_RETURN(Settings settings, flags.MakeSettings());
  settings.must_be_formatted = false;  // nothing needs to be there yet
  const std::string& cluster_id = arguments.cluster_id;
  FormatOptions options;
  options.feature_level = arguments.feature_level;
  options.node_id = settings.node_id;
  for (const std::string& advice : AdviceOn(settings)) LOG(WARNING) << advice;
  if (!cluster_id.empty()) {
    const auto id = ClusterId::Parse(cluster_id);
    if (!id.has_value())
      return Error(Reason::kInvalidArgument,
                   "\"" + cluster_id + "\" is no cluster id: `gregor cluster new-id` prints one");
    options.cluster_id = *id;
  }
  const auto files = NewPosixFileSystem(1);
  if (!arguments.add_log_dirs.empty())
    return AddLogDirs(*files, settings, arguments, options, as_json);
  if (cluster_id.empty() && settings.HasOthers()) {
    return Error(Reason::kInvalidArgument,
                 "--cluster-id is needed: `controllers` names other nodes, and all nodes of a "
                 "cluster have one id. `gregor cluster new-id` makes it for a new cluster, once; "
                 "`gregor cluster describe` shows that of one that runs");
  }
  if (arguments.if_needed) {
    ASSIGN_OR_RETURN(const bool is_done, IsFormatted(*files, settings, options, as_json));
    if (is_done) return {};
  }
  ASSIGN_OR_RETURN(const auto lock, LockDataDirectory(*files, settings));
  Random random = Random::FromSystem();
  ASSIGN_OR_RETURN(const NodeIdentity identity,
                   FormatDirectory(*files, settings.data_dir, options, random));
  for (const std::string& path : settings.LogDirs())
    RETURN_IF_ERROR(FormatLogDir(*files, settings, identity, path));
  PrintFormatted(settings, identity, false, as_json);
  return {};
}

void AddClusterCommands(CLI::App& app, const std::string& output_format, int& exit_code) {
  CLI::App* const cluster = CommandGroup(app, "cluster", "The cluster as a whole");
  cluster->add_subcommand("new-id", "Print a new cluster id")->callback([&output_format] {
    Random random = Random::FromSystem();
    const std::string id = random.NewUuid<ClusterId>().ToString();
    std::cout << (output_format == "json" ? Json{{"cluster_id", id}}.dump(2) : id) << "\n";
  });
  CLI::App* const format = cluster->add_subcommand(
      "format",
      "Prepare a node's empty directories, once, before its first start, or a disk later");
  const auto flags = std::make_shared<SettingFlags>();
  const auto arguments = std::make_shared<FormatArguments>();
  format
      ->add_option("--cluster-id", arguments->cluster_id,
                   "Id of the cluster, the same on all its nodes, of `gregor cluster new-id` "
                   "(default: a new one, for a single node)")
      ->type_name("ID");
  CLI::Option* const if_needed = format->add_flag(
      "--if-needed", arguments->if_needed,
      "Do nothing where the data directory is this node's and this cluster's already");
  CLI::Option* const level =
      format
          ->add_option("--feature-level", arguments->feature_level,
                       "Feature level that a new cluster begins with, for nodes of older versions")
          ->type_name("LEVEL")
          ->capture_default_str()
          ->check(CLI::Range(kFeatureLevelMin, kFeatureLevel));
  format
      ->add_option("--add-log-dir", arguments->add_log_dirs,
                   "Prepare no more than this one of the log_dirs, of a node that is formatted and "
                   "stopped: a new disk's, or one in the place of a lost one")
      ->expected(1)
      ->take_all()
      ->allow_extra_args(false)
      ->type_name("DIR")
      ->excludes(if_needed)
      ->excludes(level);
  flags->AddTo(*format);
  format->footer(
      "Give it the settings file and the flags that `gregor server` gets: node_id, data_dir and "
      "log_dirs say what is formatted.\n"
      "Exit codes: 0 done, 1 refused or failed, 2 bad settings.");
  format->callback([=, &output_format, &exit_code] {
    exit_code = ReportOffline(FormatNode(*flags, *arguments, output_format == "json"));
  });
}

}  // namespace

void AddOfflineCommands(CLI::App& app, const std::string& output_format, int& exit_code) {
  AddLogCommands(app, output_format, exit_code);
  AddMetadataCommands(app, output_format, exit_code);
  AddClusterCommands(app, output_format, exit_code);
  AddRecoverCommand(app, output_format, exit_code);
}

}  // namespace gregor
