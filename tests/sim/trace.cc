#include "tests/sim/trace.h"

#include <cstring>
#include <sstream>

namespace gregor {

uint64_t HashOf(std::string_view bytes) {
  // Eight bytes at a time: the simulator hashes all that is written.
  constexpr uint64_t kPrime = 0x9e3779b97f4a7c15u;
  uint64_t hash = 0xcbf29ce484222325u ^ bytes.size();
  while (bytes.size() >= sizeof(uint64_t)) {
    uint64_t word;
    std::memcpy(&word, bytes.data(), sizeof word);
    hash = (hash ^ word) * kPrime;
    hash ^= hash >> 32;
    bytes.remove_prefix(sizeof word);
  }
  for (const char byte : bytes) hash = (hash ^ static_cast<uint8_t>(byte)) * 0x100000001b3u;
  return hash ^ (hash >> 29);
}

void Trace::Note(std::string_view what, uint64_t a, uint64_t b, std::string_view detail) {
  ++events_;
  Mix(HashOf(what));
  Mix(a);
  Mix(b);
  if (keep_ == 0) return;
  std::ostringstream line;
  line << events_ << ' ' << what << ' ' << a << ' ' << b << ' ' << detail;
  kept_.push_back(line.str());
  if (kept_.size() > keep_) kept_.pop_front();
}

void Trace::Mix(uint64_t word) {
  hash_ ^= word;
  hash_ *= 0x9e3779b97f4a7c15u;
  hash_ ^= hash_ >> 29;
}

}  // namespace gregor
