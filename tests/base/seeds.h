#ifndef GREGOR_TESTS_BASE_SEEDS_H_
#define GREGOR_TESTS_BASE_SEEDS_H_

#include <cstdint>

namespace gregor {

// Under a sanitizer a run takes five times as long and more, and looks for other mistakes: every
// fourth seed is enough there.
#if defined(__has_feature)  // clang
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define GREGOR_SANITIZED
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define GREGOR_SANITIZED
#endif
#ifdef GREGOR_SANITIZED
constexpr bool kFewSeeds = true;
#else
constexpr bool kFewSeeds = false;
#endif

// How many seeds a test runs that has `all` of them elsewhere.
constexpr uint64_t SeedCount(uint64_t all) { return kFewSeeds ? (all + 3) / 4 : all; }

}  // namespace gregor

#endif  // GREGOR_TESTS_BASE_SEEDS_H_
