#include "controller/image_keeper.h"

#include <algorithm>
#include <utility>

#include "controller/snapshot_files.h"
#include "raft/core/mutant.h"

namespace gregor {
namespace {

constexpr size_t kSnapshotsKept = 2;
// A snapshot is due after so many records, too: their bytes are not known after a restart.
constexpr size_t kRecordBytesGuess = 100;

}  // namespace

ImageKeeper::ImageKeeper(Options options)
    : options_(std::move(options)),
      store_(std::move(options_.store)),
      snapshot_tried_at_(options_.loop->clock().Now()) {}

ImageKeeper::~ImageKeeper() { *alive_ = false; }

std::string ImageKeeper::PathOf(const SnapshotFile& file) const {
  return JoinPath(options_.snapshot_folder, file.name);
}

void ImageKeeper::Load(Fits fits, UniqueFunction<void(Result<ImagePtr>)> done) {
  struct Found {
    Result<std::vector<SnapshotFile>> snapshots;
    Result<ImagePtr> stored;
  };
  options_.disk->Submit(
      Lane::kRead, "image.load", *options_.loop,
      [files = &options_.disk->files(), folder = options_.snapshot_folder, store = store_] {
        return Found{CleanSnapshots(*files, folder),
                     store == nullptr ? Result<ImagePtr>(ImagePtr()) : store->Load()};
      },
      [this, alive = alive_, fits = std::move(fits), done = std::move(done)](Found found) mutable {
        if (!*alive) return;
        if (!found.snapshots.ok()) return done(std::move(found.snapshots).error());
        snapshots_ = *std::move(found.snapshots);
        std::string refused = found.stored.ok() ? "" : found.stored.error().message;
        if (found.stored.ok() && *found.stored != nullptr) {
          const auto fit = fits(PositionOf(**found.stored));
          if (!fit.ok()) return done(fit.error());
          if (*fit) {
            latest_ = durable_ = stored_ = *found.stored;
            stored_durable_end_ = latest_->version;
            if (!snapshots_.empty()) options_.on_snapshot(snapshots_.back());
            return done(*std::move(found.stored));
          }
          refused = "it does not fit the log";
        }
        const size_t newest = snapshots_.size();
        if (!found.stored.ok() && found.stored.error().reason == Reason::kDiskFull) {
          LOG(ERROR) << "The node goes on without an image store: " << refused;
          DropStore({});
          refused.clear();
        }
        if (refused.empty()) return LoadSnapshot(newest, std::move(fits), std::move(done));
        LOG_AT_LEVEL(found.stored.ok() ? google::GLOG_WARNING : google::GLOG_ERROR)
            << "The metadata image is built anew from snapshots and the log: " << refused;
        options_.disk->Submit(
            Lane::kRead, "image.reset", *options_.loop, [store = store_] { return store->Reset(); },
            [this, alive, newest, fits = std::move(fits),
             done = std::move(done)](Result<void> reset) mutable {
              if (!*alive) return;
              LOG_IF(ERROR, !reset.ok())
                  << "The node goes on without an image store: " << reset.error();
              if (!reset.ok()) DropStore({});
              LoadSnapshot(newest, std::move(fits), std::move(done));
            });
      });
}

// Tries the snapshots before `number`, newest first.
void ImageKeeper::LoadSnapshot(size_t number, Fits fits,
                               UniqueFunction<void(Result<ImagePtr>)> done) {
  if (number == 0) return done(ImagePtr());
  const SnapshotFile file = snapshots_[number - 1];
  options_.disk->Submit(
      Lane::kRead, "image.load_snapshot", *options_.loop,
      [files = &options_.disk->files(), path = PathOf(file)] {
        auto image = ReadSnapshot(*files, path);
        if (!image.ok()) SetAsideSnapshot(*files, path, image.error().message);
        return image;
      },
      [this, alive = alive_, number, file, fits = std::move(fits),
       done = std::move(done)](Result<ImagePtr> image) mutable {
        if (!*alive) return;
        if (image.ok()) {
          const auto fit = fits(PositionOf(**image));
          if (!fit.ok()) return done(fit.error());
          if (*fit) {
            latest_ = durable_ = *image;
            options_.on_snapshot(file);
            return done(*std::move(image));
          }
        }
        // Others may have come or gone meanwhile.
        std::erase_if(snapshots_, [&](const SnapshotFile& each) { return each.name == file.name; });
        LoadSnapshot(std::min(number - 1, snapshots_.size()), std::move(fits), std::move(done));
      });
}

void ImageKeeper::WhenIdle(Task task) {
  CHECK(!idle_);
  idle_ = std::move(task);
  RunIdle();
}

void ImageKeeper::RunIdle() {
  if (idle_ && !storing_ && !snapshotting_) std::exchange(idle_, {})();
}

void ImageKeeper::LoadAgain(Offset right_until, Fits fits,
                            UniqueFunction<void(Result<ImagePtr>)> done) {
  suspended_ = true;
  if (reloading_) {
    reload_again_ = [this, right_until, fits = std::move(fits), done = std::move(done)]() mutable {
      LoadAgain(right_until, std::move(fits), std::move(done));
    };
    return;
  }
  reloading_ = true;
  auto loaded = [this, done = std::move(done)](Result<ImagePtr> image) mutable {
    reloading_ = false;
    if (reload_again_) return std::exchange(reload_again_, {})();
    done(std::move(image));
  };
  WhenIdle([this, right_until, fits = std::move(fits), loaded = std::move(loaded)]() mutable {
    latest_ = waiting_ = durable_ = stored_ = nullptr;
    stored_durable_end_ = Offset{0};
    trim_waits_ = false;
    while (!snapshots_.empty() && snapshots_.back().end_offset > right_until) {
      suspects_.push_back(std::move(snapshots_.back()));
      snapshots_.pop_back();
    }
    if (store_ == nullptr)
      return LoadSnapshot(snapshots_.size(), std::move(fits), std::move(loaded));
    options_.disk->Submit(
        Lane::kBackground, "image.reset", *options_.loop,
        [store = store_] { return store->Reset(); },
        [this, alive = alive_, fits = std::move(fits),
         loaded = std::move(loaded)](Result<void> reset) mutable {
          if (!*alive) return;
          LOG_IF(ERROR, !reset.ok())
              << "The node goes on without an image store: " << reset.error();
          if (!reset.ok()) DropStore({});
          LoadSnapshot(snapshots_.size(), std::move(fits), std::move(loaded));
        });
  });
}

void ImageKeeper::Resume(bool is_healed) {
  suspended_ = false;
  std::vector<std::string> paths;
  for (const SnapshotFile& file : std::exchange(suspects_, {})) {
    const auto at = std::lower_bound(
        snapshots_.begin(), snapshots_.end(), file.end_offset,
        [](const SnapshotFile& each, Offset end) { return each.end_offset < end; });
    const bool was_replaced = at != snapshots_.end() && at->end_offset == file.end_offset;
    if (was_replaced && at->name == file.name) continue;
    if (is_healed || was_replaced) {
      paths.push_back(PathOf(file));
    } else {
      snapshots_.insert(at, file);
    }
  }
  SetAsideSnapshots(std::move(paths));
}

void ImageKeeper::SetAsideSnapshots(std::vector<std::string> paths) {
  if (paths.empty()) return;
  options_.disk->Submit(Lane::kBackground, "image.set_aside",
                        [files = &options_.disk->files(), paths = std::move(paths)] {
                          for (const std::string& path : paths)
                            SetAsideSnapshot(*files, path, "it may be of a wrong state");
                        });
}

void ImageKeeper::WriteSoon() {
  if (snapshotting_ || closing_ || suspended_ || durable_ == nullptr) return;
  if (snapshots_.empty() || snapshots_.back().end_offset < durable_->version) WriteSnapshotNow();
}

void ImageKeeper::OnImage(ImagePtr image, size_t record_bytes) {
  if (suspended_ || reloading_) return;
  latest_ = std::move(image);
  bytes_since_snapshot_ += record_bytes;
  FollowDurable();
  ScheduleStore();
  if (SnapshotIsDue()) WriteSnapshotNow();
}

// What others have committed may be ahead of this node's own disk.
void ImageKeeper::FollowDurable() {
  if (waiting_ == nullptr) waiting_ = latest_;
  const Offset end = options_.durable_end();
  if (waiting_->version > end) return;
  durable_ = latest_->version <= end ? latest_ : waiting_;
  waiting_ = durable_ == latest_ ? nullptr : latest_;
}

// Closing it may take a while.
void ImageKeeper::DropStore(Task done) {
  options_.disk->Submit(
      Lane::kBackground, "image.close_store", *options_.loop,
      [store = std::exchange(store_, nullptr)]() mutable {
        store.reset();
        return true;
      },
      [done = std::move(done)](bool) mutable {
        if (done) done();
      });
}

void ImageKeeper::ScheduleStore() {
  if (store_ == nullptr || store_scheduled_ || storing_ || closing_ || suspended_) return;
  if (latest_ == nullptr || (latest_ == stored_ && !StoreLags())) return;
  store_scheduled_ = true;
  options_.loop->After(options_.store_delay, "image.store", [this, alive = alive_] {
    if (!*alive) return;
    store_scheduled_ = false;
    if (storing_ || closing_ || suspended_ || reloading_) return;
    FollowDurable();
    if (durable_ == stored_ && !StoreLags()) return ScheduleStore();
    WriteStore({});
  });
}

// Whether a crash would leave it older than the newest snapshot. The log goes up to the one before,
// and must not go before the store has that.
bool ImageKeeper::StoreLags() const {
  if (snapshots_.empty() || durable_ == nullptr) return false;
  return stored_durable_end_ < std::min(snapshots_.back().end_offset, durable_->version);
}

void ImageKeeper::WriteStore(Task done) {
  storing_ = true;
  options_.disk->Submit(
      Lane::kBackground, "image.store", *options_.loop,
      [store = store_, before = stored_, after = durable_, durable = StoreLags()] {
        return store->Write(DiffRows(before.get(), *after), PositionOf(*after), durable);
      },
      [this, alive = alive_, written = durable_,
       done = std::move(done)](const Result<Offset>& stored_end) mutable {
        if (!*alive) return;
        storing_ = false;
        if (stored_end.ok()) {
          stored_ = written;
          stored_durable_end_ = *stored_end;
        } else {
          LOG(ERROR) << "The node goes on without an image store: " << stored_end.error();
          DropStore({});
        }
        if (trim_waits_) Trim();
        ScheduleStore();
        if (done) done();
        if (closed_) return Close(std::exchange(closed_, {}));
        RunIdle();
      });
}

bool ImageKeeper::SnapshotIsDue() const {
  if (snapshotting_ || closing_ || suspended_ || durable_ == nullptr) return false;
  // One that was fetched is ahead until its image is here.
  if (!snapshots_.empty() && snapshots_.back().end_offset > durable_->version) return false;
  if (bytes_since_snapshot_ >= options_.snapshot_record_bytes) return true;
  const Duration since = options_.loop->clock().Now() - snapshot_tried_at_;
  if (since >= options_.snapshot_interval && durable_->version > snapshot_tried_) return true;
  const Offset last = snapshots_.empty() ? Offset{0} : snapshots_.back().end_offset;
  const auto records = static_cast<size_t>(
      std::max<int64_t>(0, durable_->version - std::max(last, snapshot_tried_)));
  return records >= std::max<size_t>(options_.snapshot_record_bytes / kRecordBytesGuess, 1);
}

void ImageKeeper::WriteSnapshotNow() {
  snapshotting_ = true;
  bytes_since_snapshot_ = 0;
  snapshot_tried_ = durable_->version;
  snapshot_tried_at_ = options_.loop->clock().Now();
  ImagePtr image = durable_;
  if (raft::IsMutant(15)) {
    auto misplaced = std::make_shared<MetadataImage>(*image);
    misplaced->version = misplaced->version - 1;
    image = std::move(misplaced);
  }
  if (raft::IsMutant(16)) options_.on_trimmable(image->version);
  const ImagePosition position = PositionOf(*image);
  SnapshotFile file{SnapshotFileName(position), position.version, position.term, 0};
  const std::string older = snapshots_.empty() ? std::string() : PathOf(snapshots_.back());
  struct Outcome {
    Result<void> written;
    bool older_is_whole = false;
    uint64_t size_bytes = 0;
    uint64_t state_hash = 0;
  };
  options_.disk->Submit(
      Lane::kBackground, "image.snapshot", *options_.loop,
      [files = &options_.disk->files(), path = PathOf(file), older, image] {
        Outcome outcome{files->MakeDirectory(ParentPath(path))};
        // What is damaged in memory must not be kept.
        outcome.state_hash = StateHashOf(*image);
        if (outcome.state_hash != image->state_hash)
          outcome.written = Error(Reason::kStorageError, "the image is damaged");
        if (outcome.written.ok()) outcome.written = WriteSnapshot(*files, path, *image);
        if (outcome.written.ok()) outcome.size_bytes = SnapshotSize(*files, path);
        if (!outcome.written.ok() || older.empty()) return outcome;
        // The log goes only where the older snapshot can stand in for it.
        const auto read = ReadSnapshot(*files, older);
        outcome.older_is_whole = read.ok();
        if (!read.ok()) SetAsideSnapshot(*files, older, read.error().message);
        return outcome;
      },
      [this, alive = alive_, file, older, image](const Outcome& outcome) mutable {
        if (!*alive) return;
        snapshotting_ = false;
        file.size_bytes = outcome.size_bytes;
        if (outcome.written.ok() && !outcome.older_is_whole)
          std::erase_if(snapshots_, [&](const auto& each) { return PathOf(each) == older; });
        if (outcome.written.ok()) OnSnapshot(file);
        LOG_IF(ERROR, !outcome.written.ok())
            << "The metadata snapshot could not be written, so the log is kept: "
            << outcome.written.error();
        if (outcome.state_hash != image->state_hash) options_.on_damaged(image, outcome.state_hash);
        RunIdle();
      });
}

void ImageKeeper::OnSnapshot(const SnapshotFile& written) {
  if (checked_ == written.name) checked_.clear();
  std::erase_if(snapshots_, [&](const SnapshotFile& each) { return each.name == written.name; });
  // A newer one may have been fetched while this one was written.
  const auto place =
      std::upper_bound(snapshots_.begin(), snapshots_.end(), written.end_offset,
                       [](Offset end, const SnapshotFile& each) { return end < each.end_offset; });
  const bool is_newest = place == snapshots_.end();
  snapshots_.insert(place, written);
  if (is_newest) options_.on_snapshot(written);
  Trim();
  ScheduleStore();
  while (snapshots_.size() > kSnapshotsKept) {
    options_.disk->Submit(Lane::kBackground, "image.remove_snapshot",
                          [files = &options_.disk->files(), path = PathOf(snapshots_.front())] {
                            RemoveSnapshot(*files, path);
                          });
    snapshots_.erase(snapshots_.begin());
  }
}

// The log has to reach back to the snapshot before the newest, and to what the store has.
void ImageKeeper::Trim() {
  trim_waits_ = false;
  if (snapshots_.size() < kSnapshotsKept) return;
  const Offset end = snapshots_[snapshots_.size() - kSnapshotsKept].end_offset;
  trim_waits_ = store_ != nullptr && stored_durable_end_ < end && !raft::IsMutant(16, 'c');
  if (!trim_waits_) options_.on_trimmable(end);
}

void ImageKeeper::Keep(DecodedSnapshot snapshot, UniqueFunction<void(Result<void>)> done) {
  const ImagePosition position = PositionOf(*snapshot.image);
  const SnapshotFile file{SnapshotFileName(position), position.version, position.term, 0};
  options_.disk->Submit(
      Lane::kBackground, "image.keep", *options_.loop,
      [files = &options_.disk->files(), path = PathOf(file), bytes = std::move(snapshot.bytes)] {
        auto made = files->MakeDirectory(ParentPath(path));
        return made.ok() ? WriteSnapshotBytes(*files, path, bytes) : made;
      },
      [this, alive = alive_, file, done = std::move(done)](Result<void> written) mutable {
        if (!*alive) return;
        if (!written.ok()) return done(std::move(written));
        std::erase_if(snapshots_,
                      [&](const SnapshotFile& each) { return each.end_offset >= file.end_offset; });
        checked_.clear();
        snapshots_.push_back(file);
        done({});
      });
}

void ImageKeeper::Replace(DecodedSnapshot snapshot, UniqueFunction<void(Result<void>)> done) {
  const ImagePosition position = PositionOf(*snapshot.image);
  const std::string name = SnapshotFileName(position);
  std::vector<std::string> others;
  for (const auto* const files : {&snapshots_, &suspects_}) {
    for (const SnapshotFile& file : *files) {
      if (file.name != name) others.push_back(PathOf(file));
    }
  }
  Keep(std::move(snapshot), [this, alive = alive_, others = std::move(others),
                             done = std::move(done)](Result<void> kept) mutable {
    if (!*alive) return;
    if (!kept.ok()) return done(std::move(kept));
    snapshots_.erase(snapshots_.begin(), snapshots_.end() - 1);
    suspects_.clear();
    options_.on_snapshot(snapshots_.back());
    SetAsideSnapshots(std::move(others));
    done({});
  });
}

void ImageKeeper::Open(const std::optional<ImagePosition>& preferred,
                       UniqueFunction<void(Result<OpenSnapshot>)> done) {
  if (snapshots_.empty())
    return done(Error(Reason::kLeaderNotAvailable, "this node has no metadata snapshot"));
  SnapshotFile found = snapshots_.back();
  for (const SnapshotFile& each : snapshots_) {
    const bool is_preferred = preferred.has_value() && each.end_offset == preferred->version &&
                              each.term == preferred->term;
    if (is_preferred) found = each;
  }
  struct Outcome {
    Result<void> checked;
    Result<OpenSnapshot> opened;
  };
  const auto open = [](FileSystem& files, const std::string& path,
                       SnapshotFile file) -> Result<OpenSnapshot> {
    ASSIGN_OR_RETURN(FilePtr opened, files.Open(path, OpenMode::kRead));
    ASSIGN_OR_RETURN(file.size_bytes, opened->Size());
    return OpenSnapshot{std::move(file), std::move(opened)};
  };
  options_.disk->Submit(
      Lane::kBackground, "image.open_snapshot", *options_.loop,
      [files = &options_.disk->files(), path = PathOf(found), found, open,
       is_checked = found.name == checked_] {
        // What another node builds on has to be whole; it does not change any more.
        const auto checked = is_checked ? Result<void>() : CheckSnapshot(*files, path);
        return Outcome{checked, checked.ok() ? open(*files, path, found)
                                             : Result<OpenSnapshot>(checked.error())};
      },
      [this, alive = alive_, name = found.name, done = std::move(done)](Outcome outcome) mutable {
        if (!*alive) return;
        if (outcome.opened.ok()) checked_ = outcome.opened->snapshot.name;
        if (!outcome.checked.ok()) OnDamaged(name, outcome.checked.error());
        done(std::move(outcome.opened));
      });
}

void ImageKeeper::OnDamaged(const std::string& name, const Error& why) {
  const auto damaged = std::find_if(snapshots_.begin(), snapshots_.end(),
                                    [&](const SnapshotFile& each) { return each.name == name; });
  if (damaged == snapshots_.end()) return;  // newer ones have taken its place meanwhile
  const std::string path = PathOf(*damaged);
  snapshots_.erase(damaged);
  options_.disk->Submit(
      Lane::kBackground, "image.set_aside", *options_.loop,
      [files = &options_.disk->files(), path, why = why.message] {
        SetAsideSnapshot(*files, path, why);
        return Result<void>();
      },
      [this, alive = alive_](const Result<void>&) {
        // The new one may have the name of the old one.
        if (*alive) WriteSoon();
      });
}

void ImageKeeper::Close(Task done) {
  closing_ = true;
  if (storing_) {
    closed_ = std::move(done);  // when that has ended
    return;
  }
  if (store_ == nullptr) return done();
  // A store that was never written is not begun now: the log has everything.
  if (latest_ != nullptr) FollowDurable();
  if (durable_ != stored_ && stored_ != nullptr)
    return WriteStore([this, done = std::move(done)]() mutable { Close(std::move(done)); });
  DropStore(std::move(done));
}

}  // namespace gregor
