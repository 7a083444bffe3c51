#include "tests/sim/storage_node.h"

#include <utility>

#include "base/check.h"

namespace gregor {

StorageNode::StorageNode(Scheduler& scheduler, SimFileSystem& files, Options options)
    : scheduler_(scheduler),
      files_(files),
      mutant_files_(files, options.mutant),
      options_(std::move(options)) {
  for (size_t i = 0; i < options_.directory_count; ++i)
    ids_.push_back(scheduler.random().NewUuid<DirectoryId>());
}

Result<void> StorageNode::Open(Process& process, size_t index) {
  const bool is_mutant = options_.mutant != Mutant::kNone;
  OpenDirectory& opened = process.directories.emplace_back();
  FileSystem& files = is_mutant ? static_cast<FileSystem&>(mutant_files_) : files_;
  opened.disk = std::make_unique<SimDisk>(scheduler_, files);
  Disk* disk = opened.disk.get();
  if (is_mutant) {
    opened.mutant_disk = std::make_unique<MutantDisk>(*opened.disk, mutant_files_);
    disk = opened.mutant_disk.get();
  }
  LogDirectory::Options options = options_.directory;
  options.path = PathOf(index);
  options.new_id = ids_[index];
  ASSIGN_OR_RETURN(auto directory, LogDirectory::Open(*disk, *process.loops[0], options));
  opened.unaltered = directory.get();
  opened.directory = MutateDirectory(std::move(directory), options_.mutant, options_.alias);
  return {};
}

Result<void> StorageNode::Start() {
  CHECK(process_ == nullptr);
  process_ = std::make_unique<Process>();
  for (size_t i = 0; i < options_.loop_count; ++i)
    process_->loops.push_back(std::make_unique<SimLoop>(scheduler_, "loop" + std::to_string(i)));
  for (size_t i = 0; i < options_.directory_count; ++i) {
    if (Result<void> opened = Open(*process_, i); !opened.ok()) {
      Stop(StopKind::kKill);
      return opened;
    }
  }
  return {};
}

void StorageNode::Halt() {
  if (process_ == nullptr) return;
  for (const auto& loop : process_->loops) loop->Kill();
  for (const OpenDirectory& opened : process_->directories) opened.disk->Kill();
}

void StorageNode::Stop(StopKind stop) {
  Halt();
  if (process_ != nullptr) {
    for (OpenDirectory& opened : process_->directories) opened.directory.reset();
    process_.reset();
  }
  if (stop == StopKind::kPowerLoss) {
    files_.LosePower();
  } else {
    files_.KillProcess();
  }
}

std::optional<SyncedMark> StorageNode::MarkOf(size_t index, const TopicIdPartition& id) const {
  return process_->directories[index].unaltered->MarkOf(id);
}

}  // namespace gregor
