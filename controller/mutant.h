#ifndef GREGOR_CONTROLLER_MUTANT_H_
#define GREGOR_CONTROLLER_MUTANT_H_

namespace gregor {

// Known bugs of controllers, by which the tests are tested (tests/controller/mutants): each is
// switched in alone, and has to be caught. In the product there are none: this is always false, and
// what it guards is not compiled.
#ifdef GREGOR_MUTANTS
bool IsMutant(int number, char variant = 'a');
#else
constexpr bool IsMutant(int /*number*/, char /*variant*/ = 'a') { return false; }
#endif

}  // namespace gregor

#endif  // GREGOR_CONTROLLER_MUTANT_H_
