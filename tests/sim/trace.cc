#include "tests/sim/trace.h"

#include <iostream>

namespace gregor {

uint64_t HashOf(std::string_view bytes) {
  uint64_t hash = 0xcbf29ce484222325u;  // FNV-1a
  for (const char byte : bytes) hash = (hash ^ static_cast<uint8_t>(byte)) * 0x100000001b3u;
  return hash;
}

void Trace::Note(std::string_view what, uint64_t a, uint64_t b) {
  ++events_;
  Mix(HashOf(what));
  Mix(a);
  Mix(b);
  if (verbose_) std::cerr << events_ << ' ' << what << ' ' << a << ' ' << b << '\n';
}

void Trace::Mix(uint64_t word) {
  hash_ ^= word;
  hash_ *= 0x9e3779b97f4a7c15u;
  hash_ ^= hash_ >> 29;
}

}  // namespace gregor
