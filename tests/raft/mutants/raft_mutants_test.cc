// Known bugs of Raft implementations, one at a time: the random runs have to catch each.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "base/check.h"
#include "raft/core/mutant.h"
#include "tests/raft/chaos_run.h"

namespace gregor::raft {
namespace {

struct Mutant {
  int number;
  char variant;
  const char* what;
};

// Numbers as in the simulator's list; 0 is none.
constexpr Mutant kMutants[] = {
    {1, 'a', "commits by counting replicas of an earlier term"},
    {2, 'a', "says what it has not made durable"},
    {3, 'a', "forgets its vote when it steps down within a term"},
    {4, 'a', "leads on in its term after a restart"},
    {5, 'a', "a leader counts its own records before they are durable"},
    {6, 'a', "a follower acknowledges before it is durable"},
    {7, 'a', "votes without a look at the logs"},
    {7, 'b', "compares the logs' ends before their terms"},
    {8, 'a', "takes half for a majority"},
    {8, 'b', "a leader counts itself though it was removed"},
    {9, 'a', "takes records from a leader of an earlier term"},
    {9, 'b', "sends records after its leadership has ended"},
    {10, 'a', "cuts what is committed"},
    {11, 'a', "takes a refusal for a match"},
    {12, 'a', "allows a second change of voters before the first is committed"},
    {12, 'b', "applies a change of voters when it is committed"},
    {12, 'c', "changes voters before it has committed in its term"},
    {13, 'a', "knows voters by their node alone"},
    {14, 'a', "a leader leads on without a majority"},
    {14, 'b', "campaigns without asking first"},
    {15, 'a', "a snapshot ends one record too early"},
    {16, 'a', "trims the log before the snapshot is durable"},
};

Mutant active{0, 'a', ""};

// What was violated, or empty.
std::string RunSeed(uint64_t seed) {
  ChaosRun run(seed);
  run.Run(1500);
  const bool settled = run.checks().violations().empty() && run.Settle();
  if (!run.checks().violations().empty()) return run.checks().violations().front();
  return settled ? "" : "L1: the quorum does not get on";
}

// In a process of its own, where a check of the algorithm's own may end it.
struct Outcome {
  std::string caught_by;
  int seeds = 0;
};
Outcome Hunt(const Mutant& mutant, int seeds_max) {
  std::array<int, 2> ends{};
  CHECK_EQ(pipe(ends.data()), 0);
  const pid_t child = fork();
  CHECK_GE(child, 0);
  if (child == 0) {
    active = mutant;
    if (std::getenv("GREGOR_RAFT_MUTANT_SEEDS") == nullptr) close(STDERR_FILENO);
    for (int seed = 1; seed <= seeds_max; ++seed) {
      const std::string found = RunSeed(static_cast<uint64_t>(seed)) + "\n";
      if (write(ends[1], found.data(), found.size()) < 0) break;
      if (found != "\n") break;
    }
    _exit(0);
  }
  close(ends[1]);
  std::string text;
  std::array<char, 512> buffer{};
  ssize_t count = 0;
  while ((count = read(ends[0], buffer.data(), buffer.size())) > 0)
    text.append(buffer.data(), static_cast<size_t>(count));
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  Outcome outcome;
  for (const char c : text) outcome.seeds += c == '\n' ? 1 : 0;
  const size_t found = text.find_first_not_of('\n');
  if (found != std::string::npos) outcome.caught_by = text.substr(found, text.size() - found - 1);
  if (WIFSIGNALED(status)) {
    outcome.caught_by = "a check of its own";
    ++outcome.seeds;
  }
  return outcome;
}

class RaftMutants : public ::testing::TestWithParam<Mutant> {};

// GREGOR_RAFT_MUTANT_SEEDS says how many seeds each has at most.
TEST_P(RaftMutants, IsCaughtByTheRandomRuns) {
  const Mutant mutant = GetParam();
  const char* const given = std::getenv("GREGOR_RAFT_MUTANT_SEEDS");
  const Outcome outcome = Hunt(mutant, given != nullptr ? std::atoi(given) : 500);
  ASSERT_NE(outcome.caught_by, "")
      << "mutant " << mutant.number << mutant.variant << " (" << mutant.what
      << ") was not caught within " << outcome.seeds << " seeds";
  std::printf("mutant %d%c caught by %s after %d seeds: %s\n", mutant.number, mutant.variant,
              outcome.caught_by.c_str(), outcome.seeds, mutant.what);
}

INSTANTIATE_TEST_SUITE_P(All, RaftMutants, ::testing::ValuesIn(kMutants),
                         [](const ::testing::TestParamInfo<Mutant>& info) {
                           return std::to_string(info.param.number) + info.param.variant;
                         });

TEST(RaftMutantsControl, WithoutOneTheRunsFindNothing) {
  EXPECT_EQ(Hunt({0, 'a', ""}, 20).caught_by, "");
}

}  // namespace

bool IsMutant(int number, char variant) {
  return active.number == number && active.variant == variant;
}

}  // namespace gregor::raft
