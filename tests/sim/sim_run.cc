#include "tests/sim/sim_run.h"

namespace gregor {

const std::vector<Scenario>& AllScenarios() {
  static const std::vector<Scenario> scenarios = {
      {"storage",
       "logs on simulated disks: appends, cuts, deletions, crashes, faults",
       RunStorageScenario,
       {"kill", "power-loss", "power-loss-inside", "clean-restart", "fail-call", "fail-calls",
        "full-disk", "slow-disk", "hanging-disk", "flip-bit", "flip-writes", "misdirect-writes",
        "wall-clock", "lose-marks"}},
      {"broker",
       "a node without its doors: topics, producers, readers, restarts",
       RunBrokerScenario,
       {"kill", "power-loss", "power-loss-inside", "clean-restart", "fail-call", "full-disk",
        "slow-disk", "hanging-disk"}},
      {"raft", "the quorum's algorithm alone, with changes of voters", RunRaftScenario},
      {"quorum",
       "voters and observers of the metadata quorum: elections, replication, faults of all kinds",
       RunQuorumScenario,
       {"kill", "power-loss", "power-loss-of-all", "kill-leader", "isolate", "bridge", "heal",
        "pause", "slow-disk", "hang", "failed-call", "wipe", "loss", "duplicate", "late",
        "snapshots"}},
      {"controllers",
       "controllers on a metadata quorum, and who asks them",
       RunControllersScenario,
       {"kill", "kill-leader", "power-loss", "power-loss-of-all", "isolate", "pause", "slow-disk",
        "heal", "loss", "duplicate", "cut-snapshots"}},
      {"cluster",
       "controllers and brokers: operations from everywhere, sessions, faults of all kinds",
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

// A failure's text without its numbers: what failures are told apart by.
std::string KindOf(const std::string& failure) {
  std::string kind;
  bool in_path = false;
  for (const char c : failure) {
    in_path = c == '/' || (in_path && c != ' ');
    if (in_path && c != '/') continue;
    const bool digit = c >= '0' && c <= '9';
    if (!digit) kind += c;
    if (digit && !kind.ends_with('#')) kind += '#';
  }
  return kind.substr(0, 120);
}

SimRun Shrink(const Scenario& scenario, SimRun run) {
  const std::string kind = KindOf(scenario.run(run).failure);
  for (size_t fault = 0; fault < scenario.faults.size(); ++fault) {
    SimRun fewer = run;
    fewer.left_out |= uint64_t{1} << fault;
    if (KindOf(scenario.run(fewer).failure) == kind) run = fewer;
  }
  return run;
}

void AddCounts(const SimReport& report, std::map<std::string, uint64_t>* counts) {
  for (const auto& [name, count] : report.counts) (*counts)[name] += count;
}

}  // namespace gregor
