#include "tests/sim/processes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <map>

#include "base/check.h"
#include "tests/sim/search.h"
#include "tests/sim/trace.h"

namespace gregor {
namespace {

TEST(Processes, DoAllWork) {
  std::map<uint64_t, std::string> texts;
  RunInProcesses(
      3, 20, [](uint64_t index) { return std::string(index * 10'000, 'x'); },
      [&](const Outcome& outcome) {
        EXPECT_FALSE(outcome.died);
        texts[outcome.index] = outcome.text;
        return true;
      });
  ASSERT_EQ(texts.size(), 20u);
  for (const auto& [index, text] : texts) EXPECT_EQ(text.size(), index * 10'000);
}

TEST(Processes, ACheckEndsOnePieceOfWorkOnly) {
  std::map<uint64_t, bool> died;
  RunInProcesses(
      2, 10,
      [](uint64_t index) {
        close(STDERR_FILENO);
        CHECK(index != 4);
        return std::string("done");
      },
      [&](const Outcome& outcome) {
        died[outcome.index] = outcome.died;
        return true;
      });
  ASSERT_EQ(died.size(), 10u);
  for (const auto& [index, is_dead] : died) EXPECT_EQ(is_dead, index == 4) << index;
}

TEST(Processes, EndWhenNoMoreIsWanted) {
  int taken = 0;
  RunInProcesses(
      2, UINT64_MAX, [](uint64_t) { return std::string(); },
      [&](const Outcome&) { return ++taken < 5; });
  EXPECT_EQ(taken, 5);
}

TEST(Processes, WhatWasSaidBeforeACheckIsHeard) {
  const Said said = ListenTo([](const auto& say) {
    say("one\n");
    CHECK(false);
    say("two\n");
  });
  EXPECT_TRUE(said.died);
  EXPECT_EQ(said.text, "one\n");
}

// A scenario that fails as its seed says.
SimReport RunOdd(const SimRun& run) {
  SimReport report;
  report.trace_hash = run.seed * 7;
  report.event_count = 10;
  report.counts["simulated seconds"] = 3;
  report.counts["two words"] = 1;
  if (run.seed % 50 == 49) report.failure = "R1: nodes 1 and 2";
  if (run.seed % 50 == 48 && !run.LeavesOut(0)) {
    close(STDERR_FILENO);
    CHECK(false);
  }
  return report;
}

class SearchTest : public testing::Test {
 protected:
  SearchOptions Options(uint64_t seeds, int processes) const {
    SearchOptions options;
    options.scenarios = {&scenario_};
    options.seed_count = seeds;
    options.process_count = processes;
    return options;
  }
  Scenario scenario_{"odd", "", RunOdd, {"check"}};
};

TEST_F(SearchTest, AddsUpWhatRunsSay) {
  const SearchResult result = Search(Options(40, 2));
  EXPECT_EQ(result.runs, 40u);
  EXPECT_EQ(result.counts.at("two words"), 40u);
  EXPECT_EQ(result.efforts.at(0).simulated_seconds, 120u);
  EXPECT_EQ(result.efforts.at(0).events, 400u);
  EXPECT_TRUE(result.failures.empty());
}

TEST_F(SearchTest, ItsHashIsOfTheSeedsAndNotOfTheProcesses) {
  const uint64_t hash = Search(Options(40, 1)).hash;
  EXPECT_EQ(Search(Options(40, 3)).hash, hash);
  EXPECT_NE(Search(Options(39, 3)).hash, hash);
}

TEST_F(SearchTest, EndsWithAFailureUnlessItIsToKeepGoing) {
  SearchOptions options = Options(200, 2);
  options.left_out = 1;  // no check
  const SearchResult first = Search(options);
  ASSERT_EQ(first.failures.size(), 1u);
  EXPECT_LT(first.runs, 100u);
  options.keep_going = true;
  const SearchResult all = Search(options);
  ASSERT_EQ(all.failures.size(), 1u);
  EXPECT_EQ(all.runs, 200u);
  EXPECT_EQ(all.failures.begin()->second.count, 4u);
}

TEST_F(SearchTest, ACheckOfTheProductIsAFailureOfItsSeed) {
  SearchOptions options = Options(48, 2);
  const SearchResult result = Search(options);
  ASSERT_EQ(result.failures.size(), 1u);
  EXPECT_EQ(result.failures.begin()->second.what, kOwnCheck);
  EXPECT_EQ(result.failures.begin()->second.run.seed, 48u);
}

TEST(Trace, IsReadable) {
  Trace trace;
  trace.Keep(4);
  trace.Note("forgotten");
  trace.NoteStep("raft.tick", 1'500'000'000, 7);
  trace.Annotate("node2");
  trace.Note("fault", 3, 0);
  trace.NoteStep("net", 1'600'000'000, 8);  // the next one says more
  trace.NoteStep("net", 1'700'000'000, 9);
  trace.Annotate("node1");
  trace.Note("message", 1, 2, "a vote");
  EXPECT_THAT(trace.kept(),
              testing::ElementsAre("    1.500000 s  raft.tick of node2", "    fault 3 0 ",
                                   "    1.700000 s  net of node1", "    message a vote"));
}

}  // namespace
}  // namespace gregor
