#include "controller/operation_turns.h"

#include <utility>

namespace gregor {
namespace {

// A turn is over after so long, or so many.
constexpr Duration kTurn = std::chrono::milliseconds(5);
constexpr int kTurnCount = 256;

}  // namespace

void OperationTurns::Add(Work work) {
  if (yielding_) {
    waiting_.push_back(std::move(work));
  } else {
    Run(std::move(work));
  }
}

void OperationTurns::RunAll() {
  for (Work& work : std::exchange(waiting_, {})) work();
}

void OperationTurns::Run(Work work) {
  const MonotonicTime began = loop_.clock().Now();
  work();
  spent_ += loop_.clock().Now() - began;
  if (++done_count_ == kTurnCount || spent_ >= kTurn) Yield();
}

void OperationTurns::Yield() {
  yielding_ = true;
  // Behind everything that has come meanwhile, and behind the timers that are due.
  loop_.Post("controller.turn", [this, alive = alive_] {
    if (!*alive) return;
    yielding_ = false;
    spent_ = Duration(0);
    done_count_ = 0;
    while (!waiting_.empty() && !yielding_) {
      Work work = std::move(waiting_.front());
      waiting_.pop_front();
      Run(std::move(work));
    }
  });
}

}  // namespace gregor
