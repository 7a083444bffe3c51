#include "tests/sim/trace.h"

#include <glog/logging.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sstream>
#include <utility>

namespace gregor {
namespace {

// The one that keeps its events: a process makes such runs one after the other.
const Trace* keeping = nullptr;

// (For clang [[noreturn]] is not of the function's type, as glog wants it.)
__attribute__((noreturn)) void PrintAndAbort() {
  if (keeping != nullptr) {
    for (const std::string& line : keeping->kept()) std::puts(line.c_str());
    std::fflush(stdout);
  }
  std::abort();
}

}  // namespace

void PrintTraceAtFatal() { google::InstallFailureFunction(PrintAndAbort); }

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

Trace::~Trace() {
  if (keeping == this) keeping = nullptr;
}

void Trace::Keep(size_t count) {
  keep_ = count;
  if (count > 0) keeping = this;
}

void Trace::Note(std::string_view what, uint64_t a, uint64_t b, std::string_view detail) {
  ++events_;
  Mix(HashOf(what));
  Mix(a);
  Mix(b);
  if (keep_ == 0) return;
  std::ostringstream line;
  line << "    " << what << ' ';
  if (detail.empty() || what.starts_with("disk")) line << a << ' ' << b << ' ';
  line << detail;
  last_ = {};
  Add(line.str());
}

void Trace::NoteStep(std::string_view what, uint64_t time, uint64_t number) {
  ++events_;
  Mix(HashOf(what));
  Mix(time);
  Mix(number);
  if (keep_ == 0) return;
  // What comes over the wires waits for a loop, whose event says more.
  if (last_ == "net" && !kept_.empty()) kept_.pop_back();
  last_ = what;
  std::array<char, 40> at{};
  std::snprintf(at.data(), at.size(), "%12.6f s  ", static_cast<double>(time) / 1e9);
  Add(at.data() + std::string(what));
}

void Trace::Annotate(std::string_view whose) {
  if (kept_.empty()) return;
  kept_.back().append(" of ").append(whose);
  last_ = {};
}

void Trace::Add(std::string line) {
  kept_.push_back(std::move(line));
  if (kept_.size() > keep_) kept_.pop_front();
}

void Trace::Mix(uint64_t word) {
  hash_ ^= word;
  hash_ *= 0x9e3779b97f4a7c15u;
  hash_ ^= hash_ >> 29;
}

}  // namespace gregor
