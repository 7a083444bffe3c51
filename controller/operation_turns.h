#ifndef GREGOR_CONTROLLER_OPERATION_TURNS_H_
#define GREGOR_CONTROLLER_OPERATION_TURNS_H_

#include <deque>
#include <memory>

#include "base/event_loop.h"
#include "base/task.h"

namespace gregor {

// Lets operations run one after the other, with turns for everything else between: what a quorum
// lives by (messages of Raft, heartbeats, timers) shares the loop with them, and must wait for a
// few of them or for a long one, not for all that are there. Thread: the loop.
class OperationTurns {
 public:
  // Runs the operation. Must not end this object.
  using Work = Task;

  explicit OperationTurns(EventLoop& loop) : loop_(loop) {}
  ~OperationTurns() { *alive_ = false; }

  // Runs `work` at once, or after the others where some wait. Not run at all if this goes before.
  void Add(Work work);
  // Runs all that waits, in one go.
  void RunAll();

 private:
  void Run(Work work);
  void Yield();

  EventLoop& loop_;
  std::deque<Work> waiting_;
  // Since everything else had its turn.
  Duration spent_{0};
  int done_count_ = 0;
  bool yielding_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace gregor

#endif  // GREGOR_CONTROLLER_OPERATION_TURNS_H_
