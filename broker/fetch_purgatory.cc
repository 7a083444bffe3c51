#include "broker/fetch_purgatory.h"

#include <algorithm>
#include <utility>

namespace gregor {

FetchPurgatory::~FetchPurgatory() {
  for (Entry& entry : entries_) loop_.Cancel(entry.timer);
  CountOut(entries_.size());
}

void FetchPurgatory::Add(Waiting waiting, Duration look_again) {
  const Duration left =
      std::clamp(waiting.deadline - loop_.clock().Now(), Duration::zero(), look_again);
  entries_.push_back({std::move(waiting), {}});
  size_.Add(1);
  const auto entry = std::prev(entries_.end());
  entry->timer = loop_.After(left, "fetch.expire", [this, entry] { Expire(entry); });
}

void FetchPurgatory::Expire(Entries::iterator entry) {
  Waiting waiting = std::move(entry->waiting);
  entries_.erase(entry);
  CountOut(1);
  const bool expired = waiting.deadline <= loop_.clock().Now();
  resume_(std::move(waiting), expired);
}

void FetchPurgatory::OnBytes(size_t bytes) {
  // Those that are resumed may come back: look only at those that are here now.
  Entries now;
  now.swap(entries_);
  Entries ready;
  for (auto at = now.begin(); at != now.end();) {
    const auto next = std::next(at);
    Waiting& waiting = at->waiting;
    waiting.bytes_have += bytes;
    const bool cancelled =
        waiting.request.cancelled != nullptr && waiting.request.cancelled->load();
    if (cancelled ||
        waiting.bytes_have >= static_cast<size_t>(std::max(1, waiting.request.bytes_min))) {
      loop_.Cancel(at->timer);
      ready.splice(ready.end(), now, at);
    }
    at = next;
  }
  entries_.splice(entries_.begin(), now);
  CountOut(ready.size());
  for (Entry& entry : ready) resume_(std::move(entry.waiting), false);
}

void FetchPurgatory::DrainAll() {
  Entries all;
  all.swap(entries_);
  CountOut(all.size());
  for (Entry& entry : all) {
    loop_.Cancel(entry.timer);
    resume_(std::move(entry.waiting), true);
  }
}

}  // namespace gregor
