// gregor_sim_runner: searches the simulator for failures. Usage: `./dev sim --help`.
#include <glog/logging.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "tests/sim/processes.h"
#include "tests/sim/search.h"
#include "tests/sim/sim_run.h"
#include "tests/sim/trace.h"

namespace gregor {
namespace {

constexpr size_t kTraceShown = 150;
constexpr uint64_t kMutantSeeds = 500;
constexpr uint64_t kSeeds = 2000;
constexpr uint64_t kSoakSeeds = 20;
constexpr uint64_t kEndless = UINT64_MAX / 1000;  // by scenarios: still a number

struct Options {
  std::optional<uint64_t> seeds;
  std::optional<uint64_t> seed;
  std::optional<double> minutes;
  std::optional<uint64_t> first_seed;
  std::string scenario;
  std::string mutant;
  std::string without;
  int chaos_seconds = 0;
  bool mutants = false;
  bool counts = false;
  bool keep_going = false;
  bool log = false;
  size_t trace = kTraceShown;
  int processes = ProcessorCount();

  uint64_t FirstSeed() const { return seed.value_or(first_seed.value_or(1)); }
};

[[noreturn]] void Usage(const std::string& problem) {
  if (!problem.empty()) std::cerr << "gregor_sim_runner: " << problem << "\n";
  std::cerr << "usage: gregor_sim_runner [--seeds N] [--first-seed S] [--seed S] [--minutes M] "
               "[--scenario NAME] [--without FAULT,...] [--chaos SECONDS] [--mutants] [--mutant "
               "NAME] [--trace N] "
               "[--counts] [--log] [--keep-going] [--processes N] [--soak]\nscenarios:\n";
  for (const Scenario& scenario : AllScenarios())
    std::cerr << "  " << scenario.name << ": " << scenario.about << "\n";
  if (!AllMutants().empty()) std::cerr << "mutants:";
  for (const MutantInfo& mutant : AllMutants()) std::cerr << " " << mutant.name;
  if (!AllMutants().empty()) std::cerr << "\n";
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

// What would be left out without a word.
void RefuseContradictions(const Options& options) {
  if (options.seed.has_value() && options.first_seed.has_value())
    Usage("--seed and --first-seed both say where to begin: give one of them");
  if (options.seeds == uint64_t{0}) Usage("--seeds 0 runs nothing: give at least 1");
  if (options.mutants && options.scenario == "soak")
    Usage("no mutants are hunted by the soak: give --mutants or --soak");
  if (options.mutants &&
      (options.minutes.has_value() || !options.without.empty() || options.chaos_seconds != 0))
    Usage("--mutants hunts with --seeds, and takes no --minutes, --without or --chaos");
  if (AllMutants().empty() && (options.mutants || !options.mutant.empty()))
    Usage(
        "no known bugs are compiled in here: `./dev sim --mutants` takes the build that has them");
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
    } else if (name == "--soak") {
      options.scenario = "soak";
    } else if (name == "--without") {
      options.without = value();
    } else if (name == "--chaos") {
      options.chaos_seconds = Number<int>(value());
    } else if (name == "--mutant") {
      options.mutant = value();
    } else if (name == "--trace") {
      options.trace = Number<size_t>(value());
    } else if (name == "--keep-going") {
      options.keep_going = true;
    } else if (name == "--counts") {
      options.counts = true;
    } else if (name == "--log") {
      options.log = true;
    } else if (name == "--processes") {
      options.processes = Number<int>(value());
    } else {
      Usage(name == "--help" ? "" : "no option '" + std::string(name) + "'");
    }
  }
  if (!options.scenario.empty() && FindScenario(options.scenario) == nullptr)
    Usage("no scenario '" + options.scenario + "'");
  RefuseContradictions(options);
  return options;
}

Mutant MutantNamed(const std::string& name) {
  for (const MutantInfo& info : AllMutants()) {
    if (info.name == name) return info.mutant;
  }
  Usage("no mutant '" + name + "'");
}

std::string NamesOf(const Scenario& scenario, uint64_t faults) {
  std::string names;
  for (size_t i = 0; i < scenario.faults.size(); ++i) {
    if ((faults >> i & 1) != 0)
      names += (names.empty() ? "" : ",") + std::string(scenario.faults[i]);
  }
  return names;
}

void Explain(const Scenario& scenario, SimRun run, size_t trace) {
  if (!scenario.is_long) run = Shrink(scenario, run);
  run.trace_kept = trace;
  PrintTraceAtFatal();  // what is found again may be a check of the product's own
  ActivateMutant(run.mutant);
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
  if (run.chaos_seconds != 0) std::cout << " --chaos " << run.chaos_seconds;
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

uint64_t Seconds(double seconds) { return static_cast<uint64_t>(seconds + 0.5); }

void PrintEfforts(const SearchOptions& options, const SearchResult& result) {
  double cpu_seconds = 0, simulated = 0;
  uint64_t events = 0;
  for (const auto& effort : result.efforts) {
    cpu_seconds += effort.cpu_seconds;
    simulated += static_cast<double>(effort.simulated_seconds);
    events += effort.events;
  }
  std::printf("%-12s %8s %10s %10s %12s %18s\n", "scenario", "runs", "CPU s", "ms a run",
              "simulated s", "simulated s/CPU s");
  for (size_t i = 0; i < result.efforts.size(); ++i) {
    const auto& effort = result.efforts[i];
    const double runs = static_cast<double>(std::max<uint64_t>(effort.runs, 1));
    const double cpu = std::max(effort.cpu_seconds, 1e-6);
    std::printf("%-12s %8llu %10.1f %10.1f %12llu %18.0f\n",
                std::string(options.scenarios[i]->name).c_str(),
                static_cast<unsigned long long>(effort.runs), effort.cpu_seconds,
                effort.cpu_seconds / runs * 1000,
                static_cast<unsigned long long>(effort.simulated_seconds),
                static_cast<double>(effort.simulated_seconds) / cpu);
  }
  std::printf(
      "%llu runs of %llu seeds, %llu events, %.1f s, %.1f CPU seconds, %.1f runs/s, "
      "%llu simulated seconds per real second\n",
      static_cast<unsigned long long>(result.runs),
      static_cast<unsigned long long>(result.runs / options.scenarios.size()),
      static_cast<unsigned long long>(events), result.seconds, cpu_seconds,
      static_cast<double>(result.runs) / result.seconds,
      static_cast<unsigned long long>(Seconds(simulated / result.seconds)));
}

uint64_t SeedCount(const Options& options) {
  if (options.seeds.has_value()) return *options.seeds;
  if (options.seed.has_value()) return 1;
  if (options.minutes.has_value()) return kEndless;
  return options.scenario == "soak" ? kSoakSeeds : kSeeds;
}

int RunSearch(const Options& options) {
  SearchOptions search;
  for (const Scenario& scenario : AllScenarios()) {
    if (options.scenario.empty() ? !scenario.is_long : scenario.name == options.scenario)
      search.scenarios.push_back(&scenario);
  }
  search.first_seed = options.FirstSeed();
  search.seed_count = SeedCount(options);
  search.minutes = options.minutes;
  search.mutant = options.mutant.empty() ? Mutant::kNone : MutantNamed(options.mutant);
  if (!options.without.empty() && options.scenario.empty()) Usage("--without needs --scenario");
  if (!options.without.empty()) search.left_out = LeftOut(*search.scenarios[0], options.without);
  search.chaos_seconds = options.chaos_seconds;
  search.keep_going = options.keep_going;
  search.process_count = options.processes;
  const SearchResult result = Search(search);
  if (options.counts) {
    for (const auto& [name, number] : result.counts) std::cout << number << "\t" << name << "\n";
  }
  for (const auto& [kind, failure] : result.failures) {
    if (!options.keep_going) {
      Explain(*failure.scenario, failure.run, options.trace);
      return 1;
    }
    std::cout << failure.count << " failures like scenario " << failure.scenario->name << ", seed "
              << failure.run.seed << ": " << failure.what.substr(0, 300) << "\n";
  }
  PrintEfforts(search, result);
  std::printf("hash=%016llx\n", static_cast<unsigned long long>(result.hash));
  return result.failures.empty() ? 0 : 1;
}

int RunMutants(const Options& options) {
  std::vector<MutantInfo> mutants = AllMutants();
  std::erase_if(mutants, [&](const MutantInfo& info) {
    return (!options.scenario.empty() && info.scenario != options.scenario) ||
           (!options.mutant.empty() && info.name != options.mutant);
  });
  // Those of the reference list in its order, and then the others.
  std::stable_sort(mutants.begin(), mutants.end(), [](const MutantInfo& a, const MutantInfo& b) {
    return std::pair(a.number == 0, a.number) < std::pair(b.number == 0, b.number);
  });
  const MonotonicTime begin = SystemClock().Now();
  int missed = 0;
  const auto print = [&](const MutantInfo& info, const MutantHunt& hunt) {
    std::string number = info.number == 0 ? "-" : std::to_string(info.number);
    if (info.variant != 'a') number += info.variant;
    std::cout << "mutant " << number
              << (hunt.caught ? " caught by " + InvariantOf(hunt.failure) : " MISSED") << " after "
              << hunt.last_seed + 1 - options.FirstSeed() << " seeds: " << info.name
              << ", scenario " << info.scenario << (hunt.failure.empty() ? "" : ": " + hunt.failure)
              << std::endl;
    missed += hunt.caught ? 0 : 1;
  };
  HuntMutants(mutants, options.FirstSeed(), options.seeds.value_or(kMutantSeeds), options.processes,
              print);
  const auto seconds = std::chrono::duration<double>(SystemClock().Now() - begin).count();
  std::cout << mutants.size() << " mutants in " << Seconds(seconds) << " s, " << missed
            << " missed\n";
  return missed == 0 ? 0 : 1;
}

}  // namespace
}  // namespace gregor

int main(int argc, char** argv) {
  google::InitGoogleLogging(argv[0]);
  FLAGS_logtostderr = true;
  gregor::Options options = gregor::Parse(argc, argv);
  FLAGS_minloglevel = options.log ? google::GLOG_INFO : google::GLOG_FATAL;
  std::cout << "first seed " << options.FirstSeed() << std::endl;
  return options.mutants ? gregor::RunMutants(options) : gregor::RunSearch(options);
}
