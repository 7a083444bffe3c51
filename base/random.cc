#include "base/random.h"

#include <bit>
#include <cstring>
#include <random>

#include "base/check.h"

namespace gregor {
namespace {

// SplitMix64 (Steele, Lea, Flood 2014): spreads a seed over the state.
uint64_t SplitMix(uint64_t& state) {
  uint64_t z = state += 0x9e3779b97f4a7c15u;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}

}  // namespace

Random::Random(uint64_t seed) {
  for (uint64_t& word : state_) word = SplitMix(seed);
}

Random Random::FromSystem() {
  std::random_device device;
  return Random(static_cast<uint64_t>(device()) << 32 | device());
}

std::array<uint8_t, 16> Random::SecretBytes() {
  std::random_device device;
  std::array<uint8_t, 16> bytes;
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(device());
  return bytes;
}

uint64_t Random::Next() {
  const uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
  const uint64_t shifted = state_[1] << 17;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= shifted;
  state_[3] = std::rotl(state_[3], 45);
  return result;
}

uint64_t Random::Below(uint64_t bound) {
  CHECK_GT(bound, 0u);
  return static_cast<uint64_t>(static_cast<unsigned __int128>(Next()) * bound >> 64);
}

int64_t Random::Between(int64_t low, int64_t high) {
  CHECK_LE(low, high);
  const uint64_t count = static_cast<uint64_t>(high) - static_cast<uint64_t>(low) + 1;
  const uint64_t chosen = count == 0 ? Next() : Below(count);  // 0: all of the 2^64
  return static_cast<int64_t>(static_cast<uint64_t>(low) + chosen);
}

double Random::Fraction() { return static_cast<double>(Next() >> 11) * 0x1.0p-53; }

bool Random::Chance(double p) { return Fraction() < p; }

Random Random::Fork() { return Random(Next()); }

std::array<uint8_t, 16> Random::UuidBytes() {
  std::array<uint8_t, 16> bytes;
  const uint64_t words[2] = {Next(), Next()};
  std::memcpy(bytes.data(), words, sizeof words);
  bytes[6] = static_cast<uint8_t>((bytes[6] & 0x0f) | 0x40);
  bytes[8] = static_cast<uint8_t>((bytes[8] & 0x3f) | 0x80);
  return bytes;
}

}  // namespace gregor
