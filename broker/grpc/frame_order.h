#ifndef GREGOR_BROKER_GRPC_FRAME_ORDER_H_
#define GREGOR_BROKER_GRPC_FRAME_ORDER_H_

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace gregor {

// The order of a produce stream's frames, per lane: (topic, partition) as the frames name them.
// Answers of a lane leave in the order of its frames. Once one of them has failed, later ones are
// refused until the client sends again with a higher attempt. Keeps only lanes that have something
// to remember. Thread: its owner's.
//
// `Answer` is what is sent for a frame.
template <typename Answer>
class FrameOrder {
 public:
  struct Key {
    std::string_view topic;
    std::string_view topic_id;
    int64_t partition = -1;  // -1: none is named

    friend bool operator==(const Key&, const Key&) = default;
  };
  // The number of the first frame of an attempt that failed, for those behind it that are on their
  // way already.
  using FirstFailed = std::shared_ptr<std::atomic<uint64_t>>;
  static constexpr uint64_t kNone = UINT64_MAX;

  class Lane;
  // A frame that waits for its answer.
  struct Ticket {
    Lane* lane = nullptr;
    uint64_t number = 0;
    int32_t attempt = 0;
    FirstFailed first_failed;

    // It failed: those behind it must not be written. Those before it may: they come to an end on
    // other threads, and so perhaps later. REQUIRES: first_failed. Thread: any.
    void Fail() const {
      uint64_t first = first_failed->load(std::memory_order_relaxed);
      while (number < first &&
             !first_failed->compare_exchange_weak(first, number, std::memory_order_release,
                                                  std::memory_order_relaxed)) {
      }
    }
  };

  // A frame has come. Its ticket says by `first_failed` being null that it must not be written,
  // because one before it failed.
  Ticket Admit(const Key& key, int32_t attempt) {
    Lane& lane = LaneOf(key);
    const Ticket ticket{&lane, lane.first + lane.answers.size(), attempt, nullptr};
    lane.answers.emplace_back();
    if (lane.failed_attempt.has_value() && attempt <= *lane.failed_attempt) return ticket;
    if (lane.failed_attempt.has_value()) {
      lane.failed_attempt.reset();
      lane.first_failed = nullptr;
      --failed_count_;
    }
    if (lane.first_failed == nullptr)
      lane.first_failed = std::make_shared<std::atomic<uint64_t>>(kNone);
    Ticket admitted = ticket;
    admitted.first_failed = lane.first_failed;
    return admitted;
  }

  // The answer of a frame. `failed`: it was not written, and those after it must not be. Gives what
  // may be sent now to `send`, in order. Each ticket once.
  template <typename Send>
  void Settle(const Ticket& ticket, Answer answer, bool failed, Send send) {
    Lane& lane = *ticket.lane;
    lane.answers[ticket.number - lane.first] = std::move(answer);
    // A failure of an attempt that was given up says nothing of the present one.
    if (failed && ticket.first_failed == lane.first_failed && !lane.failed_attempt.has_value()) {
      lane.failed_attempt = ticket.attempt;
      ++failed_count_;
    }
    while (!lane.answers.empty() && lane.answers.front().has_value()) {
      send(std::move(*lane.answers.front()));
      lane.answers.pop_front();
      ++lane.first;
    }
    if (lane.answers.empty() && !lane.failed_attempt.has_value()) {
      lanes_.erase(lanes_.find(std::string_view(lane.key)));
    }
  }

  // Lanes that wait for a higher attempt.
  size_t failed_count() const { return failed_count_; }
  size_t lane_count() const { return lanes_.size(); }

  class Lane {
   private:
    friend class FrameOrder;
    std::string key;
    std::deque<std::optional<Answer>> answers;  // of frames first, first + 1 ...
    uint64_t first = 0;
    std::optional<int32_t> failed_attempt;
    FirstFailed first_failed;  // of the present attempt
  };

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view key) const { return std::hash<std::string_view>()(key); }
  };

  Lane& LaneOf(const Key& key) {
    // Lengths first: no two keys have the same bytes.
    scratch_.clear();
    const auto add = [&](const void* data, size_t size) {
      scratch_.append(static_cast<const char*>(data), size);
    };
    const uint64_t topic_size = key.topic.size();
    add(&topic_size, sizeof topic_size);
    add(&key.partition, sizeof key.partition);
    scratch_ += key.topic;
    scratch_ += key.topic_id;
    const auto found = lanes_.find(std::string_view(scratch_));
    if (found != lanes_.end()) return *found->second;
    auto lane = std::make_unique<Lane>();
    lane->key = scratch_;
    return *lanes_.emplace(scratch_, std::move(lane)).first->second;
  }

  std::unordered_map<std::string, std::unique_ptr<Lane>, Hash, std::equal_to<>> lanes_;
  size_t failed_count_ = 0;
  std::string scratch_;
};

}  // namespace gregor

#endif  // GREGOR_BROKER_GRPC_FRAME_ORDER_H_
