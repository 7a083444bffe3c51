// LogImpl: writing and syncing what was appended.
#include <algorithm>
#include <iterator>
#include <utility>

#include "storage/file_cache.h"
#include "storage/group_sync.h"
#include "storage/log_files.h"
#include "storage/log_impl.h"

namespace gregor {
namespace {

constexpr Duration kDiskFullRetry = std::chrono::seconds(1);
// So much is written and synced in one job, if the disk has nothing else to sync: more takes so
// long that the next write had better begin meanwhile.
constexpr size_t kOneJobBytesMax = 256u << 10;

// What only saves time may be missing where the disk is full: the batches may still fit.
Result<void> UnlessFull(Result<void> result) {
  if (!result.ok() && !IsShortage(result.error())) return result;
  return {};
}

}  // namespace

void LogImpl::StartWrite() {
  const auto chunks = std::make_shared<const Chunks>(std::exchange(queue_, {}));
  writing_bytes_ = std::exchange(queued_bytes_, 0);
  writing_ = true;
  const SyncedMark mark = MarkNow();
  const bool is_due = options_.config.durability == Durability::kSynced || sync_wanted_;
  const bool in_one_job = is_due && !syncing_ && IsPlain(*chunks);
  if (!in_one_job || !WriteAndSync(chunks, mark)) SubmitWrite(chunks, mark);
}

// Whether others that want to be synced need hardly wait for it.
bool LogImpl::IsPlain(const Chunks& chunks) const {
  if (chunks.size() != 1 || writing_bytes_ > kOneJobBytesMax) return false;
  const Chunk& chunk = chunks.front();
  return !chunk.trim.has_value() && !chunk.makes_folder && !chunk.syncs_names;
}

// False: other logs are being synced, so it has to be written first, and to wait for its turn.
bool LogImpl::WriteAndSync(const std::shared_ptr<const Chunks>& chunks, const SyncedMark& mark) {
  const auto touched = std::make_shared<Touched>(dirty_);
  auto done = [this, alive = alive_, mark](Result<void> result) {
    if (!*alive) return;
    NoteWritten(mark);
    OnSynced(mark, std::move(result));
  };
  auto failed = [this, alive = alive_, chunks, mark, touched](const Error& error) {
    if (!*alive) return;
    syncing_ = false;
    sync_wanted_ = true;
    dirty_ = std::move(*touched);
    // What was written before does not wait for it.
    if (IsShortage(error) && SyncIsDue()) StartSync();
    OnNotWritten(chunks, mark, error);
  };
  const bool begun = directory_.group_sync().TryWrite(
      [&directory = directory_, &loop = loop_, id = options_.id, chunks, mark, touched,
       done = std::move(done),
       failed = std::move(failed)]() mutable -> std::optional<GroupSync::Part> {
        Result<Touched> written = WriteChunks(directory, id, *chunks);
        if (!written.ok()) {
          loop.Post("log.write", [failed = std::move(failed), error = written.error()]() mutable {
            failed(error);
          });
          return std::nullopt;
        }
        AddTouched(*touched, *std::move(written));
        GroupSync::Part part;
        part.partition = id;
        part.files = std::move(touched->files);
        part.folders = std::move(touched->folders);
        part.mark = mark;
        part.reply = &loop;
        part.done = std::move(done);
        return part;
      });
  if (!begun) return false;
  dirty_ = {};
  syncing_ = true;
  SetUnsynced(0);
  sync_wanted_ = false;
  return true;
}

void LogImpl::SubmitWrite(std::shared_ptr<const Chunks> chunks, SyncedMark mark) {
  directory_.disk().Submit(
      Lane::kWrite, "log.write", loop_,
      [&directory = directory_, id = options_.id, chunks] {
        return WriteChunks(directory, id, *chunks);
      },
      [this, alive = alive_, chunks, mark](Result<Touched> touched) {
        if (!*alive) return;
        if (!touched.ok()) return OnNotWritten(chunks, mark, touched.error());
        OnWritten(mark, *std::move(touched));
      });
}

void LogImpl::OnNotWritten(std::shared_ptr<const Chunks> chunks, SyncedMark mark,
                           const Error& error) {
  if (IsShortage(error)) return OnDiskFull(std::move(chunks), mark, error);
  writing_ = false;
  Fail(error);
}

// The batches stay where they are, and are written once there is space: nothing that was taken is
// given up.
void LogImpl::OnDiskFull(std::shared_ptr<const Chunks> chunks, SyncedMark mark,
                         const Error& error) {
  LOG_IF(WARNING, disk_full_ == nullptr)
      << Folder() << ": " << error << "; writes wait for it to pass";
  disk_full_ = std::make_unique<Error>(error);
  if (closing_) {
    // Nobody was promised these batches, and a stop does not wait for space.
    writing_ = false;
    writing_bytes_ = 0;
    failure_ = std::make_unique<Error>(error);
    // What was written before may have been: it is synced first.
    if (!syncing_ && SyncIsDue()) StartSync();
    return GiveUp();
  }
  loop_.After(kDiskFullRetry, "log.write_again", [this, alive = alive_, chunks, mark] {
    if (*alive) SubmitWrite(chunks, mark);
  });
}

Result<LogImpl::Touched> LogImpl::WriteChunks(LogDirectory& directory, const TopicIdPartition& id,
                                              const Chunks& chunks) {
  FileSystem& files = directory.disk().files();
  Touched touched;
  if (auto failure = directory.failure(); failure.has_value()) return *std::move(failure);
  for (const Chunk& chunk : chunks) {
    const std::string path = SegmentPath(directory, id, chunk.segment);
    if (chunk.makes_folder) {
      RETURN_IF_ERROR(files.AddDirectory(directory.PathOf(id)));
      touched.folders.push_back(directory.options().path);
    }
    if (chunk.syncs_names) RETURN_IF_ERROR(files.SyncDirectory(directory.PathOf(id)));
    if (chunk.is_new) {
      directory.file_cache().Forget(path);  // of that name before; a reader may have opened it
      touched.folders.push_back(directory.PathOf(id));
    }
    ASSIGN_OR_RETURN(FilePtr file, directory.file_cache().Get(path, chunk.is_new));
    touched.files.push_back(file);
    if (chunk.trim.has_value()) {
      RETURN_IF_ERROR(CompleteSegment(directory, id, chunk, *file, touched));
      continue;
    }
    if (chunk.allocate_to > 0) RETURN_IF_ERROR(UnlessFull(file->Allocate(chunk.allocate_to)));
    RETURN_IF_ERROR(file->Write(chunk.position, chunk.bytes));
  }
  return touched;
}

Result<void> LogImpl::CompleteSegment(LogDirectory& directory, const TopicIdPartition& id,
                                      const Chunk& chunk, File& file, Touched& touched) {
  FileSystem& files = directory.disk().files();
  RETURN_IF_ERROR(file.Truncate(*chunk.trim));
  const Segment complete{.name = chunk.segment, .size = *chunk.trim, .index = chunk.index};
  RETURN_IF_ERROR(UnlessFull(WriteIndexFile(files, directory.PathOf(id), complete)));
  if (chunk.producers.empty()) return {};
  const std::string path = SegmentPath(directory, id, {chunk.next_base, 0}, kProducersSuffix);
  ASSIGN_OR_RETURN(FilePtr producers, files.Open(path, OpenMode::kCreate));
  RETURN_IF_ERROR(producers->Truncate(0));
  // Not left out on a full disk: once the segments before it are deleted nothing else knows.
  RETURN_IF_ERROR(producers->Write(0, Slice::Copy(chunk.producers)));
  touched.files.push_back(std::move(producers));
  touched.folders.push_back(directory.PathOf(id));
  return {};
}

void LogImpl::AddTouched(Touched& all, Touched more) {
  for (FilePtr& file : more.files) {
    if (std::find(all.files.begin(), all.files.end(), file) == all.files.end())
      all.files.push_back(std::move(file));
  }
  std::move(more.folders.begin(), more.folders.end(), std::back_inserter(all.folders));
}

void LogImpl::NoteWritten(const SyncedMark& mark) {
  writing_ = false;
  writing_bytes_ = 0;
  disk_full_.reset();
  ends_.written_end = mark.end_offset;
  // Indexes of segments that are complete now are read back when they are needed.
  for (size_t i = segments_.size(); i-- > 0 && segments_[i].base() >= written_mark_.segment_base;) {
    if (segments_[i].base() < mark.segment_base) segments_[i].index = nullptr;
  }
  written_mark_ = mark;
}

void LogImpl::OnWritten(const SyncedMark& mark, Touched touched) {
  SetUnsynced(unsynced_bytes_ + writing_bytes_);
  AddTouched(dirty_, std::move(touched));
  NoteWritten(mark);
  // The next write begins before the sync of this one: the two lanes work beside each other.
  if (!queue_.empty()) StartWrite();
  if (!syncing_ && SyncIsDue()) StartSync();
  if (!syncing_) SetFlushTimer();
  if (options_.on_progress) options_.on_progress();
  RunQuietWork();
}

void LogImpl::SetUnsynced(uint64_t bytes) {
  directory_.CountUnsynced(static_cast<int64_t>(bytes) - static_cast<int64_t>(unsynced_bytes_));
  const bool had_some = std::exchange(unsynced_bytes_, bytes) > 0;
  if (had_some != (bytes > 0)) directory_.CountUnsyncedLog(bytes > 0 ? 1 : -1);
}

bool LogImpl::SyncIsDue() const {
  const bool nothing_new = ends_.written_end == ends_.synced_end &&
                           written_mark_.segment_base == synced_mark_.segment_base;
  if (nothing_new) return false;
  const LogConfig& config = options_.config;
  if (config.durability == Durability::kSynced || sync_wanted_ || closing_ || !quiet_work_.empty())
    return true;
  return ends_.written_end - ends_.synced_end >= config.flush_messages ||
         (unsynced_bytes_ > 0 &&
          (directory_.CountUnsynced(0) >= directory_.options().flush_bytes_max ||
           directory_.CountUnsyncedLog(0)));
}

// With durability=replicated: what was written does not stay unsynced for longer than this.
void LogImpl::SetFlushTimer() {
  if (flush_timer_set_ || ends_.written_end == ends_.synced_end) return;
  Duration wait = directory_.options().flush_interval;
  if (options_.config.flush_ms != LogConfig::kNever)
    wait = std::min(wait, DurationOfMs(options_.config.flush_ms));
  flush_timer_set_ = true;
  loop_.After(wait, "log.flush", [this, alive = alive_] {
    if (!*alive) return;
    flush_timer_set_ = false;
    RequestSync();
  });
}

void LogImpl::RequestSync() {
  const bool all_is_synced =
      ends_.synced_end == ends_.log_end &&
      (segments_.empty() || synced_mark_.segment_base == segments_.back().base());
  if (all_is_synced) return;
  sync_wanted_ = true;
  if (!syncing_ && SyncIsDue()) StartSync();
}

void LogImpl::StartSync() {
  syncing_ = true;
  SetUnsynced(0);
  sync_wanted_ = sync_wanted_ && (writing_ || !queue_.empty());
  GroupSync::Part part;
  part.partition = options_.id;
  part.files = std::exchange(dirty_.files, {});
  part.folders = std::exchange(dirty_.folders, {});
  part.mark = written_mark_;
  part.mark->log_start = ends_.log_start;
  part.reply = &loop_;
  part.done = [this, alive = alive_, mark = *part.mark](Result<void> result) {
    if (*alive) OnSynced(mark, std::move(result));
  };
  directory_.group_sync().Add(std::move(part));
}

void LogImpl::OnSynced(const SyncedMark& mark, Result<void> result) {
  syncing_ = false;
  if (!result.ok()) return Fail(result.error());
  const bool rolled = synced_mark_.segment_base != mark.segment_base;
  ends_.synced_end = mark.end_offset;
  synced_mark_ = mark;
  has_folder_ = true;
  if (!writing_ && !queue_.empty()) StartWrite();  // was written in one job with the sync
  if (!syncing_ && SyncIsDue()) StartSync();
  if (!syncing_) SetFlushTimer();
  RunDeletions();
  MaybeCheckpoint();
  if (options_.on_progress) options_.on_progress();
  if (rolled) ConsiderCompaction();
  RunQuietWork();
}

void LogImpl::Fail(const Error& error) {
  if (failure_ != nullptr) return RunQuietWork();
  failure_ = std::make_unique<Error>(Lasting(error));
  directory_.Fail(error);
  GiveUp();
}

// What waits for something that will not happen is told so.
void LogImpl::GiveUp() {
  queue_.clear();
  queued_bytes_ = 0;
  EndCompaction(std::nullopt);
  for (Deletion& each : std::exchange(deletions_, {})) each.done(*failure_);
  if (options_.on_progress) options_.on_progress();
  RunQuietWork();
}

}  // namespace gregor
