// Random runs of the algorithm alone: what must hold is checked after every step, and in the end,
// when all is well again, that it gets on.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>

#include "tests/base/seeds.h"
#include "tests/raft/chaos_run.h"

namespace gregor::raft {
namespace {

// GREGOR_RAFT_SEEDS=FIRST:COUNT runs others.
TEST(RaftChaos, EveryInvariantHoldsAndTheQuorumGetsOnWhenFaultsEnd) {
  uint64_t first = 1, count = SeedCount(300);
  if (const char* const given = std::getenv("GREGOR_RAFT_SEEDS")) {
    ASSERT_EQ(std::sscanf(given, "%lu:%lu", &first, &count), 2);
  }
  for (uint64_t seed = first; seed < first + count; ++seed) {
    ChaosRun run(seed);
    run.Run(1500);
    const bool settled = run.checks().violations().empty() && run.Settle();
    ASSERT_EQ(run.checks().violations(), std::vector<std::string>()) << "seed " << seed << "\n"
                                                                     << run.Describe();
    ASSERT_TRUE(settled) << "seed " << seed << "\n" << run.Describe();
  }
}

}  // namespace
}  // namespace gregor::raft
