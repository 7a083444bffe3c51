#ifndef GREGOR_TESTS_SIM_SNAPSHOT_CUT_H_
#define GREGOR_TESTS_SIM_SNAPSHOT_CUT_H_

#include <cstddef>
#include <string>

namespace gregor {

// The snapshot without its last `count` rows; `hidden`: with a footer as if there had been no more,
// which is what a reader sees that does not look at it.
std::string WithoutRows(const std::string& bytes, size_t count, bool hidden);

}  // namespace gregor

#endif  // GREGOR_TESTS_SIM_SNAPSHOT_CUT_H_
