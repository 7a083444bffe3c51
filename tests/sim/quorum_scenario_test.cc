#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/base/seeds.h"
#include "tests/sim/sim_run.h"

namespace gregor {
namespace {

constexpr uint64_t kSeeds = SeedCount(40);

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
  if (kFewSeeds) return;
  for (const char* what :
       {"bridge", "damage", "failed call", "full disk", "hang", "heal", "isolate", "kill",
        "kill leader", "pause", "power loss", "power loss of all", "records", "slow disk",
        "snapshots fetched", "terms", "wipe"})
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
           353,    // a follower forgot how far its log was the leader's, which asked no more
           683,    // alone among the voters, and on a full disk, a node led others in a term that
                   // its disk did not have
           813,    // where a log begins was not told before its files were cut
           116,    // the mark of a repaired log was not durable when the log was opened
           46,   // nobody looked at logs while the leader was to stay, and then took that for a cut
           177,  // R7 counted by voters whom the leader had replaced, and a follower had not yet
           731,  // what waited for an answer outlived its process, in the simulated network
           1517,  // R5 asked a leader that was elected late for what a later one had committed
       })
    EXPECT_EQ(RunQuorumScenario({.seed = seed}).failure, "") << seed;
}

TEST(ControllersScenario, TheSameSeedIsTheSameRun) {
  for (uint64_t seed = 1; seed <= SeedCount(3); ++seed) {
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
  if (kFewSeeds) return;
  for (const char* what : {"damage", "full disk", "heal", "isolate", "kill", "kill leader",
                           "operations", "pause", "power loss", "power loss of all", "slow",
                           "snapshots cut", "snapshots fetched", "versions"})
    EXPECT_GT(counts[what], 0u) << what;
}

TEST(ControllersScenario, WhatWasFoundStaysMended) {
  for (const uint64_t seed : {
           613,    // the simulated network gave an answer to another life of who had asked
           3899,   // C12 took what a node saw in one image, of two leaders, for a step of the later
                   // one
           243,    // a node whose only snapshot was damaged did not say that it is to be replaced
           16856,  // damage in a segment that was deleted, and back after a power loss, kept a node
                   // from opening its log
           40299,  // snapshots that were being written took the place of a newer one, which had
                   // been fetched, and which the log began at
       })
    EXPECT_EQ(RunControllersScenario({.seed = seed}).failure, "") << seed;
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

// Those that few seeds find, from where on these are known; `./dev sim --mutants` has all of them,
// and tests/raft/mutants those of the algorithm.
struct KnownMutant {
  MutantInfo info;
  uint64_t first_seed = 1;
};
class QuorumMutants : public testing::TestWithParam<KnownMutant> {};
// There are none in a build without them.
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(QuorumMutants);

TEST_P(QuorumMutants, IsCaught) {
  const MutantHunt hunt = HuntMutant(GetParam().info, GetParam().first_seed, 60);
  EXPECT_TRUE(hunt.caught) << "not up to seed " << hunt.last_seed;
}

std::vector<KnownMutant> KnownMutants() {
  // This one takes long to be caught.
  const std::set<std::string_view> slow = {"refusal-is-match"};
  // The others are caught by the first seeds.
  static const std::map<std::pair<std::string_view, std::string_view>, uint64_t> kFirst = {
      {{"quorum", "directory-ignored"}, 35},     {{"quorum", "two-voter-changes"}, 45},
      {{"quorum", "sent-after-leadership"}, 50}, {{"quorum", "ends-compared-first"}, 150},
      {{"cluster", "earlier-life-in-sync"}, 50},
  };
  std::vector<KnownMutant> known;
  for (const MutantInfo& info : AllMutants()) {
    const bool is_of_here =
        info.scenario == "quorum" || info.scenario == "controllers" || info.scenario == "cluster";
    if (!is_of_here || slow.count(info.name) != 0) continue;
    const auto first = kFirst.find({info.scenario, info.name});
    known.push_back({info, first == kFirst.end() ? 1 : first->second});
  }
  return known;
}

INSTANTIATE_TEST_SUITE_P(All, QuorumMutants, testing::ValuesIn(KnownMutants()),
                         [](const auto& info) {
                           std::string name(info.param.info.scenario);
                           name += "_" + std::string(info.param.info.name);
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace gregor
