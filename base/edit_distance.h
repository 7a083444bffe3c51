#ifndef GREGOR_BASE_EDIT_DISTANCE_H_
#define GREGOR_BASE_EDIT_DISTANCE_H_

#include <cstddef>
#include <string_view>

namespace gregor {

// How many characters have to be changed, added or left out to make one word of the other
// (Levenshtein), for guesses at what was meant. Thread: any.
size_t EditDistance(std::string_view left, std::string_view right);

}  // namespace gregor

#endif  // GREGOR_BASE_EDIT_DISTANCE_H_
