#include "storage/log_directory.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "base/random.h"
#include "base/thread_annotations.h"
#include "storage/file_cache.h"
#include "storage/folder_removal.h"
#include "storage/group_sync_impl.h"
#include "storage/mark_journal.h"
#include "storage/meta_properties.h"

namespace gregor {
namespace {

constexpr char kMetaFile[] = "meta.properties";
constexpr char kLockFile[] = ".lock";
constexpr char kCleanFile[] = "clean-shutdown";
constexpr char kJournalFile[] = "synced-marks";
constexpr char kDiskDetail[] = "disk";  // of errors that are the disk's fault
constexpr char kStraySuffix[] = ".stray";
constexpr int kFormat = 1;
constexpr uint64_t kMetaBytesMax = 64u << 10;
constexpr uint64_t kCheckpointBytesMin = 1u << 20;
constexpr Duration kTick = std::chrono::seconds(1);
constexpr int kIdleTicks = 30;  // files that are not used for so long, up to twice that, are closed

class Directory final : public LogDirectory {
 public:
  Directory(Disk& disk, EventLoop& loop, Options options)
      : disk_(disk),
        loop_(loop),
        options_(std::move(options)),
        cache_(std::make_shared<FileCache>(disk.files(), options_.open_files_max)),
        compactor_(options_.compaction),
        removal_(disk, options_.path, [this](const TopicIdPartition& partition) {
          if (sync_->MarkOf(partition).has_value()) sync_->Forget(partition);
        }) {}
  ~Directory() override { *alive_ = false; }

  Result<void> Load() {
    FileSystem& files = disk_.files();
    RETURN_IF_ERROR(files.MakeDirectory(options_.path));
    ASSIGN_OR_RETURN(lock_, files.Lock(JoinPath(options_.path, kLockFile)));
    RETURN_IF_ERROR(LoadMeta());
    RETURN_IF_ERROR(FindFolders());
    MarkJournal::Marks marks;
    ASSIGN_OR_RETURN(MarkJournal journal,
                     MarkJournal::Open(files, JoinPath(options_.path, kJournalFile),
                                       options_.journal_bytes_min, marks, found_));
    sync_ =
        std::make_unique<JournaledGroupSync>(*this, loop_, std::move(journal), std::move(marks));
    const std::string clean = JoinPath(options_.path, kCleanFile);
    ASSIGN_OR_RETURN(was_clean_, files.Exists(clean));
    if (was_clean_) {
      RETURN_IF_ERROR(files.Remove(clean));
      RETURN_IF_ERROR(files.SyncDirectory(options_.path));
    }
    ASSIGN_OR_RETURN(const DiskSpace space, files.Space(options_.path));
    space_->Set(space);
    ScheduleTick();
    return {};
  }

  DirectoryId id() const override { return id_; }
  const Options& options() const override { return options_; }
  Disk& disk() override { return disk_; }
  bool was_clean() const override { return was_clean_; }
  const std::vector<TopicIdPartition>& found() const override { return found_; }
  const std::vector<TopicIdPartition>& found_strays() const override { return found_strays_; }
  std::vector<TopicIdPartition> marked() const override { return sync_->Marked(); }
  int64_t stray_folders() const override { return stray_folders_.load(); }
  std::optional<SyncedMark> MarkOf(const TopicIdPartition& partition) const override {
    return sync_->MarkOf(partition);
  }
  std::string PathOf(const TopicIdPartition& partition) const override {
    return JoinPath(options_.path, partition.ToString());
  }

  std::optional<Error> failure() const override {
    if (!failed_.load(std::memory_order_acquire)) return std::nullopt;
    const MutexLock lock(mutex_);
    return failure_;
  }
  void Fail(const Error& why) override {
    const Error error = Lasting(why);
    std::vector<Observer> observers;
    {
      const MutexLock lock(mutex_);
      if (failure_.has_value()) return;
      failure_ = error;
      failed_.store(true, std::memory_order_release);
      observers.swap(observers_);
    }
    LOG(ERROR) << "Log directory " << options_.path
               << " is offline until the next start: " << error;
    for (Observer& observer : observers) {
      observer.loop->Post("log_directory.failed",
                          [call = std::move(observer.call), error]() mutable { call(error); });
    }
  }
  void OnFailure(EventLoop& loop, UniqueFunction<void(const Error&)> observer) override {
    std::optional<Error> failed;
    {
      const MutexLock lock(mutex_);
      failed = failure_;
      if (!failed.has_value()) observers_.push_back({&loop, std::move(observer)});
    }
    if (failed.has_value()) {
      loop.Post("log_directory.failed",
                [call = std::move(observer), error = *failed]() mutable { call(error); });
    }
  }

  Result<void> CheckWritable() const override {
    if (const auto failed = failure(); failed.has_value()) return *failed;
    looked_at_.store(true, std::memory_order_relaxed);
    const uint64_t free = space_->free_bytes.load(std::memory_order_relaxed);
    if (free >= options_.reserve_bytes) {
      const bool was_full = is_full_.load(std::memory_order_relaxed) && is_full_.exchange(false);
      LOG_IF(WARNING, was_full) << "The disk of " << options_.path << " has " << free
                                << " bytes left: writes are taken again";
      return {};
    }
    const Error error =
        Error(Reason::kDiskFull, "the disk of " + options_.path + " has " + std::to_string(free) +
                                     " bytes left, and its reserve is " +
                                     std::to_string(options_.reserve_bytes) +
                                     ": free some space, or lower retention")
            .With("free_bytes", std::to_string(free))
            .With("reserve_bytes", std::to_string(options_.reserve_bytes));
    LOG_IF(WARNING, !is_full_.exchange(true)) << "Writes are refused: " << error.message;
    return error;
  }
  void NoteGrowth(uint64_t bytes) override {
    std::atomic<uint64_t>& free_bytes = space_->free_bytes;
    uint64_t free = free_bytes.load(std::memory_order_relaxed);
    while (!free_bytes.compare_exchange_weak(free, free - std::min(free, bytes),
                                             std::memory_order_relaxed)) {
    }
  }
  DiskSpace space() const override {
    return {space_->total_bytes.load(), space_->free_bytes.load()};
  }

  uint64_t CheckpointBytes() const override {
    // As much as four logs with the whole of it, but no less than is worth a file.
    const auto logs =
        static_cast<uint64_t>(std::max(4, unread_logs_.load(std::memory_order_relaxed)));
    return std::min(options_.checkpoint_bytes,
                    std::max(kCheckpointBytesMin, 4 * options_.checkpoint_bytes / logs));
  }
  void CountUnreadLog(int change) override {
    unread_logs_.fetch_add(change, std::memory_order_relaxed);
  }

  uint64_t CountUnsynced(int64_t change) override {
    const int64_t before = unsynced_bytes_.fetch_add(change, std::memory_order_relaxed);
    return static_cast<uint64_t>(before + change);
  }
  bool CountUnsyncedLog(int change) override {
    const int before = unsynced_logs_.fetch_add(change, std::memory_order_relaxed);
    return before + change >= static_cast<int>(options_.open_files_max);
  }

  GroupSync& group_sync() override { return *sync_; }
  FileCache& file_cache() override { return *cache_; }
  Compactor& compactor() override { return compactor_; }

  Result<void> SetAside(const TopicIdPartition& partition) override {
    const std::string path = PathOf(partition);
    std::string aside = path + kStraySuffix;
    for (int i = 1;; ++i) {
      ASSIGN_OR_RETURN(const bool taken, disk_.files().Exists(aside));
      if (!taken) break;
      aside = path + kStraySuffix + "." + std::to_string(i);
    }
    RETURN_IF_ERROR(disk_.files().Rename(path, aside));
    stray_folders_.fetch_add(1);
    return disk_.files().SyncDirectory(options_.path);
  }

  void Discard(const TopicIdPartition& partition, EventLoop& reply,
               UniqueFunction<void(Result<void>)> done) override {
    removal_.Remove(partition, reply, std::move(done));
  }
  void HurryRemovals() override { removal_.Hurry(); }

  Result<void> CloseCleanly() override {
    *alive_ = false;
    if (const auto failed = failure(); failed.has_value()) return *failed;
    RETURN_IF_ERROR(sync_->Close());
    return ReplaceFile(disk_.files(), JoinPath(options_.path, kCleanFile), "");
  }

 private:
  // As last looked at. Thread: any.
  struct Space {
    std::atomic<uint64_t> free_bytes{0};
    std::atomic<uint64_t> total_bytes{0};
    void Set(const DiskSpace& space) {
      free_bytes.store(space.free_bytes);
      total_bytes.store(space.total_bytes);
    }
  };
  struct Observer {
    EventLoop* loop;
    UniqueFunction<void(const Error&)> call;
  };

  Error Refuse(const std::string& message) const {
    return Error(Reason::kStorageError, "log directory " + options_.path + " " + message);
  }

  Error RefuseDisk(const std::string& message) const {
    return Refuse(message).With(kDiskDetail, "unusable");
  }

  Result<void> LoadMeta() {
    FileSystem& files = disk_.files();
    const std::string path = JoinPath(options_.path, kMetaFile);
    ASSIGN_OR_RETURN(const bool exists, files.Exists(path));
    if (!exists) return Format(path);
    ASSIGN_OR_RETURN(const std::string text, ReadWholeFile(files, path, kMetaBytesMax));
    const auto properties = ParseProperties(text);
    const auto value = [&](const char* name) {
      const auto found = properties.find(name);
      return found == properties.end() ? std::string() : found->second;
    };
    const std::string version = value("version");
    const auto id = DirectoryId::Parse(value("directory.id"));
    const bool has_version =
        !version.empty() && version.find_first_not_of("0123456789") == std::string::npos;
    if (has_version && version != std::to_string(kFormat)) {
      return Refuse("has format version " + version + ", and this release knows " +
                    std::to_string(kFormat) + ": use the release that wrote it");
    }
    if (!has_version || !id.has_value() || !ClusterId::Parse(value("cluster.id")).has_value() ||
        !IsSoundProperties(text))
      return RefuseDisk("has a damaged " + std::string(kMetaFile) + ": restore it from a backup");
    if (value("cluster.id") != options_.cluster_id.ToString()) {
      return Error(Reason::kInconsistentClusterId,
                   "log directory " + options_.path + " belongs to cluster " + value("cluster.id") +
                       ", and this node to " + options_.cluster_id.ToString() +
                       ": give it a folder of its own, or restore meta.properties from a backup "
                       "where it is that which is wrong");
    }
    if (value("node.id") != std::to_string(options_.node_id.value)) {
      return Refuse("belongs to node " + value("node.id") + ", and this is node " +
                    std::to_string(options_.node_id.value) +
                    ": give it a folder of its own, or restore meta.properties from a backup where "
                    "it is that which is wrong");
    }
    id_ = *id;
    return {};
  }

  Result<void> Format(const std::string& meta_path) {
    FileSystem& files = disk_.files();
    ASSIGN_OR_RETURN(const auto entries, files.List(options_.path));
    const bool has_more =
        std::any_of(entries.begin(), entries.end(), [](const DirectoryEntry& entry) {
          return entry.name != kLockFile && entry.name != "lost+found" &&
                 !entry.name.ends_with(".tmp");
        });
    if (has_more)
      return Refuse("has files, and no " + std::string(kMetaFile) +
                    ": is it the right folder? Restore the file from a backup where it was lost");
    if (!options_.format_if_empty) {
      return RefuseDisk("is empty: is its disk mounted?" +
                        (options_.empty_advice.empty() ? "" : " " + options_.empty_advice));
    }
    id_ = options_.new_id;
    if (id_.IsZero()) id_ = Random::FromSystem().NewUuid<DirectoryId>();
    return ReplaceFile(
        files, meta_path,
        WithPropertiesChecksum("version=" + std::to_string(kFormat) +
                               "\ncluster.id=" + options_.cluster_id.ToString() +
                               "\nnode.id=" + std::to_string(options_.node_id.value) +
                               "\ndirectory.id=" + id_.ToString() + "\n"));
  }

  Result<void> FindFolders() {
    ASSIGN_OR_RETURN(const auto entries, disk_.files().List(options_.path));
    for (const DirectoryEntry& entry : entries) {
      if (entry.is_directory && entry.name.ends_with(FolderRemoval::kSuffix)) {
        RemoveLater(JoinPath(options_.path, entry.name));
        continue;
      }
      const auto id = entry.is_directory ? TopicIdPartition::Parse(entry.name) : std::nullopt;
      const size_t stray = entry.name.find(kStraySuffix);
      if (entry.is_directory && stray != std::string::npos) stray_folders_.fetch_add(1);
      const bool known = id.has_value() || stray != std::string::npos || !entry.is_directory ||
                         entry.name == "lost+found";
      if (id.has_value()) found_.push_back(*id);
      const auto stray_id = TopicIdPartition::Parse(entry.name.substr(0, stray));
      if (stray != std::string::npos && stray_id.has_value()) found_strays_.push_back(*stray_id);
      LOG_IF(WARNING, !known) << "Folder " << JoinPath(options_.path, entry.name)
                              << " is none of Gregor's; it is left alone";
    }
    std::sort(found_.begin(), found_.end());
    std::sort(found_strays_.begin(), found_strays_.end());
    return {};
  }

  void RemoveLater(std::string path) {
    disk_.Submit(Lane::kBackground, "log_directory.remove_left", [&files = disk_.files(), path] {
      const auto removed = RemoveTree(files, path);
      LOG_IF(WARNING, !removed.ok()) << "Left behind: " << removed.error();
    });
  }

  void ScheduleTick() {
    loop_.After(kTick, "log_directory.tick", [this, alive = alive_] {
      if (*alive) Tick();
    });
  }

  // Once a second: marks that nothing took along, files that nobody uses, and the free space while
  // writes go on.
  void Tick() {
    sync_->FlushMarksSoon();
    const bool close_idle = ++ticks_ % kIdleTicks == 0 && cache_->size() > 0;
    const bool look = looked_at_.exchange(false) || ticks_ % kIdleTicks == 0;
    if (close_idle || look) {
      // The directory may have gone when it runs.
      disk_.Submit(Lane::kBackground, "log_directory.look",
                   [&files = disk_.files(), path = options_.path, cache = cache_, space = space_,
                    close_idle] {
                     if (close_idle) cache->CloseIdle();
                     if (const auto now = files.Space(path); now.ok()) space->Set(*now);
                   });
    }
    ScheduleTick();
  }

  Disk& disk_;
  EventLoop& loop_;
  const Options options_;
  const std::shared_ptr<FileCache> cache_;
  Compactor compactor_;
  FolderRemoval removal_;
  const std::shared_ptr<Space> space_ = std::make_shared<Space>();
  std::unique_ptr<DirectoryLock> lock_;
  DirectoryId id_;
  bool was_clean_ = false;
  std::vector<TopicIdPartition> found_;
  std::vector<TopicIdPartition> found_strays_;
  std::atomic<int64_t> stray_folders_{0};
  std::unique_ptr<JournaledGroupSync> sync_;
  int ticks_ = 0;
  std::shared_ptr<std::atomic<bool>> alive_ = std::make_shared<std::atomic<bool>>(true);

  std::atomic<int> unread_logs_{0};
  std::atomic<int64_t> unsynced_bytes_{0};
  std::atomic<int> unsynced_logs_{0};
  mutable std::atomic<bool> is_full_{false};  // for the log: writes were refused
  mutable std::atomic<bool> looked_at_{false};
  std::atomic<bool> failed_{false};
  mutable Mutex mutex_;
  std::optional<Error> failure_ TS_GUARDED_BY(mutex_);
  std::vector<Observer> observers_ TS_GUARDED_BY(mutex_);
};

}  // namespace

bool LogDirectory::IsDiskFailure(const Error& error) {
  return std::any_of(error.details.begin(), error.details.end(), [](const auto& detail) {
    const auto& [name, value] = detail;
    // The lock's holder has it.
    return name == kDiskDetail || (name == "errno" && value != "EAGAIN");
  });
}

DirectoryId LogDirectory::IdOf(FileSystem& files, const std::string& path) {
  const auto text = ReadWholeFile(files, JoinPath(path, kMetaFile), kMetaBytesMax);
  if (!text.ok()) return {};
  if (!IsSoundProperties(*text)) return {};
  return DirectoryId::Parse(ParseProperties(*text)["directory.id"]).value_or(DirectoryId{});
}

Result<std::unique_ptr<LogDirectory>> LogDirectory::Open(Disk& disk, EventLoop& loop,
                                                         Options options) {
  auto directory = std::make_unique<Directory>(disk, loop, std::move(options));
  RETURN_IF_ERROR(directory->Load());
  return std::unique_ptr<LogDirectory>(std::move(directory));
}

}  // namespace gregor
