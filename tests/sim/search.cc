#include "tests/sim/search.h"

#include <algorithm>
#include <chrono>
#include <ctime>
#include <functional>
#include <sstream>
#include <utility>

#include "base/clock.h"
#include "tests/sim/processes.h"
#include "tests/sim/trace.h"

namespace gregor {
namespace {

constexpr uint64_t kReplayEach = 100;  // so many seeds apart runs are made twice and compared
constexpr char kSimulatedSeconds[] = "simulated seconds";

double CpuSeconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

double SecondsSince(MonotonicTime begin) {
  return std::chrono::duration<double>(SystemClock().Now() - begin).count();
}

// A run's report without its trace, as text.
std::string Encode(const SimReport& report, double cpu_seconds) {
  std::ostringstream text;
  text << report.trace_hash << ' ' << report.event_count << ' ' << cpu_seconds << ' '
       << report.counts.size() << '\n';
  for (const auto& [name, count] : report.counts) text << count << ' ' << name << '\n';
  text << report.failure;
  return text.str();
}

SimReport Decode(const std::string& text, double* cpu_seconds) {
  std::istringstream in(text);
  SimReport report;
  size_t counts = 0;
  in >> report.trace_hash >> report.event_count >> *cpu_seconds >> counts;
  for (size_t i = 0; i < counts; ++i) {
    uint64_t count = 0;
    std::string name;
    in >> count;
    in.get();
    std::getline(in, name);
    report.counts[name] = count;
  }
  if (counts == 0) in.get();
  report.failure.assign(std::istreambuf_iterator<char>(in), {});
  return report;
}

// The run, and where its seed says so once more.
SimReport Run(const Scenario& scenario, const SimRun& run) {
  SimReport report = scenario.run(run);
  if (report.failed() || run.seed % kReplayEach != 0 || scenario.is_long) return report;
  const SimReport again = scenario.run(run);
  if (again.trace_hash != report.trace_hash || again.counts != report.counts ||
      again.failure != report.failure)
    report.failure = "the seed is not the same run twice";
  return report;
}

class Searching {
 public:
  explicit Searching(const SearchOptions& options)
      : options_(options), begin_(SystemClock().Now()) {
    result_.efforts.resize(options.scenarios.size());
  }

  SearchResult Run() {
    ActivateMutant(options_.mutant);
    const uint64_t count = options_.seed_count * options_.scenarios.size();
    RunInProcesses(
        options_.process_count, count,
        [&](uint64_t index) {
          const double begin = CpuSeconds();
          const SimReport report = gregor::Run(ScenarioOf(index), RunOf(index));
          return Encode(report, CpuSeconds() - begin);
        },
        [&](const Outcome& outcome) { return Take(outcome); });
    result_.seconds = SecondsSince(begin_);
    return std::move(result_);
  }

 private:
  const Scenario& ScenarioOf(uint64_t index) const {
    return *options_.scenarios[index % options_.scenarios.size()];
  }
  SimRun RunOf(uint64_t index) const {
    return {.seed = options_.first_seed + index / options_.scenarios.size(),
            .mutant = options_.mutant,
            .left_out = options_.left_out,
            .chaos_seconds = options_.chaos_seconds};
  }

  // Whether to go on.
  bool Take(const Outcome& outcome) {
    double cpu_seconds = 0;
    SimReport report;
    if (outcome.died) {
      report.failure = kOwnCheck;
    } else {
      report = Decode(outcome.text, &cpu_seconds);
    }
    const SimRun run = RunOf(outcome.index);
    const Scenario& scenario = ScenarioOf(outcome.index);
    ++result_.runs;
    auto& effort = result_.efforts[outcome.index % options_.scenarios.size()];
    ++effort.runs;
    effort.events += report.event_count;
    effort.cpu_seconds += cpu_seconds;
    const auto simulated = report.counts.find(kSimulatedSeconds);
    if (simulated != report.counts.end()) effort.simulated_seconds += simulated->second;
    // A sum, as runs end in any order.
    result_.hash += HashOf(std::string(scenario.name) + " " + std::to_string(run.seed) + " " +
                           std::to_string(report.trace_hash));
    AddCounts(report, &result_.counts);
    if (report.failed()) {
      const auto [known, is_new] = result_.failures.try_emplace(
          KindOf(report.failure), SearchResult::Failure{&scenario, run, report.failure});
      if (!is_new) ++known->second.count;
    }
    if (options_.minutes.has_value() && SecondsSince(begin_) > *options_.minutes * 60) return false;
    return options_.keep_going || !report.failed();
  }

  const SearchOptions& options_;
  const MonotonicTime begin_;
  SearchResult result_;
};

}  // namespace

SearchResult Search(const SearchOptions& options) { return Searching(options).Run(); }

void HuntMutants(const std::vector<MutantInfo>& mutants, uint64_t first_seed, uint64_t seed_count,
                 int process_count,
                 const std::function<void(const MutantInfo&, const MutantHunt&)>& take) {
  std::map<uint64_t, MutantHunt> hunts;  // that ended before one of the list before them
  uint64_t next = 0;
  RunInProcesses(
      process_count, mutants.size(),
      [&](uint64_t index) {
        const MutantHunt hunt = HuntMutant(mutants[index], first_seed, seed_count);
        return std::to_string(hunt.caught ? 1 : 0) + " " + std::to_string(hunt.last_seed) + " " +
               hunt.failure;
      },
      [&](const Outcome& outcome) {
        std::istringstream in(outcome.text);
        MutantHunt& hunt = hunts[outcome.index];
        in >> hunt.caught >> hunt.last_seed;
        in.get();
        std::getline(in, hunt.failure);
        if (outcome.died) hunt.failure = "the unchanged product fails";
        for (auto ready = hunts.find(next); ready != hunts.end(); ready = hunts.find(next))
          take(mutants[next++], hunts.extract(ready).mapped());
        return true;
      });
}

}  // namespace gregor
