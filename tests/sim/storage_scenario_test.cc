#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/base/seeds.h"
#include "tests/sim/sim_run.h"

namespace gregor {
namespace {

constexpr uint64_t kSeeds = SeedCount(130);

SimReport RunSeed(uint64_t seed) { return RunStorageScenario({.seed = seed}); }

TEST(StorageScenario, TheSameSeedIsTheSameRun) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    const SimReport first = RunSeed(seed), second = RunSeed(seed);
    EXPECT_EQ(first.trace_hash, second.trace_hash) << seed;
    EXPECT_EQ(first.event_count, second.event_count) << seed;
    EXPECT_EQ(first.counts, second.counts) << seed;
  }
}

TEST(StorageScenario, DifferentSeedsAreDifferentRuns) {
  std::set<uint64_t> hashes;
  for (uint64_t seed = 1; seed <= 20; ++seed) hashes.insert(RunSeed(seed).trace_hash);
  EXPECT_EQ(hashes.size(), 20u);
}

// What is acknowledged, dense, in order, without duplicates and undamaged stays so, whatever
// happens; and everything that can happen does.
TEST(StorageScenario, NothingIsLostWhateverHappens) {
  std::map<std::string, uint64_t> counts;
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    const SimReport report = RunSeed(seed);
    EXPECT_FALSE(report.failed()) << "./dev sim --scenario storage --seed " << seed << ": "
                                  << report.failure;
    AddCounts(report, &counts);
  }
  if (kFewSeeds) return;
  for (const char* what : {"acknowledged",
                           "appends",
                           "clean stops",
                           "clock jumps",
                           "deletions",
                           "duplicates",
                           "failed logs",
                           "failed reads",
                           "flipped bits",
                           "full disk",
                           "hanging disks",
                           "io errors",
                           "kills",
                           "lost appends",
                           "lost marks",
                           "misdirected writes",
                           "opened",
                           "power losses",
                           "power losses inside of a job",
                           "reads",
                           "refused",
                           "refused appends",
                           "refused sequences",
                           "removals",
                           "reopened",
                           "resets",
                           "searches",
                           "set aside",
                           "slow disks",
                           "truncations"})
    EXPECT_GT(counts[what], 0u) << what;
}

// Seeds that failed once, and what was wrong.
TEST(StorageScenario, WhatWasFoundStaysMended) {
  for (const uint64_t seed : {
           3,      // a search by time read segments that were not written yet
           8,      // a truncation in the first batch of a segment lost all the others
           11,     // a mark that was journaled late took back a newer one
           63,     // a segment was deleted that the mark in the journal lay in
           343,    // ... or that a write was about to complete
           602,    // a topic's deletion beside that of its segments took the directory offline
           619,    // recovery believed pages that a failed sync had given up
           236,    // a search failed on a segment that was deleted meanwhile
           249,    // a search failed because there was no space for an index
           948,    // appends went to a file that had been removed
           2728,   // an index was built of a segment of which half was written
           4421,   // an interrupted reset left the end of a log
           4555,   // files that were removed came back after they had been missed
           8927,   // a damaged mark brought back an older one, which deleted the log
           10368,  // a torn snapshot of producers was kept, and all that was left once segments
                   // went
           11048,  // a flipped epoch was served of a batch that the log begins within
           13194,  // a flipped offset was believed in a log that had no mark yet
           16,     // a power loss gave a complete segment its room back, which ended the log there
           64,     // the name of a log's first segment was lost, and that of its second one was not
           754,    // a checkpoint that could not be read named files that went
           135921,  // a log that was emptied kept its producers in the checkpoint alone
           111798,  // a search passed a segment whose index a disk's error had left without entries
           4039,    // a read between the records that compaction left was taken for one that failed
           21470,   // producers were expected to be known whose snapshot was damaged
           316,     // a flipped epoch above the mark was taken for a batch that nobody appended
           11677,   // a full disk kept the journal from learning that a cut was done, and the log
                    // took records after that
           6420,    // a flipped offset was believed in a log that is compacted
           15247,   // a cut took the mark in a complete segment for one that was not reached
           13466,   // a truncation went to where the checker had nothing to compare with
           5479,    // records came back with a lost mark that a reset had made the checker forget
           7976,    // a reset that did not happen had forgotten the producers of deleted records
           82,      // a cut took the checkpoint, which alone knew where the log began
           4336,    // ... and producers, of whom the other snapshot was damaged
           5960,    // what compaction had replaced hid the producers of a log that began later
           4257,    // the folder of a log that was emptied before it had one was thought durable
           5542,    // two producers had been at one offset, before and after a cut
           32299,   // all segments were deleted before a checkpoint said where the log goes on, and
                    // the marks were lost
           17488,   // a reset that nobody knew of any more had taken the first segment
           304576,  // a flipped epoch was served of a batch that was deleted while it was read
           169202,  // a log that was removed while it waited for space was expected to be synced
           34820,   // a stray folder was expected to be set aside on a full disk
       })
    EXPECT_EQ(RunSeed(seed).failure, "") << seed;
}

class StorageMutants : public testing::TestWithParam<MutantInfo> {};
// There are none in a build without them.
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(StorageMutants);

TEST_P(StorageMutants, IsCaught) {
  const MutantHunt hunt = HuntMutant(GetParam(), 1, 1000);
  EXPECT_TRUE(hunt.caught) << "not with the seeds 1 to " << hunt.last_seed;
}

std::vector<MutantInfo> MutantsOfStorage() {
  std::vector<MutantInfo> mutants = AllMutants();
  std::erase_if(mutants, [](const MutantInfo& info) { return info.scenario != "storage"; });
  return mutants;
}

INSTANTIATE_TEST_SUITE_P(All, StorageMutants, testing::ValuesIn(MutantsOfStorage()),
                         [](const auto& info) {
                           std::string name(info.param.name);
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace gregor
