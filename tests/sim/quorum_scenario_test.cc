#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/sim/sim_run.h"

namespace gregor {
namespace {

constexpr uint64_t kSeeds = 40;

TEST(QuorumScenario, TheSameSeedIsTheSameRun) {
  std::set<uint64_t> hashes;
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    const SimReport first = RunQuorumScenario({.seed = seed});
    const SimReport second = RunQuorumScenario({.seed = seed});
    EXPECT_EQ(first.trace_hash, second.trace_hash) << seed;
    EXPECT_EQ(first.counts, second.counts) << seed;
    hashes.insert(first.trace_hash);
  }
  EXPECT_EQ(hashes.size(), 4u);
}

// One sequence of records, whatever happens; and everything that can happen does.
TEST(QuorumScenario, WhatIsCommittedStaysAndComesEverywhere) {
  std::map<std::string, uint64_t> counts;
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    const SimReport report = RunQuorumScenario({.seed = seed});
    EXPECT_FALSE(report.failed()) << "./dev sim --scenario quorum --seed " << seed << ": "
                                  << report.failure;
    AddCounts(report, &counts);
  }
  for (const char* what : {"bridge", "failed call", "hang", "heal", "isolate", "kill",
                           "kill leader", "pause", "power loss", "power loss of all", "records",
                           "slow disk", "snapshots fetched", "terms", "wipe"})
    EXPECT_GT(counts[what], 0u) << what;
}

// Seeds that failed once, and what was wrong.
TEST(QuorumScenario, WhatWasFoundStaysMended) {
  for (const uint64_t seed : {
           30025,  // a log that was trimmed while it was read for a follower counted as a failed
                   // disk
           30127,  // killed before log-base was saved, a node with a new snapshot did not start
           740,    // the term of a record was read from files that were about to be cut
           1362,   // R16 asked for a majority of voters that the leader had replaced
       })
    EXPECT_EQ(RunQuorumScenario({.seed = seed}).failure, "") << seed;
}

TEST(ControllersScenario, TheSameSeedIsTheSameRun) {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    const SimReport first = RunControllersScenario({.seed = seed});
    const SimReport second = RunControllersScenario({.seed = seed});
    EXPECT_EQ(first.trace_hash, second.trace_hash) << seed;
    EXPECT_EQ(first.counts, second.counts) << seed;
  }
}

TEST(ControllersScenario, WhatIsAnsweredStaysAndImagesAreEqual) {
  std::map<std::string, uint64_t> counts;
  for (uint64_t seed = 1; seed <= kSeeds / 2; ++seed) {
    const SimReport report = RunControllersScenario({.seed = seed});
    EXPECT_FALSE(report.failed()) << "./dev sim --scenario controllers --seed " << seed << ": "
                                  << report.failure;
    AddCounts(report, &counts);
  }
  for (const char* what :
       {"heal", "isolate", "kill", "kill leader", "operations", "pause", "power loss",
        "power loss of all", "slow", "snapshots cut", "snapshots fetched", "versions"})
    EXPECT_GT(counts[what], 0u) << what;
}

// What a failure is reported with: kinds of faults that it needs, and no others.
TEST(Shrinking, LeavesOutFaultsThatAFailureDoesNotNeed) {
  static const auto fails_with_second = [](const SimRun& run) {
    SimReport report;
    if (!run.LeavesOut(1)) report.failure = "R1: nodes 1 and 2";
    return report;
  };
  const Scenario scenario{"test", "", fails_with_second, {"a", "b", "c"}};
  EXPECT_EQ(Shrink(scenario, {.seed = 1}).left_out, 0b101u);
}

// ... and for how long.
TEST(Shrinking, EndsTheFaultsAsEarlyAsTheFailureAllows) {
  static const auto fails_after_eleven = [](const SimRun& run) {
    SimReport report;
    if (run.ChaosOf(std::chrono::seconds(30)) >= std::chrono::seconds(11)) report.failure = "L1: x";
    return report;
  };
  const Scenario scenario{"test", "", fails_after_eleven, {}, false, 40};
  EXPECT_EQ(Shrink(scenario, {.seed = 1}).chaos_seconds, 11);
}

TEST(RaftScenario, TheSameSeedIsTheSameRun) {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    const SimReport first = RunRaftScenario({.seed = seed});
    const SimReport second = RunRaftScenario({.seed = seed});
    EXPECT_EQ(first.trace_hash, second.trace_hash) << seed;
    EXPECT_EQ(first.counts, second.counts) << seed;
  }
}

// Those that few seeds find; `./dev sim --mutants` has all of them, and tests/raft/mutants those of
// the algorithm.
class QuorumMutants : public testing::TestWithParam<MutantInfo> {};

TEST_P(QuorumMutants, IsCaught) {
  const MutantHunt hunt = HuntMutant(GetParam(), 1, 60);
  EXPECT_TRUE(hunt.caught) << "not with the seeds 1 to " << hunt.last_seed;
}

std::vector<MutantInfo> MutantsOfTheQuorum() {
  std::vector<MutantInfo> mutants = AllMutants();
  std::erase_if(mutants, [](const MutantInfo& info) {
    const bool is_quick = info.number >= 2 && info.number <= 6;
    return info.scenario != "controllers" && (info.scenario != "quorum" || !is_quick);
  });
  return mutants;
}

INSTANTIATE_TEST_SUITE_P(All, QuorumMutants, testing::ValuesIn(MutantsOfTheQuorum()),
                         [](const auto& info) {
                           std::string name(info.param.name);
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace gregor
