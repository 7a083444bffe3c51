#include "tests/sim/sim_run.h"

namespace gregor {

const std::vector<Scenario>& AllScenarios() {
  static const std::vector<Scenario> scenarios = {
      {"storage", "logs on simulated disks: appends, cuts, deletions, crashes, faults",
       RunStorageScenario},
  };
  return scenarios;
}

const Scenario* FindScenario(std::string_view name) {
  for (const Scenario& scenario : AllScenarios()) {
    if (scenario.name == name) return &scenario;
  }
  return nullptr;
}

void AddCounts(const SimReport& report, std::map<std::string, uint64_t>* counts) {
  for (const auto& [name, count] : report.counts) (*counts)[name] += count;
}

}  // namespace gregor
