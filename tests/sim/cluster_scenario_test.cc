#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/base/seeds.h"
#include "tests/sim/sim_run.h"

namespace gregor {
namespace {

constexpr uint64_t kSeeds = SeedCount(25);

TEST(ClusterScenario, TheSameSeedIsTheSameRun) {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    const SimReport first = RunClusterScenario({.seed = seed});
    const SimReport second = RunClusterScenario({.seed = seed});
    EXPECT_EQ(first.trace_hash, second.trace_hash) << seed;
    EXPECT_EQ(first.counts, second.counts) << seed;
  }
}

// One history of the metadata, whatever happens; and everything that can happen does.
TEST(ClusterScenario, WhatWasAnsweredIsSoEverywhere) {
  std::map<std::string, uint64_t> counts;
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    const SimReport report = RunClusterScenario({.seed = seed});
    EXPECT_FALSE(report.failed()) << "./dev sim --scenario cluster --seed " << seed << ": "
                                  << report.failure;
    AddCounts(report, &counts);
  }
  if (kFewSeeds) return;
  for (const char* what : {"bridge",
                           "clock jump",
                           "clones refused",
                           "configs set",
                           "dead brokers fenced",
                           "disks exchanged",
                           "failed call",
                           "fences by hand",
                           "hang",
                           "heal",
                           "isolate",
                           "kill",
                           "kill leader",
                           "leaders elected by hand",
                           "partitions added",
                           "pause",
                           "power loss",
                           "power loss of all",
                           "reassignments",
                           "replicas in sync again",
                           "slow disk",
                           "topics deleted",
                           "topics made",
                           "unknown outcomes",
                           "voters replaced"})
    EXPECT_GT(counts[what], 0u) << what;
}

// Seeds that failed once, and what was wrong.
TEST(ClusterScenario, WhatWasFoundStaysMended) {
  for (const uint64_t seed : {
           90,    // a broker did not start because the controller that it asked had a failed disk
           69,    // a leader gave its snapshots only after a commit by those who needed them
           574,   // who was asked at the end was about to find that it had been replaced
           782,   // a node that led a new cluster, and lost that before its first records, gave up
           3342,  // a topic whose leader was let in as a stranger was asked of a node that is not
                  // there
           7012,  // a controller that was told to stop while its log was cut ended in a crash
           1467,  // C6 took who was last after others had gone, in one image, for one of several
       })
    EXPECT_EQ(RunClusterScenario({.seed = seed}).failure, "") << seed;
}

}  // namespace
}  // namespace gregor
