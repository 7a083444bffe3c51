// gregor_sim_runner: searches the simulator for failures. Usage: `./dev sim --help`.
#include <glog/logging.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <iostream>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "tests/sim/sim_run.h"

namespace gregor {
namespace {

constexpr size_t kTraceShown = 150;
constexpr uint64_t kMutantSeeds = 500;
constexpr uint64_t kReplayEach = 100;  // so many seeds apart runs are made twice and compared

struct Options {
  std::optional<uint64_t> seeds;
  std::optional<uint64_t> seed;
  std::optional<double> minutes;
  uint64_t first_seed = 1;
  std::string scenario;
  std::string mutant;
  std::string without;
  bool mutants = false;
  bool counts = false;
  bool keep_going = false;
  size_t trace = kTraceShown;
};

[[noreturn]] void Usage(const std::string& problem) {
  if (!problem.empty()) std::cerr << "gregor_sim_runner: " << problem << "\n";
  std::cerr << "usage: gregor_sim_runner [--seeds N] [--first-seed S] [--seed S] [--minutes M] "
               "[--scenario NAME] [--without FAULT,...] [--mutants] [--mutant NAME] [--trace N] "
               "[--counts] [--keep-going]\nscenarios:\n";
  for (const Scenario& scenario : AllScenarios())
    std::cerr << "  " << scenario.name << ": " << scenario.about << "\n";
  std::cerr << "mutants:";
  for (const MutantInfo& mutant : AllMutants()) std::cerr << " " << mutant.name;
  std::cerr << "\n";
  std::exit(problem.empty() ? 0 : 2);
}

template <typename T>
T Number(std::string_view text) {
  T number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size())
    Usage("'" + std::string(text) + "' is not a number");
  return number;
}

Options Parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view name = argv[i];
    const auto value = [&]() -> std::string_view {
      if (++i == argc) Usage(std::string(name) + " needs a value");
      return argv[i];
    };
    if (name == "--seeds") {
      options.seeds = Number<uint64_t>(value());
    } else if (name == "--seed") {
      options.seed = Number<uint64_t>(value());
    } else if (name == "--first-seed") {
      options.first_seed = Number<uint64_t>(value());
    } else if (name == "--minutes") {
      options.minutes = Number<double>(value());
    } else if (name == "--scenario") {
      options.scenario = value();
    } else if (name == "--mutants") {
      options.mutants = true;
    } else if (name == "--without") {
      options.without = value();
    } else if (name == "--mutant") {
      options.mutant = value();
    } else if (name == "--trace") {
      options.trace = Number<size_t>(value());
    } else if (name == "--keep-going") {
      options.keep_going = true;
    } else if (name == "--counts") {
      options.counts = true;
    } else {
      Usage(name == "--help" ? "" : "no option '" + std::string(name) + "'");
    }
  }
  if (!options.scenario.empty() && FindScenario(options.scenario) == nullptr)
    Usage("no scenario '" + options.scenario + "'");
  return options;
}

Mutant MutantNamed(const std::string& name) {
  for (const MutantInfo& info : AllMutants()) {
    if (info.name == name) return info.mutant;
  }
  Usage("no mutant '" + name + "'");
}

double SecondsSince(MonotonicTime begin) {
  return std::chrono::duration<double>(SystemClock().Now() - begin).count();
}

std::string NamesOf(const Scenario& scenario, uint64_t faults) {
  std::string names;
  for (size_t i = 0; i < scenario.faults.size(); ++i) {
    if ((faults >> i & 1) != 0)
      names += (names.empty() ? "" : ",") + std::string(scenario.faults[i]);
  }
  return names;
}

double CpuSeconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

void Explain(const Scenario& scenario, SimRun run, size_t trace) {
  run = Shrink(scenario, run);
  run.trace_kept = trace;
  const SimReport report = scenario.run(run);
  std::cout << "--- the last " << report.trace.size() << " of " << report.event_count
            << " events:\n";
  for (const std::string& line : report.trace) std::cout << line << "\n";
  std::cout << "FAILED: " << report.failure << "\n"
            << "seed " << run.seed << ", scenario " << scenario.name;
  if (run.left_out != 0) {
    std::cout << ", fails also without " << NamesOf(scenario, run.left_out) << "; left are "
              << NamesOf(scenario, ~run.left_out);
  }
  if (run.mutant != Mutant::kNone) std::cout << ", mutant " << NameOf(run.mutant);
  std::cout << "\nto replay: ./dev sim --scenario " << scenario.name << " --seed " << run.seed;
  if (run.left_out != 0) std::cout << " --without " << NamesOf(scenario, run.left_out);
  if (run.mutant != Mutant::kNone) std::cout << " --mutant " << NameOf(run.mutant);
  std::cout << "\n";
}

uint64_t LeftOut(const Scenario& scenario, const std::string& names) {
  uint64_t left_out = 0;
  std::istringstream list(names);
  for (std::string name; std::getline(list, name, ',');) {
    const auto found = std::find(scenario.faults.begin(), scenario.faults.end(), name);
    if (found == scenario.faults.end()) Usage("no fault '" + name + "' in this scenario");
    left_out |= uint64_t{1} << (found - scenario.faults.begin());
  }
  return left_out;
}

// Whether a second run of the seed is the same; prints if not.
bool ReplaysTheSame(const Scenario& scenario, const SimRun& run, const SimReport& report) {
  const SimReport again = scenario.run(run);
  if (again.trace_hash == report.trace_hash && again.event_count == report.event_count) return true;
  std::cout << "FAILED: seed " << run.seed << " of scenario " << scenario.name
            << " is not the same run twice: " << report.event_count << " and " << again.event_count
            << " events\n";
  return false;
}

struct Kind {
  uint64_t count = 0;
  uint64_t seed = 0;
  std::string example;
};

void PrintKinds(const std::map<std::string, Kind>& kinds) {
  for (const auto& [kind, found] : kinds) {
    std::cout << found.count << " failures like seed " << found.seed << ": "
              << found.example.substr(0, 300) << "\n";
  }
}

int Search(const Options& options) {
  const Mutant mutant = options.mutant.empty() ? Mutant::kNone : MutantNamed(options.mutant);
  ActivateMutant(mutant);
  const MonotonicTime begin = SystemClock().Now();
  const uint64_t count = options.seed.has_value() ? 1 : options.seeds.value_or(1000);
  uint64_t runs = 0, events = 0, hash = 0;
  const double cpu_begin = CpuSeconds();
  std::map<std::string, uint64_t> counts;
  std::map<std::string, Kind> kinds;
  for (uint64_t i = 0; options.minutes.has_value() || i < count; ++i) {
    if (options.minutes.has_value() && SecondsSince(begin) > *options.minutes * 60) break;
    for (const Scenario& scenario : AllScenarios()) {
      if (!options.scenario.empty() && scenario.name != options.scenario) continue;
      SimRun run;
      run.seed = options.seed.value_or(options.first_seed + i);
      run.mutant = mutant;
      run.left_out = LeftOut(scenario, options.without);
      const SimReport report = scenario.run(run);
      ++runs;
      events += report.event_count;
      hash = runs == 1 ? report.trace_hash : hash * 31 + report.trace_hash;
      AddCounts(report, &counts);
      if (report.failed() && options.keep_going) {
        Kind& kind = kinds[KindOf(report.failure)];
        if (++kind.count == 1) kind = {1, run.seed, report.failure};
        continue;
      }
      if (report.failed()) {
        Explain(scenario, run, options.trace);
        return 1;
      }
      if (i % kReplayEach == 0 && !ReplaysTheSame(scenario, run, report)) return 1;
    }
  }
  const double seconds = SecondsSince(begin);
  if (options.counts) {
    for (const auto& [name, number] : counts) std::cout << number << "\t" << name << "\n";
  }
  PrintKinds(kinds);
  const double cpu = CpuSeconds() - cpu_begin;
  std::printf("%llu runs, %llu events, %.1f s, %.1f CPU seconds, %.0f runs/s",
              static_cast<unsigned long long>(runs), static_cast<unsigned long long>(events),
              seconds, cpu, static_cast<double>(runs) / seconds);
  const uint64_t simulated = counts["simulated seconds"];
  if (!options.scenario.empty() && simulated > 0)
    std::printf(", %.0f simulated seconds per CPU second", static_cast<double>(simulated) / cpu);
  std::printf("\nhash=%016llx\n", static_cast<unsigned long long>(hash));
  return kinds.empty() ? 0 : 1;
}

int SearchMutants(const Options& options) {
  int missed = 0;
  for (const MutantInfo& info : AllMutants()) {
    if (!options.scenario.empty() && info.scenario != options.scenario) continue;
    if (!options.mutant.empty() && info.name != options.mutant) continue;
    const MutantHunt hunt =
        HuntMutant(info, options.first_seed, options.seeds.value_or(kMutantSeeds));
    const uint64_t runs = hunt.last_seed + 1 - options.first_seed;
    const std::string number = info.number == 0
                                   ? "-"
                                   : std::to_string(info.number) +
                                         (info.variant == 'a' ? "" : std::string(1, info.variant));
    std::cout << "mutant " << number
              << (hunt.caught ? " caught by " + InvariantOf(hunt.failure) : " MISSED") << " after "
              << runs << " seeds: " << info.name << ", scenario " << info.scenario
              << (hunt.caught ? ": " + hunt.failure : "") << std::endl;
    missed += hunt.caught ? 0 : 1;
  }
  std::cout << missed << " mutants missed\n";
  return missed == 0 ? 0 : 1;
}

}  // namespace
}  // namespace gregor

int main(int argc, char** argv) {
  google::InitGoogleLogging(argv[0]);
  FLAGS_logtostderr = true;
  FLAGS_minloglevel = google::GLOG_FATAL;
  gregor::Options options = gregor::Parse(argc, argv);
  std::cout << "first seed " << options.seed.value_or(options.first_seed) << std::endl;
  return options.mutants ? gregor::SearchMutants(options) : gregor::Search(options);
}
