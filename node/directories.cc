#include "node/directories.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "raft/host/raft_log.h"

namespace gregor {
namespace {

constexpr uint64_t kReserveMax = uint64_t{1} << 30;
constexpr uint64_t kReserveFraction = 50;  // of the disk
constexpr char kLockFile[] = ".lock";

Error NotFormatted(const Settings& settings) {
  return Error(Reason::kStorageError,
               "data directory " + settings.data_dir +
                   " is not formatted. If its disk is mounted and this node is new, prepare it "
                   "once with `" +
                   settings.format_command + "`" +
                   (settings.HasOthers() ? ", where ID is the same on all nodes of the cluster: "
                                           "`gregor cluster new-id` makes one for a new cluster"
                                         : ""));
}

}  // namespace

Result<std::unique_ptr<DirectoryLock>> LockDataDirectory(FileSystem& files,
                                                         const Settings& settings) {
  const std::string& data_dir = settings.data_dir;
  const std::string path = JoinPath(data_dir, kLockFile);
  // Nothing is put into a folder that is not a node's. Where a lock file is, another process may be
  // in the midst of formatting: what is there counts only once that has ended.
  const auto identity = ReadIdentity(files, data_dir);
  ASSIGN_OR_RETURN(const bool has_lock_file, files.Exists(path));
  if (!has_lock_file) {
    if (!identity.ok()) return identity.error();
    if (!identity->has_value() && settings.must_be_formatted) return NotFormatted(settings);
  }
  RETURN_IF_ERROR(files.MakeDirectory(data_dir));
  return files.Lock(path);
}

Result<NodeIdentity> OpenIdentity(FileSystem& files, const Settings& settings, Random& random) {
  ASSIGN_OR_RETURN(auto identity, ReadIdentity(files, settings.data_dir));
  if (!identity.has_value()) {
    if (settings.must_be_formatted) return NotFormatted(settings);
    FormatOptions options;
    options.node_id = settings.node_id;
    ASSIGN_OR_RETURN(identity, FormatDirectory(files, settings.data_dir, options, random));
    LOG(WARNING) << "Data directory " << settings.data_dir
                 << " was empty: formatted it as the single node " << settings.node_id
                 << " of the new cluster " << identity->cluster_id;
  }
  RETURN_IF_ERROR(CheckIdentity(*identity, settings.data_dir, settings.node_id, ClusterId{}));
  return *identity;
}

std::optional<std::string> ProcessUsing(const std::string& path) {
  for (const std::string& folder : {path, JoinPath(path, "..")}) {
    const int fd = open(JoinPath(folder, kLockFile).c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) continue;
    struct flock lock = {};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    const bool is_locked = fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
    char holder[16] = {};
    const bool has_name = pread(fd, holder, sizeof holder - 1, 0) > 0;
    close(fd);
    if (!is_locked) continue;
    const long pid = has_name ? std::strtol(holder, nullptr, 10) : 0;
    return pid > 0 ? "process " + std::to_string(pid) : "another process";
  }
  return std::nullopt;
}

ReservedFiles::Options MetadataReserve(const Settings& settings) {
  const std::string folder = MetadataPath(settings.data_dir);
  return {.path = JoinPath(folder, "reserve"),
          .beneficiaries = {MetadataLogPath(folder), VotePath(folder), LogBasePath(folder)}};
}

Result<LogDirectory::Options> LogDirectoryOptions(FileSystem& files, const Settings& settings,
                                                  const NodeIdentity& identity,
                                                  const std::string& path) {
  LogDirectory::Options options;
  options.path = path;
  options.cluster_id = identity.cluster_id;
  options.node_id = settings.node_id;
  options.format_if_empty = !settings.must_be_formatted;
  options.empty_advice =
      "A new disk is prepared with `" + settings.add_log_dir_command + " " + path + "`";
  options.open_files_max = static_cast<size_t>(settings.open_files_max);
  options.flush_bytes_max = settings.flush_bytes;
  options.flush_interval = settings.flush_interval;
  options.file_step_bytes_max = settings.file_step_bytes;
  options.compaction.memory_bytes = settings.compaction_memory_bytes;
  options.compaction.bytes_per_second = settings.compaction_bytes_per_second;
  RETURN_IF_ERROR(files.MakeDirectory(path));
  if (settings.disk_reserve_bytes.has_value()) {
    options.reserve_bytes = *settings.disk_reserve_bytes;
  } else {
    ASSIGN_OR_RETURN(const DiskSpace space, files.Space(path));
    options.reserve_bytes = std::min(kReserveMax, space.total_bytes / kReserveFraction);
  }
  return options;
}

}  // namespace gregor
