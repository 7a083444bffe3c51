#ifndef GREGOR_BROKER_FETCH_PURGATORY_H_
#define GREGOR_BROKER_FETCH_PURGATORY_H_

#include <functional>
#include <list>

#include "base/event_loop.h"
#include "base/metrics.h"
#include "broker/api.h"

namespace gregor {

// Fetches of one partition that wait for more bytes (or for memory to read them into), or for
// their time to pass. Thread: the partition's.
class FetchPurgatory {
 public:
  struct Waiting {
    Fetch request;
    Offset from{0};                // request.position as an offset
    size_t first_batch_bytes = 0;  // if that alone exceeds request.bytes_max, and may
    size_t bytes_have = 0;         // what there was to read when it began to wait
    MonotonicTime deadline;        // when it is answered with what there is
    BrokerApi::Done<Fetched> done;
  };
  // Takes a fetch out of the purgatory: it is worth another look, or its time is over (`expired`).
  using Resume = std::function<void(Waiting waiting, bool expired)>;

  // `size` counts along with the purgatories of other partitions. `resume` may add fetches again.
  FetchPurgatory(EventLoop& loop, Gauge& size, Resume resume)
      : loop_(loop), size_(size), resume_(std::move(resume)) {}
  // Fetches that still wait are dropped: call DrainAll() first.
  ~FetchPurgatory();

  // It is resumed after `look_again` at the latest.
  void Add(Waiting waiting, Duration look_again = Duration::max());
  // `bytes` more can be read than before.
  void OnBytes(size_t bytes);
  // Resumes all of them as expired.
  void DrainAll();
  bool empty() const { return entries_.empty(); }
  size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    Waiting waiting;
    TimerId timer;
  };
  using Entries = std::list<Entry>;
  void Expire(Entries::iterator entry);
  void CountOut(size_t entries) { size_.Add(-static_cast<int64_t>(entries)); }

  EventLoop& loop_;
  Gauge& size_;
  Resume resume_;
  Entries entries_;
};

}  // namespace gregor

#endif  // GREGOR_BROKER_FETCH_PURGATORY_H_
