#ifndef GREGOR_CLIENT_FRAME_WINDOW_H_
#define GREGOR_CLIENT_FRAME_WINDOW_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <utility>

namespace gregor {

// The frames of a produce stream that are not answered yet, by their ids, which rise and are never
// used again, and how many more the stream takes. Thread: its owner's.
template <typename Owner>
class FrameWindow {
 public:
  // nullptr `owner`: the answer does not count any more.
  struct Frame {
    Owner* owner = nullptr;
    size_t bytes = 0;  // 0: answered
  };

  // The id that Add() gives.
  int64_t next_id() const { return first_id_ + static_cast<int64_t>(frames_.size()); }
  // REQUIRES: bytes > 0.
  void Add(Owner& owner, size_t bytes) {
    frames_.push_back({&owner, bytes});
    ++count_;
    bytes_ += bytes;
  }
  // nullptr: there is none of that id, or it is answered.
  Frame* Find(int64_t id) {
    if (id < first_id_) return nullptr;
    const auto index = static_cast<size_t>(id - first_id_);
    if (index >= frames_.size() || frames_[index].bytes == 0) return nullptr;
    return &frames_[index];
  }
  // It is answered, and takes no room any more. REQUIRES: Find(id).
  void Forget(int64_t id) {
    bytes_ -= std::exchange(Find(id)->bytes, 0);
    --count_;
    while (!frames_.empty() && frames_.front().bytes == 0) {
      frames_.pop_front();
      ++first_id_;
    }
  }
  // The stream is gone.
  void Clear() {
    first_id_ += static_cast<int64_t>(frames_.size());
    frames_.clear();
    count_ = bytes_ = 0;
  }

  void SetBounds(size_t bytes_max, size_t count_max) {
    bytes_max_ = bytes_max;
    count_max_ = count_max;
  }
  bool HasRoom() const { return count_ < count_max_ && bytes_ < bytes_max_; }
  size_t count() const { return count_; }

 private:
  std::deque<Frame> frames_;
  int64_t first_id_ = 1;
  size_t count_ = 0;  // unanswered
  size_t bytes_ = 0;
  size_t bytes_max_ = SIZE_MAX;
  size_t count_max_ = SIZE_MAX;
};

}  // namespace gregor

#endif  // GREGOR_CLIENT_FRAME_WINDOW_H_
