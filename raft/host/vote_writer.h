#ifndef GREGOR_RAFT_HOST_VOTE_WRITER_H_
#define GREGOR_RAFT_HOST_VOTE_WRITER_H_

#include <deque>
#include <memory>
#include <string>

#include "base/event_loop.h"
#include "base/task.h"
#include "raft/host/vote_file.h"
#include "storage/disk.h"

namespace gregor {

// Saves votes one after the other. Thread: the controller loop, `saved` included.
class VoteWriter {
 public:
  using Saved = UniqueFunction<void(Result<void>)>;
  // `saved` is called for each vote once it is durable, in order, and once with an error.
  VoteWriter(EventLoop& loop, Disk& disk, std::string path, Saved saved)
      : loop_(loop), disk_(disk), path_(std::move(path)), saved_(std::move(saved)) {}
  ~VoteWriter() { *alive_ = false; }

  void Save(Vote vote);

 private:
  EventLoop& loop_;
  Disk& disk_;
  const std::string path_;
  Saved saved_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace gregor

#endif  // GREGOR_RAFT_HOST_VOTE_WRITER_H_
