// Looks for seeds that catch a known bug.
#include <algorithm>
#include <array>
#include <cctype>
#include <string>
#include <utility>

#include "tests/sim/processes.h"
#include "tests/sim/sim_run.h"

namespace gregor {
namespace {

// What the checkers of logs and partitions say, and the number of what was violated.
struct Known {
  std::string_view text;
  std::string_view invariant;
};
constexpr std::array<Known, 15> kKnown = {{
    {kOwnCheck, "its own check"},
    {"both lead the metadata quorum", "R1"},
    {"cut below its synced mark", "P1"},
    {"acknowledged", "P1"},
    {"served before it is synced", "A12"},
    {"two contents", "R4"},
    {"leader epoch", "R4"},
    {"producer", "T6"},
    {"request is in the log twice", "T6"},
    {"is served, and a later one", "P11"},
    {"served", "P11"},
    {"deleted records are back", "P8"},
    {"high watermark", "R8"},
    {"topic", "C1"},
    {"synced mark", "P8"},
}};

}  // namespace

std::string InvariantOf(const std::string& failure) {
  const size_t colon = failure.find(':');
  const bool is_numbered = colon != std::string::npos && colon >= 2 && colon <= 3 &&
                           std::isupper(static_cast<unsigned char>(failure[0])) != 0 &&
                           std::isdigit(static_cast<unsigned char>(failure[1])) != 0;
  if (is_numbered) return failure.substr(0, colon);
  const auto known = std::find_if(kKnown.begin(), kKnown.end(), [&](const Known& each) {
    return failure.find(each.text) != std::string::npos;
  });
  return known == kKnown.end() ? "its scenario's checks" : std::string(known->invariant);
}

MutantHunt HuntMutant(const MutantInfo& mutant, uint64_t first_seed, uint64_t seed_count) {
  const Scenario* scenario = FindScenario(mutant.scenario);
  MutantHunt hunt;
  hunt.last_seed = first_seed - 1;
  while (!hunt.caught && hunt.last_seed + 1 < first_seed + seed_count) {
    const uint64_t begin = hunt.last_seed + 1;
    const auto [text, died] = ListenTo([&](const auto& say) {
      ActivateMutant(mutant.mutant);
      for (uint64_t seed = begin; seed < first_seed + seed_count; ++seed) {
        const SimReport report = scenario->run({.seed = seed, .mutant = mutant.mutant});
        say(report.failure + "\n");
        if (report.failed()) break;
      }
    });
    // A line for each run that ended, of which only the last one may say something.
    const auto ended = static_cast<uint64_t>(std::count(text.begin(), text.end(), '\n'));
    hunt.last_seed += ended + (died ? 1 : 0);
    const size_t said = text.find_first_not_of('\n');
    hunt.failure = said == std::string::npos ? "" : text.substr(said, text.size() - said - 1);
    if (died) hunt.failure = kOwnCheck;
    if (hunt.failure.empty()) break;
    // Without the mutant it has to pass.
    hunt.caught = !scenario->run({.seed = hunt.last_seed}).failed();
  }
  return hunt;
}

}  // namespace gregor
