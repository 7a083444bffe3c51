#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/base/seeds.h"
#include "tests/sim/sim_run.h"

namespace gregor {
namespace {

constexpr uint64_t kFirstSeed = 30;
constexpr uint64_t kSeeds = SeedCount(100);

TEST(BrokerScenario, TheSameSeedIsTheSameRun) {
  std::set<uint64_t> hashes;
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    const SimReport first = RunBrokerScenario({.seed = seed});
    const SimReport second = RunBrokerScenario({.seed = seed});
    EXPECT_EQ(first.trace_hash, second.trace_hash) << seed;
    EXPECT_EQ(first.counts, second.counts) << seed;
    hashes.insert(first.trace_hash);
  }
  EXPECT_EQ(hashes.size(), 5u);
}

// Clients and administrator get what they were promised, whatever happens; and everything that can
// happen does.
TEST(BrokerScenario, ItsClientsMissNothing) {
  std::map<std::string, uint64_t> counts;
  for (uint64_t seed = kFirstSeed; seed < kFirstSeed + kSeeds; ++seed) {
    const SimReport report = RunBrokerScenario({.seed = seed});
    EXPECT_FALSE(report.failed()) << "./dev sim --scenario broker --seed " << seed << ": "
                                  << report.failure;
    AddCounts(report, &counts);
  }
  if (kFewSeeds) return;
  for (const char* what : {"accepted",     "acknowledged",  "calls without answer", "clean stops",
                           "deletions",    "duplicates",    "failed fetches",       "failed nodes",
                           "fetches",      "full disk",     "hanging disks",        "io errors",
                           "kills",        "late requests", "operations",           "out of order",
                           "power losses", "producers",     "refused produces",     "searches",
                           "slow disks",   "starts"})
    EXPECT_GT(counts[what], 0u) << what;
}

// Seeds that failed once, and what was wrong.
TEST(BrokerScenario, WhatWasFoundStaysMended) {
  for (const uint64_t seed : {
           23,     // a fetch from a topic that was deleted meanwhile was told that the broker stops
           40,     // a log whose write had failed could not be closed while others waited
           55,     // a fetch from a segment that was deleted meanwhile looked like a broken disk
           187,    // ... nor one whose sync had failed while a write ran
           529,    // a read outlived the log directory that it read from
           1171,   // a deletion that had failed was acknowledged when it was asked for again
           593,    // a full disk left a folder without records, whose name was never synced
           10354,  // a full disk cost the snapshot of producers, and a retry was appended twice
           37064,  // retention was not expected in a partition whose addition had failed once
           90229,  // a first start on a full disk went on without a vote file, the next one failed
       })
    EXPECT_EQ(RunBrokerScenario({.seed = seed}).failure, "") << seed;
}

class BrokerMutants : public testing::TestWithParam<MutantInfo> {};
// There are none in a build without them.
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(BrokerMutants);

TEST_P(BrokerMutants, IsCaught) {
  const MutantHunt hunt = HuntMutant(GetParam(), 1, 300);
  EXPECT_TRUE(hunt.caught) << "not with the seeds 1 to " << hunt.last_seed;
}

std::vector<MutantInfo> MutantsOfBroker() {
  std::vector<MutantInfo> mutants = AllMutants();
  std::erase_if(mutants, [](const MutantInfo& info) { return info.scenario != "broker"; });
  return mutants;
}

INSTANTIATE_TEST_SUITE_P(All, BrokerMutants, testing::ValuesIn(MutantsOfBroker()),
                         [](const auto& info) {
                           std::string name(info.param.name);
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace gregor

// A process that is killed while its controller opens leaves what only the controller's own
// callbacks, which never come, would have let go.
extern "C" const char* __lsan_default_suppressions() { return "leak:gregor::ControllerImpl\n"; }
