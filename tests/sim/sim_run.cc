#include "tests/sim/sim_run.h"

#include "tests/raft/chaos_run.h"
#include "tests/sim/processes.h"

namespace gregor {

const std::vector<Scenario>& AllScenarios() {
  static const std::vector<std::string_view> kClusterFaults = {
      "kill",        "power-loss",  "power-loss-of-all",
      "kill-leader", "isolate",     "bridge",
      "heal",        "pause",       "slow-disk",
      "hang",        "failed-call", "clock-jump",
      "wipe",        "clone",       "loss",
      "duplicate",   "late"};
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
      {"raft", "the quorum's algorithm alone, with changes of voters", RunRaftScenario,
       raft::ChaosRun::FaultNames()},
      {"quorum",
       "voters and observers of the metadata quorum: elections, replication, faults of all kinds",
       RunQuorumScenario,
       {"kill", "power-loss", "power-loss-of-all", "kill-leader", "isolate", "bridge", "heal",
        "pause", "slow-disk", "hang", "failed-call", "wipe", "change-voters", "loss", "duplicate",
        "late", "snapshots", "damage", "full-disk"},
       false,
       30},
      {"controllers",
       "controllers on a metadata quorum, and who asks them",
       RunControllersScenario,
       {"kill", "kill-leader", "power-loss", "power-loss-of-all", "isolate", "pause", "slow-disk",
        "heal", "loss", "duplicate", "cut-snapshots", "damage", "full-disk"},
       false,
       25},
      {"cluster",
       "controllers and brokers: operations from everywhere, sessions, faults of all kinds",
       RunClusterScenario, kClusterFaults, false, 60},
      {"soak", "a day of a cluster: logs are trimmed, memory and snapshots bounded",
       RunSoakScenario, kClusterFaults, true},
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

std::string FailureOf(const Scenario& scenario, const SimRun& run) {
  const Said said = ListenTo([&](const auto& say) {
    ActivateMutant(run.mutant);
    say(scenario.run(run).failure);
  });
  return said.died ? kOwnCheck : said.text;
}

SimRun Shrink(const Scenario& scenario, SimRun run) {
  const std::string kind = KindOf(FailureOf(scenario, run));
  for (size_t fault = 0; fault < scenario.faults.size(); ++fault) {
    SimRun fewer = run;
    fewer.left_out |= uint64_t{1} << fault;
    if (KindOf(FailureOf(scenario, fewer)) == kind) run = fewer;
  }
  int fails = scenario.chaos_seconds_max, passes = 0;
  while (fails - passes > 1) {
    SimRun shorter = run;
    shorter.chaos_seconds = passes + (fails - passes) / 2;
    if (KindOf(FailureOf(scenario, shorter)) == kind) {
      run = shorter;
      fails = shorter.chaos_seconds;
    } else {
      passes = shorter.chaos_seconds;
    }
  }
  return run;
}

void AddCounts(const SimReport& report, std::map<std::string, uint64_t>* counts) {
  for (const auto& [name, count] : report.counts) (*counts)[name] += count;
}

}  // namespace gregor
