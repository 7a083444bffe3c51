#include "storage/checkpoint_save.h"

#include <memory>
#include <vector>

#include "storage/file_cache.h"
#include "storage/group_sync.h"
#include "storage/log_files.h"

namespace gregor {
namespace {

using Done = UniqueFunction<void(Result<void>)>;
using SharedSave = std::shared_ptr<const CheckpointSave>;

std::string PathOf(const CheckpointSave& save) {
  return JoinPath(save.directory.PathOf(save.id), kCheckpointFile);
}

// Thread: disk.
Result<std::vector<FilePtr>> WriteFiles(const CheckpointSave& save) {
  std::vector<FilePtr> written;
  FileCache& cache = save.directory.file_cache();
  if (save.trim.has_value()) {
    const std::string path = SegmentPath(save.directory, save.id, save.trim->first);
    ASSIGN_OR_RETURN(FilePtr file, cache.Get(path, false));
    RETURN_IF_ERROR(file->Truncate(save.trim->second));
    cache.Forget(path);
    written.push_back(std::move(file));
  }
  ASSIGN_OR_RETURN(FilePtr file,
                   save.directory.disk().files().Open(PathOf(save) + ".tmp", OpenMode::kCreate));
  RETURN_IF_ERROR(file->Truncate(0));
  RETURN_IF_ERROR(file->Write(0, Slice::Copy(save.content)));
  written.push_back(std::move(file));
  return written;
}

void Sync(const SharedSave& save, std::vector<FilePtr> files, std::vector<std::string> folders,
          Done done) {
  GroupSync::Part part;
  part.partition = save->id;
  part.files = std::move(files);
  part.folders = std::move(folders);
  part.reply = &save->loop;
  part.done = std::move(done);
  save->directory.group_sync().Add(std::move(part));
}

void Name(const SharedSave& save, Done done) {
  save->directory.disk().Submit(
      Lane::kBackground, "log.name_checkpoint", save->loop,
      [save] {
        return save->directory.disk().files().Rename(PathOf(*save) + ".tmp", PathOf(*save));
      },
      [save, done = std::move(done)](Result<void> named) mutable {
        if (!named.ok() || !save->sync_name) return done(std::move(named));
        Sync(save, {}, {save->directory.PathOf(save->id)}, std::move(done));
      });
}

}  // namespace

void SaveCheckpoint(CheckpointSave to_save, Done done) {
  const auto save = std::make_shared<const CheckpointSave>(std::move(to_save));
  save->directory.disk().Submit(
      Lane::kBackground, "log.checkpoint", save->loop, [save] { return WriteFiles(*save); },
      [save, done = std::move(done)](Result<std::vector<FilePtr>> written) mutable {
        if (!written.ok()) return done(std::move(written).error());
        Sync(save, std::move(*written), {},
             [save, done = std::move(done)](Result<void> synced) mutable {
               if (!synced.ok()) return done(std::move(synced));
               Name(save, std::move(done));
             });
      });
}

}  // namespace gregor
