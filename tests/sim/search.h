#ifndef GREGOR_TESTS_SIM_SEARCH_H_
#define GREGOR_TESTS_SIM_SEARCH_H_

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tests/sim/sim_run.h"

namespace gregor {

// What `./dev sim` does: many seeds of some scenarios, on all processors.
struct SearchOptions {
  std::vector<const Scenario*> scenarios;
  uint64_t first_seed = 1;
  uint64_t seed_count = 1000;
  std::optional<double> minutes;  // no run begins later; unset: all seeds
  Mutant mutant = Mutant::kNone;
  uint64_t left_out = 0;  // of each run
  int chaos_seconds = 0;  // of each run; 0: as it is drawn
  bool keep_going = false;
  int process_count = 1;
};

struct SearchResult {
  struct Effort {
    uint64_t runs = 0;
    uint64_t events = 0;
    double cpu_seconds = 0;
    uint64_t simulated_seconds = 0;
  };
  struct Failure {
    const Scenario* scenario = nullptr;
    SimRun run;
    std::string what;
    uint64_t count = 1;  // how many were alike
  };

  uint64_t runs = 0;
  double seconds = 0;
  uint64_t hash = 0;  // of all runs, in whatever order they ended
  std::map<std::string, uint64_t> counts;
  std::vector<Effort> efforts;              // in the order of the scenarios
  std::map<std::string, Failure> failures;  // by kind
};

// Each run is made in a process of its own or after others of one; every hundredth seed is run
// twice, and has to be the same run. Ends with the first failure, unless it is to keep going.
SearchResult Search(const SearchOptions& options);

// Looks for each mutant with so many seeds, on all processors, and gives what came of it to `take`
// in the order of the list.
void HuntMutants(const std::vector<MutantInfo>& mutants, uint64_t first_seed, uint64_t seed_count,
                 int process_count,
                 const std::function<void(const MutantInfo&, const MutantHunt&)>& take);

}  // namespace gregor

#endif  // GREGOR_TESTS_SIM_SEARCH_H_
