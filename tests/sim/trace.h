#ifndef GREGOR_TESTS_SIM_TRACE_H_
#define GREGOR_TESTS_SIM_TRACE_H_

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>

namespace gregor {

// A running hash over everything that happens in a simulated run: two runs of one seed are the same
// run if and only if their hashes are. Thread: the simulation's.
class Trace {
 public:
  Trace() = default;
  ~Trace();
  Trace(const Trace&) = delete;
  Trace& operator=(const Trace&) = delete;

  // `detail` is for people: it is kept with the event, and not part of the hash.
  void Note(std::string_view what, uint64_t a = 0, uint64_t b = 0, std::string_view detail = {});
  // The event with this number begins, so many nanoseconds after the beginning of time.
  void NoteStep(std::string_view what, uint64_t time, uint64_t number);
  // Whose the last event is. For people.
  void Annotate(std::string_view whose);
  uint64_t hash() const { return hash_; }
  uint64_t event_count() const { return events_; }

  // Keeps the last `count` events as text: what led to a failure.
  void Keep(size_t count);
  bool keeps() const { return keep_ > 0; }
  const std::deque<std::string>& kept() const { return kept_; }

 private:
  void Mix(uint64_t word);
  void Add(std::string line);

  uint64_t hash_ = 0xcbf29ce484222325u;
  uint64_t events_ = 0;
  size_t keep_ = 0;
  std::deque<std::string> kept_;
  std::string last_;  // the name of the last event, of which nothing else is known
};

// From now on a check that ends the process prints first what the run's trace has kept.
void PrintTraceAtFatal();

// Hash of some bytes, for Note().
uint64_t HashOf(std::string_view bytes);

}  // namespace gregor

#endif  // GREGOR_TESTS_SIM_TRACE_H_
