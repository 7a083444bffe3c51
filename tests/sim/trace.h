#ifndef GREGOR_TESTS_SIM_TRACE_H_
#define GREGOR_TESTS_SIM_TRACE_H_

#include <cstdint>
#include <string>
#include <string_view>

namespace gregor {

// A running hash over everything that happens in a simulated run: two runs of one seed are the same
// run if and only if their hashes are. Thread: the simulation's.
class Trace {
 public:
  void Note(std::string_view what, uint64_t a = 0, uint64_t b = 0);
  uint64_t hash() const { return hash_; }
  uint64_t event_count() const { return events_; }
  // Prints every event to stderr, to find where two runs part.
  void set_verbose(bool verbose) { verbose_ = verbose; }

 private:
  void Mix(uint64_t word);

  uint64_t hash_ = 0xcbf29ce484222325u;
  uint64_t events_ = 0;
  bool verbose_ = false;
};

// Hash of some bytes, for Note().
uint64_t HashOf(std::string_view bytes);

}  // namespace gregor

#endif  // GREGOR_TESTS_SIM_TRACE_H_
