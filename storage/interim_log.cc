// Interim implementation of Log, LogDirectory, GroupSync: one segment file per log, everything scanned at open.
#include <algorithm>
#include <deque>
#include <map>
#include <set>
#include <utility>

#include "base/random.h"
#include "base/thread_annotations.h"
#include "storage/epoch_cache.h"
#include "storage/group_sync.h"
#include "storage/log.h"
#include "storage/producer_state.h"

namespace gregor {
namespace {

class Directory;

class InterimSync : public GroupSync {
 public:
  explicit InterimSync(Disk& disk) : disk_(disk) {}
  void Add(Part part) override {
    bool start;
    {
      MutexLock lock(mutex_);
      parts_.push_back(std::move(part));
      start = !std::exchange(running_, true);
    }
    if (start) Submit();
  }
  void Forget(const TopicIdPartition&) override {}

 private:
  void Submit() {
    disk_.Submit(Lane::kSync, "sync", [this] { Run(); });
  }
  void Run() {
    std::vector<Part> parts;
    {
      MutexLock lock(mutex_);
      parts.swap(parts_);
      if (parts.empty()) {
        running_ = false;
        return;
      }
    }
    std::vector<FilePtr> files;
    for (Part& part : parts) files.insert(files.end(), part.files.begin(), part.files.end());
    std::sort(files.begin(), files.end());
    files.erase(std::unique(files.begin(), files.end()), files.end());
    const auto result = disk_.files().SyncAll(files);
    for (Part& part : parts) {
      part.reply->Post("synced", [done = std::move(part.done), result]() mutable { done(result); });
    }
    Submit();
  }
  Disk& disk_;
  Mutex mutex_;
  std::vector<Part> parts_;
  bool running_ = false;
};

class Directory : public LogDirectory {
 public:
  Directory(Disk& disk, Options options) : disk_(disk), options_(std::move(options)), sync_(disk) {}
  Result<void> Load() {
    FileSystem& files = disk_.files();
    RETURN_IF_ERROR(files.MakeDirectory(options_.path));
    ASSIGN_OR_RETURN(lock_, files.Lock(JoinPath(options_.path, ".lock")));
    const std::string meta = JoinPath(options_.path, "meta.properties");
    ASSIGN_OR_RETURN(const bool exists, files.Exists(meta));
    if (!exists) {
      Random random = Random::FromSystem();
      id_ = random.NewUuid<DirectoryId>();
      RETURN_IF_ERROR(ReplaceFile(files, meta, id_.ToString()));
    } else {
      ASSIGN_OR_RETURN(const std::string text, ReadWholeFile(files, meta, 1000));
      id_ = *DirectoryId::Parse(text);
    }
    ASSIGN_OR_RETURN(const auto entries, files.List(options_.path));
    for (const auto& entry : entries) {
      const auto id = TopicIdPartition::Parse(entry.name);
      if (entry.is_directory && id.has_value()) found_.push_back(*id);
    }
    return {};
  }
  DirectoryId id() const override { return id_; }
  const Options& options() const override { return options_; }
  Disk& disk() override { return disk_; }
  bool was_clean() const override { return false; }
  const std::vector<TopicIdPartition>& found() const override { return found_; }
  std::optional<SyncedMark> MarkOf(const TopicIdPartition&) const override { return {}; }
  std::string PathOf(const TopicIdPartition& p) const override { return JoinPath(options_.path, p.ToString()); }
  std::optional<Error> failure() const override { return {}; }
  void Fail(const Error& error) override { LOG(FATAL) << error; }
  void OnFailure(EventLoop&, UniqueFunction<void(const Error&)>) override {}
  Result<void> CheckWritable() const override { return {}; }
  DiskSpace space() const override { return *disk_.files().Space(options_.path); }
  GroupSync& group_sync() override { return sync_; }
  FileCache& file_cache() override { LOG(FATAL); }
  Result<void> SetAside(const TopicIdPartition& p) override { return disk_.files().Rename(PathOf(p), PathOf(p) + ".stray"); }
  Result<void> CloseCleanly() override { return {}; }

 private:
  Disk& disk_;
  Options options_;
  DirectoryId id_;
  std::vector<TopicIdPartition> found_;
  InterimSync sync_;
  std::unique_ptr<DirectoryLock> lock_;
};

struct Found {
  FilePtr file;
  uint64_t size = 0;
  std::vector<BatchHeader> headers;
  std::vector<uint64_t> positions;
};

class InterimLog : public Log {
 public:
  InterimLog(LogDirectory& directory, EventLoop& loop, Options options)
      : directory_(directory), loop_(loop), options_(std::move(options)) {}
  ~InterimLog() override { *alive_ = false; }

  void Take(Found found) {
    file_ = std::move(found.file);
    position_ = allocated_ = found.size;
    for (size_t i = 0; i < found.headers.size(); ++i) {
      const BatchHeader& h = found.headers[i];
      index_.push_back({h.base_offset, found.positions[i], h.max_timestamp});
      epochs_.Assign(h.leader_epoch, h.base_offset);
      producers_.Note(h, h.max_timestamp);
      ends_.log_end = h.next_offset();
    }
    ends_.synced_end = ends_.written_end = ends_.log_end;
  }
  const TopicIdPartition& id() const override { return options_.id; }
  LogEnds ends() const override { return ends_; }
  LeaderEpoch last_epoch() const override { return epochs_.last() ? epochs_.last()->epoch : kNoLeaderEpoch; }
  const EpochCache& epochs() const override { return epochs_; }
  ProducerState& producers() override { return producers_; }
  uint64_t size_bytes() const override { return position_; }
  size_t segment_count() const override { return 1; }
  std::optional<Error> failure() const override { return failure_; }
  Result<void> Append(RecordBatch batch) override {
    const BatchHeader& h = batch.header;
    CHECK_EQ(h.base_offset.value, ends_.log_end.value);
    producers_.Note(h, loop_.clock().WallNow());
    epochs_.Assign(h.leader_epoch, h.base_offset);
    index_.push_back({h.base_offset, position_, h.max_timestamp});
    ends_.log_end = h.next_offset();
    position_ += batch.bytes.size();
    queued_ += batch.bytes.size();
    queue_.Append(batch.bytes);
    if (!writing_) Write();
    return {};
  }
  size_t unwritten_bytes() const override { return queued_ + in_flight_; }
  void RequestSync() override { Sync(); }
  void Read(const ReadSpec& spec, UniqueFunction<void(Result<LogRead>)> done) override {
    LogRead read;
    read.base_offset = read.next_offset = spec.from;
    const Offset limit = std::min(spec.limit, ends_.written_end);
    auto at = std::upper_bound(index_.begin(), index_.end(), spec.from, [](Offset o, const Entry& e) { return o < e.base; });
    if (at == index_.begin() || spec.from >= limit) return done(std::move(read));
    --at;
    read.base_offset = at->base;
    const uint64_t start = at->position;
    uint64_t end = start;
    for (; at != index_.end() && at->base < limit; ++at) {
      const auto next = std::next(at);
      const uint64_t batch_end = next == index_.end() ? position_ : next->position;
      if (batch_end - start > spec.bytes_max && end != start) break;
      if (batch_end - start > spec.bytes_max && !spec.first_batch_may_exceed) {
        return done(Error(Reason::kFetchTooSmall, "too small").With("needed_bytes", std::to_string(batch_end - start)));
      }
      end = batch_end;
      read.next_offset = next == index_.end() ? ends_.log_end : next->base;
    }
    std::string bytes(end - start, '\0');
    const auto got = file_->ReadCached(start, {reinterpret_cast<uint8_t*>(bytes.data()), bytes.size()});
    if (got == static_cast<int64_t>(bytes.size())) {
      read.batches = Slice::Own(std::move(bytes));
      return done(std::move(read));
    }
    directory_.disk().Submit(Lane::kRead, "read", [this, start, alive = alive_, read = std::move(read), bytes = std::move(bytes), done = std::move(done), file = file_]() mutable {
      auto n = file->Read(start, {reinterpret_cast<uint8_t*>(bytes.data()), bytes.size()});
      loop_.Post("read.done", [read = std::move(read), bytes = std::move(bytes), done = std::move(done)]() mutable {
        read.batches = Slice::Own(std::move(bytes));
        done(std::move(read));
      });
    });
  }
  void FindByTime(Timestamp time, Offset limit, UniqueFunction<void(Result<std::optional<TimedOffset>>)> done) override {
    for (const Entry& e : index_) {
      if (e.base < limit && e.max >= time) return done(std::optional(TimedOffset{e.base, e.max, last_epoch()}));
    }
    done(std::optional<TimedOffset>());
  }
  void FindMaxTimestamp(Offset, UniqueFunction<void(Result<std::optional<TimedOffset>>)> done) override { done(std::optional<TimedOffset>()); }
  void TruncateTo(Offset, Done done) override { done({}); }
  void ResetTo(Offset, Done done) override { done({}); }
  void DeleteBefore(Offset start, Done done) override { ends_.log_start = std::max(ends_.log_start, start); done({}); }
  void SetConfig(const LogConfig& config) override { options_.config = config; }
  void ApplyRetention(Offset) override {}
  void Close(Done done) override {
    closing_ = std::move(done);
    MaybeClose();
  }
  void Remove(Done done) override {
    directory_.disk().Submit(Lane::kBackground, "remove", loop_, [this] { return RemoveTree(directory_.disk().files(), directory_.PathOf(options_.id)); }, [done = std::move(done)](Result<void> r) mutable { done(r); });
  }

 private:
  struct Entry {
    Offset base;
    uint64_t position;
    Timestamp max;
  };
  void MaybeClose() {
    if (closing_ && !writing_ && !syncing_ && ends_.synced_end == ends_.log_end) std::exchange(closing_, {})({});
  }
  void Write() {
    writing_ = true;
    Bytes bytes = std::exchange(queue_, {});
    in_flight_ = std::exchange(queued_, 0);
    const Offset end = ends_.log_end;
    const uint64_t at = position_ - in_flight_;
    if (position_ > allocated_) allocated_ = position_ + (16 << 20);
    directory_.disk().Submit(Lane::kWrite, "write", loop_, [this, bytes, at, file = file_, size = allocated_]() -> Result<FilePtr> {
      FilePtr to = file;
      if (to == nullptr) {
        RETURN_IF_ERROR(directory_.disk().files().MakeDirectory(directory_.PathOf(options_.id)));
        ASSIGN_OR_RETURN(to, directory_.disk().files().Open(JoinPath(directory_.PathOf(options_.id), "00000000000000000000.log"), OpenMode::kCreate));
      }
      RETURN_IF_ERROR(to->Allocate(size));
      RETURN_IF_ERROR(to->Write(at, bytes));
      return to;
    }, [this, end, alive = alive_](Result<FilePtr> r) {
      if (!*alive) return;
      CHECK(r.ok()) << r.error();
      file_ = *r;
      in_flight_ = 0;
      writing_ = false;
      ends_.written_end = end;
      if (queued_ > 0) Write();
      Sync();
      options_.on_progress();
    });
  }
  void Sync() {
    if (syncing_ || file_ == nullptr || ends_.synced_end == ends_.written_end) return MaybeClose();
    if (options_.config.durability != Durability::kSynced && !closing_ && ends_.written_end - ends_.synced_end < 500000) return;
    syncing_ = true;
    GroupSync::Part part;
    part.partition = options_.id;
    part.files = {file_};
    part.reply = &loop_;
    const Offset end = ends_.written_end;
    part.done = [this, end, alive = alive_](Result<void> r) {
      if (!*alive) return;
      CHECK(r.ok()) << r.error();
      syncing_ = false;
      ends_.synced_end = end;
      options_.on_progress();
      Sync();
    };
    directory_.group_sync().Add(std::move(part));
  }
  LogDirectory& directory_;
  EventLoop& loop_;
  Options options_;
  LogEnds ends_;
  EpochCache epochs_;
  ProducerState producers_;
  std::vector<Entry> index_;
  FilePtr file_;
  uint64_t position_ = 0, allocated_ = 0;
  Bytes queue_;
  size_t queued_ = 0, in_flight_ = 0;
  bool writing_ = false, syncing_ = false;
  std::optional<Error> failure_;
  Done closing_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

Result<Found> Scan(LogDirectory& directory, const TopicIdPartition& id) {
  Found found;
  FileSystem& files = directory.disk().files();
  const std::string path = JoinPath(directory.PathOf(id), "00000000000000000000.log");
  ASSIGN_OR_RETURN(const bool exists, files.Exists(path));
  if (!exists) return found;
  ASSIGN_OR_RETURN(found.file, files.Open(path, OpenMode::kReadWrite));
  ASSIGN_OR_RETURN(const uint64_t size, found.file->Size());
  while (found.size + kBatchHeaderBytes <= size) {
    std::string front(kBatchHeaderBytes, '\0');
    (void)found.file->Read(found.size, {reinterpret_cast<uint8_t*>(front.data()), front.size()});
    const auto header = PeekHeader(Slice::Own(front), 1 << 30);
    if (!header.ok() || found.size + header->size() > size) break;
    std::string whole(header->size(), '\0');
    (void)found.file->Read(found.size, {reinterpret_cast<uint8_t*>(whole.data()), whole.size()});
    if (!CheckBatch(Slice::Own(whole)).ok()) break;
    found.headers.push_back(*header);
    found.positions.push_back(found.size);
    found.size += header->size();
  }
  return found;
}

}  // namespace

Result<std::unique_ptr<LogDirectory>> LogDirectory::Open(Disk& disk, EventLoop&, Options options) {
  auto directory = std::make_unique<Directory>(disk, std::move(options));
  RETURN_IF_ERROR(directory->Load());
  return std::unique_ptr<LogDirectory>(std::move(directory));
}

void Log::Open(LogDirectory& directory, EventLoop& loop, Options options, Opened opened) {
  auto log = std::make_shared<std::unique_ptr<InterimLog>>(std::make_unique<InterimLog>(directory, loop, std::move(options)));
  const TopicIdPartition id = (*log)->id();
  directory.disk().Submit(Lane::kBackground, "open", loop, [&directory, id] { return Scan(directory, id); },
                          [log, opened = std::move(opened)](Result<Found> found) mutable {
                            if (!found.ok()) return opened(std::move(found).error());
                            (*log)->Take(std::move(*found));
                            opened(std::unique_ptr<Log>(std::move(*log)));
                          });
}

}  // namespace gregor
