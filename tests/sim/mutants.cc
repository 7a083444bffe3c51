#include "tests/sim/mutants.h"

#include <algorithm>
#include <utility>

#include "base/crc32c.h"
#include "base/record_batch.h"
#include "storage/encoding.h"

namespace gregor {
namespace {

constexpr size_t kLeaderEpochAt = 12;
constexpr size_t kCrcAt = 17;
constexpr size_t kAttributesAt = 21;
constexpr uint16_t kTransactional = 1 << 4;

template <typename T>
void PutAt(uint8_t* out, T value) {
  for (size_t i = 0; i < sizeof value; ++i)
    out[i] = static_cast<uint8_t>(value >> (8 * (sizeof value - 1 - i)));
}

// Calls change(header, batch bytes) for each whole batch at the front of `bytes`.
template <typename Change>
void ForEachBatch(std::span<uint8_t> bytes, Change change) {
  while (bytes.size() >= kBatchHeaderBytes) {
    const auto header = PeekHeader(Slice(nullptr, bytes.data(), bytes.size()), bytes.size());
    if (!header.ok() || header->size() > bytes.size()) return;
    change(*header, bytes.first(header->size()));
    bytes = bytes.subspan(header->size());
  }
}

// Gives batches the epoch of those before them, `largest` before the first: what a reader sees that
// does not look at it. Returns the largest.
int32_t HideEpochs(std::span<uint8_t> bytes, int32_t largest) {
  ForEachBatch(bytes, [&](const BatchHeader& header, std::span<uint8_t> batch) {
    largest = std::max(largest, header.leader_epoch.value);
    PutAt(batch.data() + kLeaderEpochAt, static_cast<uint32_t>(largest));
  });
  return largest;
}

// Makes every checksum right: what a reader sees that does not check them.
void HideDamage(std::span<uint8_t> bytes) {
  ForEachBatch(bytes, [&](const BatchHeader&, std::span<uint8_t> batch) {
    PutAt(batch.data() + kCrcAt, Crc32c(0, batch.subspan(kBatchCrcStart)));
  });
}

// Says that batches are of a transaction, which compaction keeps as they are; or not any more.
void SetTransactional(std::span<uint8_t> bytes, bool is_transactional) {
  ForEachBatch(bytes, [&](const BatchHeader& header, std::span<uint8_t> batch) {
    const auto attributes = static_cast<uint16_t>(header.attributes);
    PutAt(batch.data() + kAttributesAt,
          static_cast<uint16_t>(is_transactional ? attributes | kTransactional
                                                 : attributes & ~kTransactional));
    PutAt(batch.data() + kCrcAt, Crc32c(0, batch.subspan(kBatchCrcStart)));
  });
}

class MutantFile final : public File {
 public:
  MutantFile(FilePtr inner, std::string path, MutantFileSystem& files)
      : inner_(std::move(inner)), path_(std::move(path)), files_(files) {}

  Result<void> Write(uint64_t position, const Bytes& data) override {
    if (passes_over() && path_.ends_with(".log.cleaned")) {
      std::string bytes = data.ToString();
      SetTransactional({reinterpret_cast<uint8_t*>(bytes.data()), bytes.size()}, false);
      return inner_->Write(position, Slice::Own(std::move(bytes)));
    }
    Result<void> written = inner_->Write(position, data);
    const bool is_full = !written.ok() && written.error().reason == Reason::kDiskFull;
    if (files_.mutant() == Mutant::kGivenUpWhenFull && is_full && is_log()) return {};
    if (files_.mutant() == Mutant::kWriteErrorIgnored && is_log()) return {};
    return written;
  }
  Result<size_t> Read(uint64_t position, std::span<uint8_t> out) override {
    Result<size_t> read = inner_->Read(position, out);
    if (read.ok() && is_log()) Alter(position, out.first(*read));
    return read;
  }
  int64_t ReadCached(uint64_t position, std::span<uint8_t> out) override {
    const int64_t read = inner_->ReadCached(position, out);
    if (read > 0 && is_log()) Alter(position, out.first(static_cast<size_t>(read)));
    return read;
  }
  Result<void> Sync() override {
    if (files_.SkipsSync(path_)) return {};
    Result<void> synced = inner_->Sync();
    if (!synced.ok() && files_.mutant() == Mutant::kFailedSyncRepeated) return inner_->Sync();
    return synced;
  }
  Result<void> Truncate(uint64_t size) override {
    if (files_.mutant() == Mutant::kStaleAccepted && files_.in_recovery() && is_log()) return {};
    return inner_->Truncate(size);
  }
  Result<void> Allocate(uint64_t size) override { return inner_->Allocate(size); }
  Result<bool> IsBlank(uint64_t position) override { return inner_->IsBlank(position); }
  Result<uint64_t> Size() override { return inner_->Size(); }
  void DropCache(uint64_t position, uint64_t size) override { inner_->DropCache(position, size); }

  const FilePtr& inner() const { return inner_; }
  const std::string& path() const { return path_; }

 private:
  bool is_log() const { return path_.ends_with(".log"); }
  bool passes_over() const {
    return files_.mutant() == Mutant::kOldValueKept && files_.in_compaction();
  }
  // Compaction wrote it.
  bool is_clean() const {
    return is_log() && path_.find('-', path_.rfind('/')) != std::string::npos;
  }
  void Alter(uint64_t position, std::span<uint8_t> bytes) const {
    if (files_.mutant() == Mutant::kStaleAccepted && files_.in_recovery()) {
      std::vector<uint8_t> before(position);
      const auto read = inner_->Read(0, before);
      HideEpochs(bytes, read.ok() ? HideEpochs(before, 0) : 0);
    }
    if (passes_over() && is_clean()) SetTransactional(bytes, true);
    if (files_.mutant() == Mutant::kDamageServed && !files_.in_recovery()) HideDamage(bytes);
  }

  const FilePtr inner_;
  const std::string path_;
  MutantFileSystem& files_;
};

class MutantGroupSync final : public GroupSync {
 public:
  MutantGroupSync(GroupSync& inner, Mutant mutant) : inner_(inner), mutant_(mutant) {}

  void Add(Part part) override {
    if (mutant_ == Mutant::kAckBeforeSync && !part.files.empty()) {
      AnswerNow(part);
      inner_.Add(std::move(part));
    } else if (mutant_ == Mutant::kDeletionNotJournaled && part.files.empty()) {
      AnswerNow(part);
    } else if (mutant_ == Mutant::kMarkBeforeSync && !part.files.empty()) {
      AddMark(part, [this, part = std::move(part)](Result<void> journaled) mutable {
        if (!journaled.ok()) return part.done(std::move(journaled));
        inner_.Add(std::move(part));
      });
    } else {
      inner_.Add(std::move(part));
    }
  }
  bool TryWrite(UniqueFunction<std::optional<Part>()> write) override {
    if (mutant_ == Mutant::kMarkBeforeSync) return false;
    if (mutant_ != Mutant::kAckBeforeSync) return inner_.TryWrite(std::move(write));
    return inner_.TryWrite([write = std::move(write)]() mutable {
      auto part = write();
      if (part.has_value()) AnswerNow(*part);
      return part;
    });
  }
  void Forget(const TopicIdPartition& partition) override { inner_.Forget(partition); }

 private:
  static void AnswerNow(Part& part) {
    part.reply->Post("mutant.synced", [done = std::move(part.done)]() mutable { done({}); });
    part.done = [](Result<void>) {};
  }
  // A mark gets to the journal with the group after its own.
  void AddMark(const Part& of, UniqueFunction<void(Result<void>)> done) {
    Part mark;
    mark.partition = of.partition;
    mark.mark = of.mark;
    mark.reply = of.reply;
    mark.done = [this, partition = of.partition, reply = of.reply,
                 done = std::move(done)](Result<void> first) mutable {
      if (!first.ok()) return done(std::move(first));
      Part again;
      again.partition = partition;
      again.reply = reply;
      again.done = std::move(done);
      inner_.Add(std::move(again));
    };
    inner_.Add(std::move(mark));
  }

  GroupSync& inner_;
  const Mutant mutant_;
};

class MutantDirectory final : public LogDirectory {
 public:
  MutantDirectory(std::unique_ptr<LogDirectory> inner, Mutant mutant, PartitionAlias alias)
      : inner_(std::move(inner)),
        mutant_(mutant),
        alias_(std::move(alias)),
        sync_(inner_->group_sync(), mutant) {}

  DirectoryId id() const override { return inner_->id(); }
  const Options& options() const override { return inner_->options(); }
  Disk& disk() override { return inner_->disk(); }
  bool was_clean() const override { return inner_->was_clean(); }
  const std::vector<TopicIdPartition>& found() const override { return inner_->found(); }
  const std::vector<TopicIdPartition>& found_strays() const override {
    return inner_->found_strays();
  }
  std::vector<TopicIdPartition> marked() const override { return inner_->marked(); }
  int64_t stray_folders() const override { return inner_->stray_folders(); }
  std::optional<SyncedMark> MarkOf(const TopicIdPartition& partition) const override {
    if (mutant_ == Mutant::kCutBelowMark) return std::nullopt;
    auto mark = inner_->MarkOf(partition);
    if (mutant_ == Mutant::kMarksLost && mark.has_value() && mark->is_doubtful) {
      mark->is_doubtful = false;
      if (*mark == SyncedMark()) return std::nullopt;
    }
    return mark;
  }
  std::string PathOf(const TopicIdPartition& partition) const override {
    if (mutant_ == Mutant::kFilesReused) return inner_->PathOf(alias_(partition));
    return inner_->PathOf(partition);
  }
  std::optional<Error> failure() const override { return inner_->failure(); }
  void Fail(const Error& error) override { inner_->Fail(error); }
  void OnFailure(EventLoop& loop, UniqueFunction<void(const Error&)> observer) override {
    inner_->OnFailure(loop, std::move(observer));
  }
  Result<void> CheckWritable() const override { return inner_->CheckWritable(); }
  void NoteGrowth(uint64_t bytes) override { inner_->NoteGrowth(bytes); }
  DiskSpace space() const override { return inner_->space(); }
  uint64_t CheckpointBytes() const override { return inner_->CheckpointBytes(); }
  void CountUnreadLog(int change) override { inner_->CountUnreadLog(change); }
  uint64_t CountUnsynced(int64_t change) override { return inner_->CountUnsynced(change); }
  bool CountUnsyncedLog(int change) override { return inner_->CountUnsyncedLog(change); }
  GroupSync& group_sync() override { return sync_; }
  FileCache& file_cache() override { return inner_->file_cache(); }
  Compactor& compactor() override { return inner_->compactor(); }
  Result<void> SetAside(const TopicIdPartition& partition) override {
    return inner_->SetAside(partition);
  }
  void Discard(const TopicIdPartition& partition, EventLoop& reply,
               UniqueFunction<void(Result<void>)> done) override {
    inner_->Discard(partition, reply, std::move(done));
  }
  void HurryRemovals() override { inner_->HurryRemovals(); }
  Result<void> CloseCleanly() override { return inner_->CloseCleanly(); }

 private:
  const std::unique_ptr<LogDirectory> inner_;
  const Mutant mutant_;
  const PartitionAlias alias_;
  MutantGroupSync sync_;
};

}  // namespace

Result<FilePtr> MutantFileSystem::Open(const std::string& path, OpenMode mode) {
  ASSIGN_OR_RETURN(FilePtr file, inner_.Open(path, mode));
  return FilePtr(std::make_shared<MutantFile>(std::move(file), path, *this));
}

bool MutantFileSystem::SkipsSync(const std::string& path) const {
  switch (mutant_) {
    case Mutant::kServedUnsynced:
      return in_recovery();
    case Mutant::kCutNotSynced:
      return job_ == "log.cut";
    case Mutant::kCompactedNotSynced:
      return job_ == "log.compact" || job_ == "log.swap";
    case Mutant::kMarksNotSynced:
      return path.ends_with("synced-marks");
    case Mutant::kRenamedUnsynced:
      return path.ends_with(".tmp") || path.ends_with(".part");
    case Mutant::kMetadataNotSynced:
      return path.find("/metadata/log/") != std::string::npos;
    default:
      return false;
  }
}

Result<void> MutantFileSystem::Remove(const std::string& path) {
  if (mutant_ == Mutant::kFilesReused && job_ == "log_directory.remove") return {};
  return inner_.Remove(path);
}

Result<void> MutantFileSystem::SyncDirectory(const std::string& path) {
  const auto name = std::string_view(path).substr(path.rfind('/') + 1);
  if (mutant_ == Mutant::kVoteNameNotSynced && name == "metadata") return {};
  const bool of_partition = TopicIdPartition::Parse(name).has_value();
  if (of_partition && (mutant_ == Mutant::kFolderNotSynced || SkipsSync(path))) return {};
  return inner_.SyncDirectory(path);
}

Result<void> MutantFileSystem::SyncAll(std::span<const FilePtr> files,
                                       std::span<const std::string> folders) {
  std::vector<FilePtr> inner;
  for (const FilePtr& file : files) {
    const auto& mutant = static_cast<MutantFile&>(*file);
    if (!SkipsSync(mutant.path())) inner.push_back(mutant.inner());
  }
  Result<void> synced = inner_.SyncAll(inner, {});
  if (!synced.ok() && mutant_ == Mutant::kFailedSyncRepeated) synced = inner_.SyncAll(inner, {});
  for (const std::string& folder : folders) {
    if (synced.ok()) synced = SyncDirectory(folder);
  }
  return synced;
}

void MutantDisk::Submit(Lane lane, const char* name, Task job) {
  inner_.Submit(lane, name, [this, name, job = std::move(job)]() mutable {
    files_.set_job(name);
    job();
    job = nullptr;
    files_.set_job({});
  });
}

std::unique_ptr<LogDirectory> MutateDirectory(std::unique_ptr<LogDirectory> inner, Mutant mutant,
                                              PartitionAlias alias) {
  if (mutant == Mutant::kNone) return inner;
  return std::make_unique<MutantDirectory>(std::move(inner), mutant, std::move(alias));
}

}  // namespace gregor
