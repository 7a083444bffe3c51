#include "broker/grpc/byte_gate.h"

#include <gtest/gtest.h>

#include <vector>

namespace gregor {
namespace {

TEST(ByteGate, TakersWaitInTurnUntilThereIsRoom) {
  ByteGate gate(100);
  std::vector<int> granted;
  const auto take = [&](int name, size_t bytes) {
    return gate.Take(bytes, [&granted, name] { granted.push_back(name); });
  };
  EXPECT_TRUE(take(1, 60));
  EXPECT_FALSE(take(2, 50));
  EXPECT_FALSE(take(3, 10));  // would fit, but the other one came before
  EXPECT_FALSE(gate.TryTake(10));
  EXPECT_EQ(gate.used(), 60u);
  gate.Give(60);
  EXPECT_EQ(granted, (std::vector<int>{2, 3}));
  EXPECT_EQ(gate.used(), 60u);
  EXPECT_TRUE(gate.TryTake(40));
  EXPECT_FALSE(gate.TryTake(1));
  gate.Give(100);
  EXPECT_EQ(gate.used(), 0u);
}

TEST(ByteGate, MoreThanThereIsAtAllIsGrantedAlone) {
  ByteGate gate(100);
  bool granted = false;
  EXPECT_TRUE(gate.Take(10, [] {}));
  EXPECT_FALSE(gate.Take(5000, [&] { granted = true; }));
  gate.Give(10);
  EXPECT_TRUE(granted);
  EXPECT_FALSE(gate.TryTake(1));
  gate.Give(5000);
  EXPECT_TRUE(gate.TryTake(5000));
}

TEST(ByteGate, WhoIsGrantedMayTakeAgain) {
  ByteGate gate(10);
  int rounds = 0;
  std::function<void()> again = [&] {
    if (++rounds < 5) gate.Take(10, again);
    gate.Give(10);
  };
  EXPECT_TRUE(gate.Take(10, [] {}));
  EXPECT_FALSE(gate.Take(10, again));
  gate.Give(10);
  EXPECT_EQ(rounds, 5);
  EXPECT_EQ(gate.used(), 0u);
}

}  // namespace
}  // namespace gregor
