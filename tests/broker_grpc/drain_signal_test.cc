#include "broker/grpc/drain_signal.h"

#include <gtest/gtest.h>

namespace gregor {
namespace {

using std::chrono::seconds;

TEST(DrainSignal, TellsEveryObserverOnce) {
  DrainSignal signal;
  int calls = 0;
  const auto first = signal.Watch([&](Duration close_in) {
    EXPECT_EQ(close_in, seconds(5));
    ++calls;
  });
  const auto second = signal.Watch([&](Duration) { ++calls; });
  EXPECT_FALSE(signal.begun());
  signal.Begin(seconds(5));
  signal.Begin(seconds(7));
  EXPECT_TRUE(signal.begun());
  EXPECT_EQ(calls, 2);
}

TEST(DrainSignal, TellsALateObserverAtOnce) {
  DrainSignal signal;
  signal.Begin(seconds(3));
  Duration told{0};
  const auto handle = signal.Watch([&](Duration close_in) { told = close_in; });
  EXPECT_EQ(told, seconds(3));
}

TEST(DrainSignal, ForgetsWhoLetGo) {
  DrainSignal signal;
  int calls = 0;
  for (int i = 0; i < 1000; ++i) signal.Watch([&](Duration) { ++calls; });
  const auto kept = signal.Watch([&](Duration) { calls += 10; });
  signal.Begin(seconds(1));
  EXPECT_EQ(calls, 10);
}

}  // namespace
}  // namespace gregor
