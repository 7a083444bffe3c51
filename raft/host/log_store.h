#ifndef GREGOR_RAFT_HOST_LOG_STORE_H_
#define GREGOR_RAFT_HOST_LOG_STORE_H_

#include <deque>
#include <memory>
#include <optional>
#include <variant>
#include <vector>

#include "base/record_batch.h"
#include "base/result.h"
#include "base/task.h"
#include "raft/core/messages.h"
#include "storage/log.h"

namespace gregor {

// What the algorithm has to know of batches that lie one behind the other in `bytes`, each checked
// (CRC, offsets, control records). Fails with kCorruptBatch or kStorageError.
Result<std::vector<raft::BatchInfo>> DescribeBatches(const Bytes& bytes, size_t batch_bytes_max);

// The metadata log's bytes: a log to which cuts and appends can be given without waiting for each
// other, and whose latest batches are read from memory, written or not. Thread: the controller
// loop, callbacks included.
class LogStore {
 public:
  struct Options {
    // Of the log's last batches that are kept in memory, for followers and for what becomes
    // committed, and more of those that the log's files do not have yet; older ones are read from
    // the files.
    size_t recent_bytes_max = 2u << 20;
    size_t batch_bytes_max = 64u << 20;
    // The log is durable up to SyncedEnd(), or has failed.
    UniqueFunction<void()> on_progress;
    // A cut that was asked for is done.
    UniqueFunction<void()> on_cut;
    UniqueFunction<void(const Error&)> on_failure;
  };
  struct Read {
    std::vector<raft::BatchInfo> batches;
    Bytes bytes;
  };

  LogStore(std::unique_ptr<Log> log, Options options);
  ~LogStore();

  Log& log() { return *log_; }
  // End of all that was appended, done or not.
  Offset end() const { return end_; }
  // How far the log is durable; nullopt while cuts are under way.
  std::optional<Offset> SyncedEnd() const;

  // Fails as Log::Append() does, and then nothing is appended; behind a cut that is not known yet,
  // and a failure of the log. REQUIRES: the batch begins at end(), and has its leader epoch.
  Result<void> Append(RecordBatch batch);
  // REQUIRES: log start <= end <= end().
  void TruncateTo(Offset end);
  // The log is emptied, and begins at `start`; `done` when that is durable. Appends wait for it.
  void ResetTo(Offset start, UniqueFunction<void()> done);
  // Whole batches of [from, limit), up to `bytes_max` but one at least. Fails as
  // Log::Read(). May call `done` at once.
  void ReadFrom(Offset from, Offset limit, size_t bytes_max,
                UniqueFunction<void(Result<Read>)> done);

  // The log's own progress.
  void OnProgress();
  // What waits behind a cut that is not done is dropped: it is durable nowhere, and nobody was told
  // that it is. Nothing may be called afterwards.
  void Close(UniqueFunction<void(Result<void>)> done);

 private:
  struct Cut {
    Offset end;
  };
  struct Reset {
    Offset start;
    UniqueFunction<void()> done;
  };
  struct Recent {
    raft::BatchInfo info;
    Bytes bytes;
  };

  void CutNow(Offset end);
  void ResetNow(Reset reset);
  bool IsBusy() const { return cutting_ || !waiting_.empty(); }
  void GoOn();
  void Fail(const Error& error);
  // Of the recent batches, what need not be in memory.
  void ForgetOld();
  bool ReadRecent(Offset from, Offset limit, size_t bytes_max, Read* read) const;
  Result<Read> FromLog(const LogRead& read, Offset limit) const;

  const std::unique_ptr<Log> log_;
  Options options_;
  Offset end_;
  bool cutting_ = false;
  bool failed_ = false;
  bool closing_ = false;
  std::deque<std::variant<RecordBatch, Cut, Reset>> waiting_;  // behind a cut
  std::deque<Recent> recent_;                                  // the log's last batches
  size_t recent_bytes_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace gregor

#endif  // GREGOR_RAFT_HOST_LOG_STORE_H_
