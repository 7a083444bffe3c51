#ifndef GREGOR_TESTS_SIM_SIM_RUN_H_
#define GREGOR_TESTS_SIM_SIM_RUN_H_

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"
#include "tests/sim/mutants.h"

namespace gregor {

// One run of a scenario: everything that happens in it follows from these.
struct SimRun {
  uint64_t seed = 1;
  Mutant mutant = Mutant::kNone;
  size_t trace_kept = 0;  // so many of the last events come back as text
  // Kinds of faults that are left out, by their place in Scenario::faults: bit 0 is the first.
  uint64_t left_out = 0;
  // Seconds after which the faults end; 0: as the seed draws it.
  int chaos_seconds = 0;
  Duration ChaosOf(Duration drawn) const {
    return chaos_seconds == 0 ? drawn
                              : std::min<Duration>(drawn, std::chrono::seconds(chaos_seconds));
  }
  bool LeavesOut(size_t fault) const { return (left_out >> fault & 1) != 0; }
};

struct SimReport {
  std::string failure;  // empty: all was well
  uint64_t trace_hash = 0;
  uint64_t event_count = 0;
  // How often what happened, by name: a run shows that it did what it was made for.
  std::map<std::string, uint64_t> counts;
  std::deque<std::string> trace;

  bool failed() const { return !failure.empty(); }
};

// A few logs on one or two disks, their callers, and crashes and faults of every kind.
SimReport RunStorageScenario(const SimRun& run);

// A node of controller and broker, its clients and its administrator.
SimReport RunBrokerScenario(const SimRun& run);

// The quorum's algorithm alone (tests/raft/chaos_run.h): the one scenario in which voters change.
SimReport RunRaftScenario(const SimRun& run);

// The metadata quorum: voters and observers, with nothing on top.
SimReport RunQuorumScenario(const SimRun& run);

// Controllers and brokers of a cluster: their metadata, sessions and administrators.
SimReport RunClusterScenario(const SimRun& run);

// A day of such a cluster: what grows is bounded.
SimReport RunSoakScenario(const SimRun& run);

// Controllers on the quorum, and who asks them.
SimReport RunControllersScenario(const SimRun& run);

struct Scenario {
  std::string_view name;
  std::string_view about;
  SimReport (*run)(const SimRun&);
  std::vector<std::string_view> faults = {};  // that can be left out
  bool is_long = false;                       // runs only where it is asked for
  int chaos_seconds_max = 0;                  // of its faults; 0: they are not counted in seconds
};
const std::vector<Scenario>& AllScenarios();
// What a run ends with that a check of the product has ended.
inline constexpr char kOwnCheck[] = "a check of the product's own";
// The failure of a run, which is made in a process of its own.
std::string FailureOf(const Scenario& scenario, const SimRun& run);
// Leaves out one kind of fault after the other, and ends the faults earlier, as long as the run
// fails in the same way.
SimRun Shrink(const Scenario& scenario, SimRun run);
// A failure's text without its numbers: what failures are told apart by.
std::string KindOf(const std::string& failure);
const Scenario* FindScenario(std::string_view name);

// Looks for a seed whose run fails with the mutant, and passes without it. The runs are made in a
// process of their own, which a check of the product may end: that counts as caught.
struct MutantHunt {
  bool caught = false;
  uint64_t last_seed = 0;
  std::string failure;
};
MutantHunt HuntMutant(const MutantInfo& mutant, uint64_t first_seed, uint64_t seed_count);
// The number of the invariant that a failure speaks of, as the reference list has it.
std::string InvariantOf(const std::string& failure);

// Adds the counts of a report.
void AddCounts(const SimReport& report, std::map<std::string, uint64_t>* counts);

}  // namespace gregor

#endif  // GREGOR_TESTS_SIM_SIM_RUN_H_
