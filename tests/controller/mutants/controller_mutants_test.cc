// Known bugs of controllers, one at a time: the random runs have to catch each.
#include <gtest/gtest.h>

#include <cstdio>
#include <string>

#include "raft/core/mutant.h"
#include "tests/controller/leadership_chaos.h"

namespace gregor {
namespace {

struct Mutant {
  int number;
  char variant;
  const char* what;
};

// Numbers as in the simulator's list; 0 is none.
constexpr Mutant kMutants[] = {
    {21, 'a', "takes a replica into the ISR that caught up before its broker restarted (KIP-903)"},
    {22, 'a', "takes a fenced replica into the ISR (KIP-841)"},
    {24, 'a', "replicas outside the ISR stay eligible though commits go on without them"},
    {24, 'b', "replicas stay in sync that may have lost records"},
    {30, 'a', "elects uncleanly without being asked (KAFKA-19522)"},
};

Mutant active{0, 'a', ""};

// What was violated, or empty.
std::string RunSeed(uint64_t seed) {
  LeadershipChaos run(seed);
  for (int step = 0; step < 400 && run.Step(); ++step) {
  }
  return run.violation();
}

TEST(ControllerMutants, EachIsCaught) {
  constexpr uint64_t kSeedsMax = 500;
  for (const Mutant& mutant : kMutants) {
    active = mutant;
    std::string violation;
    uint64_t seed = 0;
    while (violation.empty() && seed < kSeedsMax) violation = RunSeed(++seed);
    EXPECT_FALSE(violation.empty()) << mutant.number << mutant.variant << ": " << mutant.what;
    std::printf("mutant %d%c caught by %s after %d seeds\n", mutant.number, mutant.variant,
                violation.substr(0, violation.find(':')).c_str(), static_cast<int>(seed));
  }
  active = {0, 'a', ""};
  EXPECT_EQ(RunSeed(1), "");
}

}  // namespace

bool raft::IsMutant(int number, char variant) {
  return active.number == number && active.variant == variant;
}

}  // namespace gregor
