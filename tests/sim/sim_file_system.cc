#include "tests/sim/sim_file_system.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"

namespace gregor {
namespace {

constexpr char kOwnProcessId[] = "1";

Error SimError(std::string_view symbol, const std::string& path) {
  return Error(symbol == "ENOSPC"   ? Reason::kDiskFull
               : symbol == "EMFILE" ? Reason::kQuotaExceeded
                                    : Reason::kStorageError,
               "Simulated disk: " + std::string(symbol) + " " + path)
      .With("errno", std::string(symbol))
      .With("path", path);
}

std::string_view NameOf(SimOperation operation) {
  switch (operation) {
    case SimOperation::kOpen:
      return "disk open";
    case SimOperation::kRead:
      return "disk read";
    case SimOperation::kWrite:
      return "disk write";
    case SimOperation::kResize:
      return "disk resize";
    case SimOperation::kSync:
      return "disk sync";
    case SimOperation::kName:
      return "disk name";
    case SimOperation::kSyncFolder:
      return "disk sync folder";
  }
  return "disk";
}

}  // namespace

class SimFile final : public File {
 public:
  SimFile(SimFileSystem& files, SimInodePtr inode, std::string path, bool writable)
      : files_(files),
        inode_(std::move(inode)),
        path_(std::move(path)),
        writable_(writable),
        generation_(files.generation_) {
    ++files_.open_files_;
  }
  ~SimFile() override { --files_.open_files_; }

  Result<void> Write(uint64_t position, const Bytes& data) override {
    if (!writable_) return SimError("EBADF", path_);
    if (data.empty()) return {};
    return files_.Write(*inode_, path_, generation_, position, data);
  }

  Result<size_t> Read(uint64_t position, std::span<uint8_t> out) override {
    if (Draw(SimOperation::kRead, position) != SimFileSystem::Fate::kDone ||
        files_.bad_place_.Meets(path_, position, out.size())) {
      return SimError("EIO", path_);
    }
    return inode_->content.seen().Read(position, out);
  }

  int64_t ReadCached(uint64_t position, std::span<uint8_t> out) override {
    if (generation_ != files_.generation_ || files_.powerless_) return -1;
    if (!files_.random_.Chance(files_.faults_.cached)) return -1;
    if (files_.bad_place_.Meets(path_, position, out.size())) return -1;
    return static_cast<int64_t>(inode_->content.seen().Read(position, out));
  }

  Result<void> Sync() override {
    switch (Draw(SimOperation::kSync, 0)) {
      case SimFileSystem::Fate::kDone:
        inode_->content.Sync();
        return {};
      case SimFileSystem::Fate::kDoneButFails:
        inode_->content.Sync();
        break;
      case SimFileSystem::Fate::kFails:
        if (generation_ == files_.generation_ && !files_.powerless_) {
          inode_->content.FailSync(files_.random_);
        }
        break;
    }
    return SimError("EIO", path_);
  }

  Result<void> Truncate(uint64_t size) override {
    if (!writable_) return SimError("EINVAL", path_);
    return Resize(size);
  }

  Result<void> Allocate(uint64_t size) override {
    if (!writable_) return SimError("EBADF", path_);
    if (inode_->content.seen().size() >= size) return {};
    return Resize(size);
  }

  Result<bool> IsBlank(uint64_t position) override {
    if (Draw(SimOperation::kRead, position) != SimFileSystem::Fate::kDone)
      return SimError("EIO", path_);
    std::string rest(inode_->content.seen().size(), '\0');
    inode_->content.seen().Read(0, {reinterpret_cast<uint8_t*>(rest.data()), rest.size()});
    return rest.find_first_not_of('\0', position) == std::string::npos;
  }

  Result<uint64_t> Size() override {
    if (generation_ != files_.generation_ || files_.powerless_) return SimError("EIO", path_);
    return inode_->content.seen().size();
  }

  void DropCache(uint64_t, uint64_t) override {}
  const std::string& path() const { return path_; }

 private:
  SimFileSystem::Fate Draw(SimOperation operation, uint64_t detail) {
    return files_.Draw(operation, path_, generation_, detail);
  }

  Result<void> Resize(uint64_t size) {
    const SimFileSystem::Fate fate = Draw(SimOperation::kResize, size);
    if (fate == SimFileSystem::Fate::kFails) return SimError("EIO", path_);
    Result<void> done = files_.Resize(*inode_, path_, size);
    if (fate == SimFileSystem::Fate::kDoneButFails) return SimError("EIO", path_);
    return done;
  }

  SimFileSystem& files_;
  const SimInodePtr inode_;
  const std::string path_;
  const bool writable_;
  const uint64_t generation_;
};

class SimLock final : public DirectoryLock {
 public:
  SimLock(SimFileSystem& files, std::string path, uint64_t number)
      : files_(files), path_(std::move(path)), number_(number) {}
  ~SimLock() override {
    auto found = files_.locks_.find(path_);
    if (found != files_.locks_.end() && found->second == number_) files_.locks_.erase(found);
  }

 private:
  SimFileSystem& files_;
  const std::string path_;
  const uint64_t number_;
};

SimFileSystem::SimFileSystem(uint64_t seed, Trace* trace) : trace_(trace), random_(seed) {}

SimFileSystem::~SimFileSystem() = default;

bool SimFileSystem::IsArmed(SimOperation operation, const std::string& path) {
  for (size_t i = 0; i < armed_.size(); ++i) {
    if (armed_[i].first != operation || path.find(armed_[i].second) == std::string::npos) continue;
    armed_.erase(armed_.begin() + static_cast<ptrdiff_t>(i));
    return true;
  }
  return false;
}

double SimFileSystem::ErrorRate(SimOperation operation) const {
  switch (operation) {
    case SimOperation::kOpen:
    case SimOperation::kRead:
      return faults_.read_error;
    case SimOperation::kWrite:
    case SimOperation::kResize:
    case SimOperation::kName:
      return faults_.write_error;
    case SimOperation::kSync:
    case SimOperation::kSyncFolder:
      return faults_.sync_error;
  }
  return 0;
}

SimFileSystem::Fate SimFileSystem::Draw(SimOperation operation, const std::string& path,
                                        uint64_t generation, uint64_t detail) {
  if (powerless_ || generation != generation_) return Fate::kFails;
  if (trace_ != nullptr) trace_->Note(NameOf(operation), HashOf(path), detail, path);
  if (operation != SimOperation::kRead && operation != SimOperation::kOpen) {
    ++mutations_;
    if (mutations_ == power_fails_at_) {
      powerless_ = true;
      return random_.Chance(0.5) ? Fate::kDoneButFails : Fate::kFails;
    }
  }
  const double rate = ErrorRate(operation);
  if (IsArmed(operation, path) || (rate > 0 && random_.Chance(rate))) {
    ++counts_.io_errors;
    return Fate::kFails;
  }
  return Fate::kDone;
}

template <typename Effect>
auto SimFileSystem::Do(SimOperation operation, const std::string& path, Effect effect)
    -> decltype(effect()) {
  const Fate fate = Draw(operation, path, generation_, 0);
  if (fate == Fate::kFails) return SimError("EIO", path);
  auto result = effect();
  if (fate == Fate::kDoneButFails) return SimError("EIO", path);
  return result;
}

Result<void> SimFileSystem::Write(SimInode& inode, const std::string& path, uint64_t generation,
                                  uint64_t position, const Bytes& data) {
  std::string bytes = data.ToString();
  const Fate fate = Draw(SimOperation::kWrite, path, generation, HashOf(bytes) ^ position);
  if (fate == Fate::kFails) {
    // An error may come after some of the bytes went through.
    if (generation == generation_ && random_.Chance(0.5)) {
      bytes.resize(random_.Below(bytes.size()));
      if (!bytes.empty()) (void)WriteBytes(inode, path, position, std::move(bytes)).ok();
    }
    return SimError("EIO", path);
  }
  Result<void> done = WriteBytes(inode, path, position, std::move(bytes));
  if (fate == Fate::kDoneButFails) return SimError("EIO", path);
  return done;
}

Result<void> SimFileSystem::WriteBytes(SimInode& inode, const std::string& path, uint64_t position,
                                       std::string bytes) {
  const uint64_t size = inode.content.seen().size();
  const uint64_t end = position + bytes.size();
  bool full = false;
  if (end > size) {
    const uint64_t free = RoomBytes();
    if (end - size > free) {
      full = true;
      const uint64_t allowed_end = size + free;
      bytes.resize(allowed_end > position ? allowed_end - position : 0);
    }
  }
  if (faults_.bit_flip > 0 && !bytes.empty() && random_.Chance(faults_.bit_flip)) {
    ++counts_.flipped;
    damaged_.push_back(path);
    char& byte = bytes[random_.Below(bytes.size())];
    byte = static_cast<char>(byte ^ (1 << random_.Below(8)));
  }
  if (faults_.misdirect > 0 && size > kSimPageBytes && random_.Chance(faults_.misdirect)) {
    ++counts_.misdirected;
    damaged_.push_back(path);
    position = random_.Below(size / kSimPageBytes) * kSimPageBytes + position % kSimPageBytes;
  }
  if (!bytes.empty()) inode.content.Write(position, std::move(bytes));
  if (!full) return {};
  ++counts_.full;
  return SimError("ENOSPC", path);
}

Result<void> SimFileSystem::Resize(SimInode& inode, const std::string& path, uint64_t size) {
  const uint64_t old = inode.content.seen().size();
  if (size > old && size - old > RoomBytes()) {
    ++counts_.full;
    return SimError("ENOSPC", path);
  }
  inode.content.SetSize(size);
  return {};
}

// Counting takes long where there are many files, and is left out where nothing is ever full.
uint64_t SimFileSystem::RoomBytes() const {
  const bool has_end = faults_.capacity_bytes != SimFaults().capacity_bytes;
  return has_end ? FreeBytes() : faults_.capacity_bytes;
}

// A folder whose last block is full needs another one.
Result<void> SimFileSystem::CheckNameFits(const std::string& path) {
  if (RoomBytes() > 0) return {};
  ++counts_.full;
  return SimError("ENOSPC", path);
}

uint64_t SimFileSystem::FreeBytes() const {
  const uint64_t used = tree_.UsedBytes();
  return used >= faults_.capacity_bytes ? 0 : faults_.capacity_bytes - used;
}

Result<FilePtr> SimFileSystem::Open(const std::string& path, OpenMode mode) {
  if (Draw(SimOperation::kOpen, path, generation_, 0) != Fate::kDone) return SimError("EIO", path);
  if (open_files_ >= faults_.open_files_max) return SimError("EMFILE", path);
  SimTree::Found found = tree_.Find(path);
  if (found.inode == nullptr) {
    if (mode != OpenMode::kCreate || found.parent == nullptr) {
      return SimError(found.problem, path);
    }
    RETURN_IF_ERROR(CheckNameFits(path));
    return Do(SimOperation::kName, path, [&]() -> Result<FilePtr> {
      auto inode = std::make_shared<SimInode>();
      tree_.Change({{found.parent, found.name, inode}});
      return FilePtr(std::make_shared<SimFile>(*this, inode, path, true));
    });
  }
  if (found.inode->is_directory) return SimError("EISDIR", path);
  return FilePtr(std::make_shared<SimFile>(*this, found.inode, path, mode != OpenMode::kRead));
}

Result<bool> SimFileSystem::Exists(const std::string& path) {
  if (Draw(SimOperation::kOpen, path, generation_, 0) != Fate::kDone) return SimError("EIO", path);
  return tree_.Find(path).inode != nullptr;
}

Result<std::vector<DirectoryEntry>> SimFileSystem::List(const std::string& path) {
  if (Draw(SimOperation::kOpen, path, generation_, 0) != Fate::kDone) return SimError("EIO", path);
  const SimTree::Found found = tree_.Find(path);
  if (found.inode == nullptr) return SimError(found.problem, path);
  if (!found.inode->is_directory) return SimError("ENOTDIR", path);
  std::vector<DirectoryEntry> entries;
  for (const auto& [name, inode] : found.inode->seen) {
    entries.push_back({name, inode->is_directory, inode->content.seen().size()});
  }
  return entries;
}

Result<void> SimFileSystem::MakeDirectory(const std::string& path) {
  std::string at = path.starts_with('/') ? "/" : "";
  for (const std::string& name : SimTree::Split(path)) {
    const std::string parent = at;
    at = JoinPath(at, name);
    const SimTree::Found found = tree_.Find(at);
    if (found.inode != nullptr && !found.inode->is_directory) return SimError("ENOTDIR", at);
    if (found.inode == nullptr) {
      RETURN_IF_ERROR(Do(SimOperation::kName, at, [&]() -> Result<void> {
        auto inode = std::make_shared<SimInode>();
        inode->is_directory = true;
        tree_.Change({{found.parent, found.name, inode}});
        return {};
      }));
    }
    RETURN_IF_ERROR(SyncDirectory(parent));
  }
  return {};
}

Result<void> SimFileSystem::AddDirectory(const std::string& path) {
  const SimTree::Found found = tree_.Find(path);
  if (found.inode != nullptr && found.inode->is_directory) return {};
  if (found.inode != nullptr) return SimError("ENOTDIR", path);
  if (found.parent == nullptr) return SimError(found.problem, path);
  RETURN_IF_ERROR(CheckNameFits(path));
  return Do(SimOperation::kName, path, [&]() -> Result<void> {
    auto inode = std::make_shared<SimInode>();
    inode->is_directory = true;
    tree_.Change({{found.parent, found.name, inode}});
    return {};
  });
}

Result<void> SimFileSystem::Rename(const std::string& from, const std::string& to) {
  const SimTree::Found source = tree_.Find(from);
  if (source.inode == nullptr) return SimError(source.problem, from);
  const std::vector<std::string> from_names = SimTree::Split(from);
  const std::vector<std::string> to_names = SimTree::Split(to);
  if (to_names.size() > from_names.size() &&
      std::equal(from_names.begin(), from_names.end(), to_names.begin())) {
    return SimError("EINVAL", from);
  }
  const SimTree::Found target = tree_.Find(to);
  if (target.parent == nullptr) return SimError(target.problem ? target.problem : "EBUSY", to);
  if (target.inode != nullptr) {
    if (source.inode == target.inode) return {};
    if (source.inode->is_directory && !target.inode->is_directory) return SimError("ENOTDIR", to);
    if (!source.inode->is_directory && target.inode->is_directory) return SimError("EISDIR", to);
    if (!target.inode->seen.empty()) return SimError("ENOTEMPTY", to);
  }
  if (to.size() > from.size()) RETURN_IF_ERROR(CheckNameFits(to));
  return Do(SimOperation::kName, from, [&]() -> Result<void> {
    tree_.Change(
        {{source.parent, source.name, nullptr}, {target.parent, target.name, source.inode}});
    return {};
  });
}

Result<void> SimFileSystem::Remove(const std::string& path) {
  const SimTree::Found found = tree_.Find(path);
  if (found.inode == nullptr) {
    if (std::strcmp(found.problem, "ENOENT") == 0) return {};
    return SimError(found.problem, path);
  }
  if (!found.inode->seen.empty()) return SimError("ENOTEMPTY", path);
  return Do(SimOperation::kName, path, [&]() -> Result<void> {
    tree_.Change({{found.parent, found.name, nullptr}});
    return {};
  });
}

Result<void> SimFileSystem::SyncDirectory(const std::string& path) {
  if (open_files_ >= faults_.open_files_max) return SimError("EMFILE", path);
  const SimTree::Found found = tree_.Find(path);
  if (found.inode == nullptr) return SimError(found.problem, path);
  if (!found.inode->is_directory) return SimError("ENOTDIR", path);
  return Do(SimOperation::kSyncFolder, path, [&]() -> Result<void> {
    tree_.SyncFolder(found.inode);
    return {};
  });
}

Result<DiskSpace> SimFileSystem::Space(const std::string& path) {
  if (powerless_) return SimError("EIO", path);
  const SimTree::Found found = tree_.Find(path);
  if (found.inode == nullptr) return SimError(found.problem, path);
  return DiskSpace{.total_bytes = faults_.capacity_bytes, .free_bytes = FreeBytes()};
}

Result<std::unique_ptr<DirectoryLock>> SimFileSystem::Lock(const std::string& path) {
  if (locks_.contains(path)) {
    return Error(Reason::kStorageError, path + " is locked by process " + kOwnProcessId)
        .With("errno", "EAGAIN")
        .With("path", path)
        .With("pid", kOwnProcessId);
  }
  ASSIGN_OR_RETURN(const FilePtr file, Open(path, OpenMode::kCreate));
  RETURN_IF_ERROR(file->Write(0, Slice::Copy(std::string(kOwnProcessId) + "\n")));
  locks_[path] = ++last_lock_;
  return std::unique_ptr<DirectoryLock>(std::make_unique<SimLock>(*this, path, last_lock_));
}

Result<void> SimFileSystem::SyncAll(std::span<const FilePtr> files,
                                    std::span<const std::string> folders) {
  // In any order, as several threads would: by chance, and not by where the files lie in memory.
  std::vector<std::pair<std::string, File*>> left;
  for (const FilePtr& file : files) {
    left.emplace_back(static_cast<SimFile&>(*file).path(), file.get());
  }
  for (const std::string& folder : folders) left.emplace_back(folder, nullptr);
  std::sort(left.begin(), left.end());
  while (!left.empty()) {
    const auto next = left.begin() + static_cast<ptrdiff_t>(random_.Below(left.size()));
    RETURN_IF_ERROR(next->second != nullptr ? next->second->Sync() : SyncDirectory(next->first));
    left.erase(next);
  }
  return {};
}

void SimFileSystem::FailNext(SimOperation operation, std::string path_part) {
  armed_.emplace_back(operation, std::move(path_part));
}

bool SimFileSystem::FlipBit(const std::string& path, uint64_t position, int bit) {
  const SimTree::Found found = tree_.Find(path);
  if (found.inode == nullptr || position >= found.inode->content.seen().size()) return false;
  found.inode->content.FlipBit(position, bit);
  ++counts_.flipped;
  damaged_.push_back(path);
  return true;
}

void SimFileSystem::KillProcess() {
  ++generation_;
  locks_.clear();
  powerless_ = false;
  power_fails_at_ = 0;
}

void SimFileSystem::LosePower() {
  KillProcess();
  ++counts_.power_losses;
  tree_.LosePower(random_);
}

void SimFileSystem::LosePower(SimSurvival survival) {
  KillProcess();
  ++counts_.power_losses;
  tree_.LosePower(random_, survival);
}

}  // namespace gregor
