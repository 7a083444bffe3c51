#include "storage/file_system.h"

#include <string_view>
#include <utility>

namespace gregor {

Error Lasting(Error error) {
  if (IsShortage(error)) error.reason = Reason::kStorageError;
  return error;
}

Result<std::string> ReadWholeFile(FileSystem& files, const std::string& path, uint64_t bytes_max) {
  ASSIGN_OR_RETURN(FilePtr file, files.Open(path, OpenMode::kRead));
  ASSIGN_OR_RETURN(const uint64_t size, file->Size());
  if (size > bytes_max) {
    return Error(Reason::kStorageError, path + " has " + std::to_string(size) +
                                            " bytes, more than the " + std::to_string(bytes_max) +
                                            " that are expected at most")
        .With("path", path);
  }
  std::string content(size, '\0');
  ASSIGN_OR_RETURN(const size_t read,
                   file->Read(0, {reinterpret_cast<uint8_t*>(content.data()), content.size()}));
  content.resize(read);
  return content;
}

namespace {

Result<void> WriteAnew(FileSystem& files, const std::string& path, std::string_view content) {
  ASSIGN_OR_RETURN(FilePtr file, files.Open(path, OpenMode::kCreate));
  // A crash may have left a longer one.
  RETURN_IF_ERROR(file->Truncate(0));
  RETURN_IF_ERROR(file->Write(0, Slice::Copy(content)));
  return file->Sync();
}

}  // namespace

Result<void> ReplaceFile(FileSystem& files, const std::string& path, std::string_view content) {
  const std::string temporary = path + ".tmp";
  auto written = WriteAnew(files, temporary, content);
  if (!written.ok()) {
    // What there is of it takes space, and that may be what is missing.
    if (IsShortage(written.error())) (void)files.Remove(temporary);
    return written;
  }
  RETURN_IF_ERROR(files.Rename(temporary, path));
  // The old one is not there any more: this is not as if nothing had happened.
  const Result<void> named = files.SyncDirectory(ParentPath(path));
  if (!named.ok()) return Lasting(named.error());
  return {};
}

Result<void> RemoveTree(FileSystem& files, const std::string& path) {
  ASSIGN_OR_RETURN(const bool exists, files.Exists(path));
  if (!exists) return {};
  ASSIGN_OR_RETURN(const std::vector<DirectoryEntry> entries, files.List(path));
  for (const DirectoryEntry& entry : entries) {
    const std::string child = JoinPath(path, entry.name);
    if (entry.is_directory) {
      RETURN_IF_ERROR(RemoveTree(files, child));
    } else {
      RETURN_IF_ERROR(files.Remove(child));
    }
  }
  return files.Remove(path);
}

std::string JoinPath(std::string_view folder, std::string_view name) {
  std::string path(folder);
  if (!path.empty() && path.back() != '/') path += '/';
  return path.append(name);
}

std::string ParentPath(std::string_view path) {
  while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
  const size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return ".";
  path = path.substr(0, slash);
  while (!path.empty() && path.back() == '/') path.remove_suffix(1);
  return path.empty() ? "/" : std::string(path);
}

}  // namespace gregor
