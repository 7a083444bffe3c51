#include "controller/snapshot_files.h"

#include <set>

namespace gregor {
namespace {

constexpr size_t kSetAsideMax = 2;
constexpr char kDamagedSuffix[] = ".damaged";
constexpr char kPartSuffix[] = ".part";

}  // namespace

Result<std::vector<SnapshotFile>> CleanSnapshots(FileSystem& files, const std::string& folder) {
  ASSIGN_OR_RETURN(const bool exists, files.Exists(folder));
  if (!exists) return std::vector<SnapshotFile>();
  ASSIGN_OR_RETURN(const auto entries, files.List(folder));
  for (const DirectoryEntry& entry : entries) {
    if (entry.name.ends_with(kPartSuffix))
      RETURN_IF_ERROR(files.Remove(JoinPath(folder, entry.name)));
  }
  return ListSnapshots(files, folder);
}

void RemoveSnapshot(FileSystem& files, const std::string& path) {
  const auto removed = files.Remove(path);
  LOG_IF(WARNING, !removed.ok()) << removed.error();
}

void SetAsideSnapshot(FileSystem& files, const std::string& path, const std::string& why) {
  LOG(ERROR) << "Metadata snapshot " << path << " is set aside as " << path << kDamagedSuffix
             << ": " << why;
  std::set<std::string> others;
  const auto entries = files.List(ParentPath(path));
  for (const DirectoryEntry& entry : entries.ok() ? *entries : std::vector<DirectoryEntry>()) {
    if (entry.name.ends_with(kDamagedSuffix)) others.insert(entry.name);
  }
  for (; others.size() >= kSetAsideMax; others.erase(others.begin()))
    RemoveSnapshot(files, JoinPath(ParentPath(path), *others.begin()));
  auto moved = files.Rename(path, path + kDamagedSuffix);
  if (moved.ok()) moved = files.SyncDirectory(ParentPath(path));
  LOG_IF(ERROR, !moved.ok()) << path << " could not be set aside: " << moved.error();
}

uint64_t SnapshotSize(FileSystem& files, const std::string& path) {
  const auto file = files.Open(path, OpenMode::kRead);
  const auto size = file.ok() ? (*file)->Size() : Result<uint64_t>(file.error());
  return size.ok() ? *size : 0;
}

}  // namespace gregor
