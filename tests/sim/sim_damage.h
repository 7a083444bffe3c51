#ifndef GREGOR_TESTS_SIM_SIM_DAMAGE_H_
#define GREGOR_TESTS_SIM_SIM_DAMAGE_H_

#include <string>
#include <string_view>

#include "base/random.h"
#include "tests/sim/sim_file_system.h"

namespace gregor {

// Flips a bit of the file's bytes [begin, end). False: it is not there.
bool FlipAnyBit(SimFileSystem& files, const std::string& path, uint64_t begin, uint64_t end,
                Random& random);

// Both flip a bit of what a stopped node has durably. False: there is too little.

// ... in a segment of a log below `folder`. The mark of a log trails what is synced, and what is
// taken for a torn write lies near the end: that is left as it is.
bool FlipLogBit(SimFileSystem& files, std::string_view folder, Random& random);
// ... in one of several snapshots: of one alone it is not known that it is not needed.
bool FlipSnapshotBit(SimFileSystem& files, Random& random);

}  // namespace gregor

#endif  // GREGOR_TESTS_SIM_SIM_DAMAGE_H_
