#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <rocksdb/options.h>
#include <rocksdb/table.h>
#include <rocksdb/write_batch.h>

#include <cstdarg>
#include <cstdio>
#include <utility>

#include "controller/image/image_store.h"

namespace gregor {
namespace {

// In front of all rows: a StoredPosition.
const std::string kPositionKey(1, '\0');
constexpr char kDamagedSuffix[] = ".damaged";
// Beside the folder while it is opened and read.
constexpr char kOpeningSuffix[] = ".opening";
// RocksDB's name for its write-ahead logs.
constexpr char kWalSuffix[] = ".log";
// What is written since the last flush is lost with the process: so much has to be replayed of the
// metadata log then. Both take well under a second.
constexpr size_t kUnflushedBytesMax = 1 << 20;
constexpr int64_t kUnflushedRecordsMax = 50'000;

// RocksDB's own messages: warnings go to the log, the rest nowhere.
class QuietLogger final : public rocksdb::Logger {
 public:
  QuietLogger() : Logger(rocksdb::InfoLogLevel::WARN_LEVEL) {}
  using rocksdb::Logger::Logv;
  void Logv(const char* format, va_list arguments) override {
    char message[512];
    std::vsnprintf(message, sizeof message, format, arguments);
    LOG(WARNING) << "RocksDB: " << message;
  }
};

// A few megabytes, written seldom, read once: small buffers, no cache, no files of its own beside
// those that it needs. One column family, so that a flush is of whole writes. Closing flushes.
rocksdb::Options MakeOptions(bool may_be_new) {
  rocksdb::Options options;
  options.info_log = std::make_shared<QuietLogger>();
  options.create_if_missing = may_be_new;
  options.write_buffer_size = 1 << 20;
  options.max_write_buffer_number = 2;
  options.avoid_flush_during_shutdown = false;
  options.max_open_files = 64;
  options.max_file_opening_threads = 1;
  options.max_background_jobs = 2;
  options.target_file_size_base = 8 << 20;
  options.stats_dump_period_sec = 0;
  options.stats_persist_period_sec = 0;
  options.max_manifest_file_size = 1 << 20;
  options.manifest_preallocation_size = 64 << 10;
  options.skip_stats_update_on_db_open = true;
  options.compression = rocksdb::kNoCompression;
  options.max_bgerror_resume_count = 0;
  options.memtable_protection_bytes_per_key = 8;
  options.paranoid_file_checks = true;
  options.avoid_unnecessary_blocking_io = true;
  rocksdb::BlockBasedTableOptions table;
  table.no_block_cache = true;
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  return options;
}

class RocksDbStore final : public ImageStore {
 public:
  RocksDbStore(FileSystem& files, std::string path) : files_(files), path_(std::move(path)) {}

  Result<ImagePtr> Load() override {
    ASSIGN_OR_RETURN(const bool exists, files_.Exists(path_));
    if (!exists) {
      RETURN_IF_ERROR(UnmarkOpening());  // of one that was set aside
      return ImagePtr();
    }
    ASSIGN_OR_RETURN(const bool was_opening, files_.Exists(opening_));
    if (was_opening) return Damaged("the process ended last time while it was being opened");
    RETURN_IF_ERROR(MarkOpening());
    auto image = OpenAndRead();
    RETURN_IF_ERROR(UnmarkOpening());
    return image;
  }

  Result<Offset> Write(const std::vector<RowChange>& changes, const ImagePosition& position,
                       bool durable) override {
    RETURN_IF_ERROR(Open(/*may_be_new=*/true));
    int64_t row_count = row_count_;
    rocksdb::WriteBatch batch(0, 0, 8, 0);
    for (const RowChange& change : changes) {
      RETURN_IF_ERROR(Check(change.record.has_value() ? batch.Put(change.key, *change.record)
                                                      : batch.Delete(change.key)));
      row_count += (change.record.has_value() ? 1 : 0) - (change.replaces ? 1 : 0);
    }
    pb::StoredPosition stored;
    stored.set_end_offset(position.version.value);
    stored.set_term(position.term.value);
    stored.set_last_timestamp_ms(position.timestamp.value);
    stored.set_row_count(row_count);
    if (position.state_hash.has_value()) stored.set_state_hash(*position.state_hash);
    RETURN_IF_ERROR(Check(batch.Put(kPositionKey, stored.SerializeAsString())));
    // No log of RocksDB's own: the metadata log has it all, and a log is one more file that can be
    // damaged.
    rocksdb::WriteOptions write;
    write.disableWAL = true;
    RETURN_IF_ERROR(Check(db_->Write(write, &batch)));
    row_count_ = row_count;
    unflushed_bytes_ += batch.GetDataSize();
    if (durable || unflushed_bytes_ >= kUnflushedBytesMax ||
        position.version - flushed_end_ >= kUnflushedRecordsMax)
      RETURN_IF_ERROR(Flush(position.version));
    return flushed_end_;
  }

  Result<void> Reset() override {
    db_.reset();
    row_count_ = 0;
    unflushed_bytes_ = 0;
    flushed_end_ = Offset{0};
    ASSIGN_OR_RETURN(const bool exists, files_.Exists(path_));
    if (exists) {
      // One is enough to look at.
      RETURN_IF_ERROR(RemoveTree(files_, path_ + kDamagedSuffix));
      RETURN_IF_ERROR(files_.Rename(path_, path_ + kDamagedSuffix));
      RETURN_IF_ERROR(files_.SyncDirectory(ParentPath(path_)));
    }
    return UnmarkOpening();
  }

 private:
  Error Damaged(const std::string& what) const {
    return Error(Reason::kStorageError, "image store " + path_ + ": " + what).With("path", path_);
  }
  Result<void> Check(const rocksdb::Status& status) const {
    if (status.ok()) return {};
    Error error = Damaged(status.ToString());
    if (status.IsNoSpace()) error.reason = Reason::kDiskFull;
    return error;
  }

  Result<void> Open(bool may_be_new) {
    if (db_ != nullptr) return {};
    RETURN_IF_ERROR(files_.MakeDirectory(path_));
    rocksdb::DB* db = nullptr;
    RETURN_IF_ERROR(Check(rocksdb::DB::Open(MakeOptions(may_be_new), path_, &db)));
    db_.reset(db);
    return {};
  }

  // Damage can end the process inside of RocksDB, which checks itself by assertions. Whoever finds
  // the mark does not open the folder again: the next start would end in the same way.
  Result<void> MarkOpening() {
    RETURN_IF_ERROR(files_.Open(opening_, OpenMode::kCreate));
    return files_.SyncDirectory(ParentPath(opening_));
  }
  Result<void> UnmarkOpening() {
    ASSIGN_OR_RETURN(const bool exists, files_.Exists(opening_));
    if (!exists) return {};
    RETURN_IF_ERROR(files_.Remove(opening_));
    return files_.SyncDirectory(ParentPath(opening_));
  }

  // Nothing is written to them (see Write()), so what one has is damage, or an earlier release's.
  // RocksDB does not take every damage of one well; and without them it has what was flushed, which
  // is of whole writes.
  Result<void> RemoveWals() {
    ASSIGN_OR_RETURN(const auto entries, files_.List(path_));
    for (const DirectoryEntry& entry : entries) {
      if (entry.name.ends_with(kWalSuffix))
        RETURN_IF_ERROR(files_.Remove(JoinPath(path_, entry.name)));
    }
    return {};
  }

  Result<ImagePtr> OpenAndRead() {
    RETURN_IF_ERROR(RemoveWals());
    RETURN_IF_ERROR(Open(/*may_be_new=*/false));
    rocksdb::ReadOptions read;
    read.fill_cache = false;
    read.verify_checksums = true;
    const std::unique_ptr<rocksdb::Iterator> rows(db_->NewIterator(read));
    rows->SeekToFirst();
    if (!rows->Valid()) {
      RETURN_IF_ERROR(Check(rows->status()));
      return ImagePtr();  // nothing was written before the process ended
    }
    ASSIGN_OR_RETURN(const ImagePosition position, ReadPosition(*rows));
    ImageLoader loader;
    for (rows->Next(); rows->Valid(); rows->Next()) {
      const rocksdb::Slice key = rows->key(), record = rows->value();
      RETURN_IF_ERROR(loader.Add({key.data(), key.size()}, {record.data(), record.size()}));
    }
    RETURN_IF_ERROR(Check(rows->status()));
    if (loader.row_count() != row_count_) {
      return Damaged("it has " + std::to_string(loader.row_count()) + " of " +
                     std::to_string(row_count_) + " rows");
    }
    auto image = loader.Finish(position);
    return image.ok() ? std::move(image) : Damaged(image.error().message);
  }

  // What was written up to `end` is durable.
  Result<void> Flush(Offset end) {
    RETURN_IF_ERROR(Check(db_->Flush(rocksdb::FlushOptions())));
    unflushed_bytes_ = 0;
    flushed_end_ = end;
    return {};
  }

  Result<ImagePosition> ReadPosition(const rocksdb::Iterator& first) {
    pb::StoredPosition stored;
    if (first.key() != rocksdb::Slice(kPositionKey) ||
        !stored.ParseFromArray(first.value().data(), static_cast<int>(first.value().size())) ||
        stored.end_offset() < 0)
      return Damaged("it does not say where in the log it stands");
    row_count_ = stored.row_count();
    flushed_end_ = Offset{stored.end_offset()};
    ImagePosition position{Offset{stored.end_offset()}, LeaderEpoch{stored.term()},
                           Timestamp{stored.last_timestamp_ms()}};
    if (stored.has_state_hash()) position.state_hash = stored.state_hash();
    return position;
  }

  FileSystem& files_;
  const std::string path_;
  const std::string opening_ = path_ + kOpeningSuffix;
  std::unique_ptr<rocksdb::DB> db_;
  int64_t row_count_ = 0;  // set by Load()
  size_t unflushed_bytes_ = 0;
  Offset flushed_end_{0};  // position of the last write that was flushed
};

}  // namespace

std::unique_ptr<ImageStore> NewRocksDbStore(FileSystem& files, std::string path) {
  return std::make_unique<RocksDbStore>(files, std::move(path));
}

}  // namespace gregor
