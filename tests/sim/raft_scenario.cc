// The algorithm alone: the random runs of tests/raft as a scenario of the simulator.
#include <chrono>
#include <sstream>

#include "tests/raft/chaos_run.h"
#include "tests/sim/sim_run.h"
#include "tests/sim/trace.h"

namespace gregor {
namespace {

constexpr int kSteps = 1500;

}  // namespace

SimReport RunRaftScenario(const SimRun& run) {
  SimReport report;
  const auto keep = [&](const std::string& line) {
    report.trace.push_back(line);
    if (report.trace.size() > run.trace_kept) report.trace.pop_front();
  };
  raft::ChaosRun::Setup setup{.seed = run.seed, .left_out = run.left_out, .note = {}};
  if (run.trace_kept > 0) setup.note = keep;
  raft::ChaosRun chaos(std::move(setup));
  const MonotonicTime begin = chaos.now();
  chaos.Run(kSteps);
  const raft::RaftChecks& checks = chaos.checks();
  const bool settled = checks.violations().empty() && chaos.Settle();
  if (!checks.violations().empty()) {
    report.failure = checks.violations().front();
  } else if (!settled) {
    report.failure = "L1: the quorum does not get on when all is well again";
  }
  // Whatever went another way shows in what was committed, or in where the nodes are.
  const std::string state = chaos.Describe();
  report.trace_hash = HashOf(state);
  for (const raft::StoredBatch& batch : checks.batches())
    report.trace_hash = report.trace_hash * 31 + batch.chain;
  report.event_count = kSteps;
  report.counts["simulated seconds"] =
      static_cast<uint64_t>((chaos.now() - begin) / std::chrono::seconds(1));
  report.counts["committed batches"] = checks.batches().size();
  std::istringstream lines(state);
  for (std::string line; run.trace_kept > 0 && std::getline(lines, line);)
    report.trace.push_back(line);
  return report;
}

}  // namespace gregor
