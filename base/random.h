#ifndef GREGOR_BASE_RANDOM_H_
#define GREGOR_BASE_RANDOM_H_

#include <array>
#include <cstdint>

#include "base/types.h"

namespace gregor {

// A seeded stream of random numbers (xoshiro256**, Blackman and Vigna 2018); one stream per
// concern, so that a new use does not shift the others. Not for secrets. Thread: its owner's.
class Random {
 public:
  explicit Random(uint64_t seed);
  // A seed from the operating system.
  static Random FromSystem();
  // 16 bytes from the operating system that nobody can guess: for keys.
  static std::array<uint8_t, 16> SecretBytes();

  uint64_t Next();
  // Uniform in [0, bound). REQUIRES: bound > 0.
  uint64_t Below(uint64_t bound);
  // Uniform in [low, high].
  int64_t Between(int64_t low, int64_t high);
  // True with probability `p`.
  bool Chance(double p);
  // Uniform in [0, 1).
  double Fraction();
  // An independent stream.
  Random Fork();

  // A random (version 4) UUID that is not zero.
  template <typename Id>
  Id NewUuid() {
    Id id;
    id.bytes = UuidBytes();
    return id;
  }

 private:
  std::array<uint8_t, 16> UuidBytes();
  std::array<uint64_t, 4> state_;
};

}  // namespace gregor

#endif  // GREGOR_BASE_RANDOM_H_
