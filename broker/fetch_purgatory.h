#ifndef GREGOR_BROKER_FETCH_PURGATORY_H_
#define GREGOR_BROKER_FETCH_PURGATORY_H_

#include <functional>
#include <list>

#include "base/event_loop.h"
#include "broker/api.h"

namespace gregor {

// Fetches of one partition that wait for more bytes or for their time to pass. Thread: the
// partition's.
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
  // Takes a fetch out of the purgatory: it has enough, or its time is over (`expired`).
  using Resume = std::function<void(Waiting waiting, bool expired)>;

  // `resume` may add fetches again.
  FetchPurgatory(EventLoop& loop, Resume resume) : loop_(loop), resume_(std::move(resume)) {}
  // Fetches that still wait are dropped: call DrainAll() first.
  ~FetchPurgatory();

  void Add(Waiting waiting);
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

  EventLoop& loop_;
  Resume resume_;
  Entries entries_;
};

}  // namespace gregor

#endif  // GREGOR_BROKER_FETCH_PURGATORY_H_
