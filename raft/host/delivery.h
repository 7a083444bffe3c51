#ifndef GREGOR_RAFT_HOST_DELIVERY_H_
#define GREGOR_RAFT_HOST_DELIVERY_H_

#include <memory>
#include <vector>

#include "base/event_loop.h"
#include "base/result.h"
#include "raft/host/log_store.h"
#include "raft/host/metadata_log.h"

namespace gregor {

// Gives committed records to who wants them, in order and once. Thread: the controller loop,
// callbacks included.
class Delivery {
 public:
  struct Options {
    size_t batch_bytes_max = 64u << 20;
    UniqueFunction<void(std::vector<CommittedRecords>)> on_batches;  // never none
    // delivered() has moved, and nothing more is there at the moment.
    UniqueFunction<void()> on_caught_up;
    UniqueFunction<void(const Error&)> on_failure;
  };
  // Begins at `from`. The store outlives this.
  Delivery(EventLoop& loop, LogStore& store, Offset from, Options options);
  ~Delivery();

  // Everything before it was given.
  Offset delivered() const { return delivered_; }
  // Committed up to here.
  void UpTo(Offset commit);
  // What comes next begins at `from`: what is before was given as a snapshot.
  void SkipTo(Offset from);

 private:
  void GoOn();
  void OnRead(Result<LogStore::Read> read);
  Result<void> Give(const LogStore::Read& read);
  // The batch's records from `from` on.
  Result<CommittedRecords> Read(const RecordBatch& batch, Offset from) const;

  EventLoop& loop_;
  LogStore& store_;
  Options options_;
  Offset delivered_;
  Offset commit_;
  bool reading_ = false;
  uint64_t reads_ = 0;  // those of before a SkipTo() count no more
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace gregor

#endif  // GREGOR_RAFT_HOST_DELIVERY_H_
