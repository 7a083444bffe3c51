#include "tests/controller/leadership_chaos.h"

#include <gtest/gtest.h>

namespace gregor {
namespace {

TEST(LeadershipChaos, WhateverBrokersLeadersAndOperatorsDoNothingCommittedIsLost) {
  std::map<std::string, int> counts;
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    LeadershipChaos run(seed);
    for (int step = 0; step < 400 && run.Step(); ++step) {
    }
    ASSERT_EQ(run.violation(), "") << "seed " << seed;
    for (const auto& [what, count] : run.counts()) counts[what] += count;
  }
  // Every kind of step had effects, and leaders' changes all answers but kInvalidRequest, which no
  // leader gets that keeps to the rules.
  for (const char* what :
       {"create topic", "delete topic", "change broker", "restart broker", "lose directory",
        "drain", "alter partition", "elect", "reassign", "change config", "outcome 0", "outcome 1",
        "outcome 2", "outcome 4", "outcome 6", "outcome 7"})
    EXPECT_GT(counts[what], 0) << what;
  EXPECT_GT(counts["led"], 5000);
}

}  // namespace
}  // namespace gregor
