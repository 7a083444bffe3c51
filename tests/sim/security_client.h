#ifndef GREGOR_TESTS_SIM_SECURITY_CLIENT_H_
#define GREGOR_TESTS_SIM_SECURITY_CLIENT_H_

#include <functional>

#include "base/random.h"
#include "controller/image/controller_api.h"

namespace gregor {

// Asks for one random change of rules, users or quotas, of few so that most are there at times, and
// calls `done` where it was made. Thread: the simulation's.
void ChangeSecurity(ControllerApi& api, Random& random, std::function<void()> done);

}  // namespace gregor

#endif  // GREGOR_TESTS_SIM_SECURITY_CLIENT_H_
