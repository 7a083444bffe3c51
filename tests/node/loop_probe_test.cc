#include "node/loop_probe.h"

#include <gtest/gtest.h>

#include "tests/base/hand_loop.h"

namespace gregor {
namespace {

TEST(LoopProbe, TellsHowLongTheTaskOfTheLastCallWaited) {
  HandLoop loop;
  const auto probe = std::make_shared<LoopProbe>(loop);
  EXPECT_EQ(probe->Measure(), Duration::zero());
  loop.hand_clock.now = std::chrono::milliseconds(30);
  loop.RunAll();
  loop.hand_clock.now = std::chrono::seconds(15);
  EXPECT_EQ(probe->Measure(), std::chrono::milliseconds(30));
  loop.RunAll();
  EXPECT_EQ(probe->Measure(), Duration::zero());
}

TEST(LoopProbe, ALoopThatHangsShowsWhileItHangs) {
  HandLoop loop;
  const auto probe = std::make_shared<LoopProbe>(loop);
  probe->Measure();
  loop.hand_clock.now = std::chrono::seconds(15);
  EXPECT_EQ(probe->Measure(), std::chrono::seconds(15));
  loop.hand_clock.now = std::chrono::seconds(30);
  EXPECT_EQ(probe->Measure(), std::chrono::seconds(30));
  // One task waits, however often somebody looks.
  EXPECT_EQ(loop.tasks.size(), 1u);
  loop.RunAll();
  EXPECT_EQ(probe->Measure(), std::chrono::seconds(30));
  loop.RunAll();
  EXPECT_EQ(probe->Measure(), Duration::zero());
}

}  // namespace
}  // namespace gregor
