#ifndef GREGOR_TESTS_SIM_SIM_RUN_H_
#define GREGOR_TESTS_SIM_SIM_RUN_H_

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/sim/mutants.h"

namespace gregor {

// One run of a scenario: everything that happens in it follows from these.
struct SimRun {
  uint64_t seed = 1;
  Mutant mutant = Mutant::kNone;
  size_t trace_kept = 0;  // so many of the last events come back as text
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

// The metadata quorum: voters and observers, with nothing on top.
SimReport RunQuorumScenario(const SimRun& run);

// Controllers and brokers of a cluster: their metadata, sessions and administrators.
SimReport RunClusterScenario(const SimRun& run);

struct Scenario {
  std::string_view name;
  std::string_view about;
  SimReport (*run)(const SimRun&);
};
const std::vector<Scenario>& AllScenarios();
const Scenario* FindScenario(std::string_view name);

// Looks for a seed whose run fails with the mutant, and passes without it.
struct MutantHunt {
  bool caught = false;
  uint64_t last_seed = 0;
  std::string failure;
};
MutantHunt HuntMutant(const MutantInfo& mutant, uint64_t first_seed, uint64_t seed_count);

// Adds the counts of a report.
void AddCounts(const SimReport& report, std::map<std::string, uint64_t>* counts);

}  // namespace gregor

#endif  // GREGOR_TESTS_SIM_SIM_RUN_H_
