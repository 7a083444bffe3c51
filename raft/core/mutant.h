#ifndef GREGOR_RAFT_CORE_MUTANT_H_
#define GREGOR_RAFT_CORE_MUTANT_H_

namespace gregor::raft {

// Known bugs of Raft implementations, by which the tests are tested (tests/raft/mutants): each is
// switched in alone, and has to be caught. In what is shipped there are none: this is always false,
// and what it guards is not compiled. docs/adr/0023-known-bugs-in-dev.md says where else.
#ifdef GREGOR_MUTANTS
bool IsMutant(int number, char variant = 'a');
#else
consteval bool IsMutant(int /*number*/, char /*variant*/ = 'a') { return false; }
#endif

}  // namespace gregor::raft

#endif  // GREGOR_RAFT_CORE_MUTANT_H_
