#include "tests/sim/sim_run.h"

namespace gregor {

const std::vector<Scenario>& AllScenarios() {
  static const std::vector<Scenario> scenarios = {
      {"storage", "logs on simulated disks: appends, cuts, deletions, crashes, faults",
       RunStorageScenario},
      {"broker", "a node without its doors: topics, producers, readers, restarts",
       RunBrokerScenario},
      {"quorum",
       "voters and observers of the metadata quorum: elections, replication, faults of all kinds",
       RunQuorumScenario},
      {"cluster",
       "controllers and brokers: operations from everywhere, sessions, fencing, faults of all kinds",
       RunClusterScenario},
  };
  return scenarios;
}

const Scenario* FindScenario(std::string_view name) {
  for (const Scenario& scenario : AllScenarios()) {
    if (scenario.name == name) return &scenario;
  }
  return nullptr;
}

MutantHunt HuntMutant(const MutantInfo& mutant, uint64_t first_seed, uint64_t seed_count) {
  const Scenario* scenario = FindScenario(mutant.scenario);
  MutantHunt hunt;
  for (uint64_t seed = first_seed; seed < first_seed + seed_count && !hunt.caught; ++seed) {
    hunt.last_seed = seed;
    const SimReport report = scenario->run({.seed = seed, .mutant = mutant.mutant});
    if (!report.failed() || scenario->run({.seed = seed}).failed()) continue;
    hunt.caught = true;
    hunt.failure = report.failure;
  }
  return hunt;
}

void AddCounts(const SimReport& report, std::map<std::string, uint64_t>* counts) {
  for (const auto& [name, count] : report.counts) (*counts)[name] += count;
}

}  // namespace gregor
