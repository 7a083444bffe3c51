#include "node/process.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>

#include "base/event_loop.h"

namespace gregor {
namespace {

// In a process of its own: its signals stay blocked.
void StopFromALoop() {
  alarm(10);
  BlockStopSignals();
  const auto loop = NewThreadLoop("stops");
  loop->Post("test.stop", [] { RequestStop(); });
  std::_Exit(WaitForStopSignal() == SIGTERM ? 0 : 1);
}

TEST(ProcessDeathTest, AStopThatALoopAsksForReachesWhoWaitsForIt) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(StopFromALoop(), testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace gregor
