#include "raft/core/mutant.h"

namespace gregor::raft {

#ifdef GREGOR_MUTANTS_SHARED
// For programs that switch nothing in; where a program of tests has a definition, that one counts.
// Only here: a product that is linked with a copy that has the switches must lack it.
[[gnu::weak]] bool IsMutant(int /*number*/, char /*variant*/) { return false; }
#endif

}  // namespace gregor::raft
