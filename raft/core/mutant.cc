#include "raft/core/mutant.h"

namespace gregor::raft {

#ifdef GREGOR_MUTANTS
// For programs that switch nothing in; where a program of tests has a definition, that one counts.
[[gnu::weak]] bool IsMutant(int /*number*/, char /*variant*/) { return false; }
#endif

}  // namespace gregor::raft
