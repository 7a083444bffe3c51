#ifndef GREGOR_BASE_BUDGET_H_
#define GREGOR_BASE_BUDGET_H_

#include <atomic>
#include <cstddef>
#include <memory>
#include <utility>

#include "base/check.h"

namespace gregor {

// A stated number of bytes that many draw from (DESIGN D11). Thread: any.
class Budget {
 public:
  explicit Budget(size_t bytes_max) : max_(bytes_max) {}

  // A share of the budget; gives it back when it goes. Empty if the budget would be exceeded.
  class Share {
   public:
    Share() = default;
    Share(Share&& other) noexcept
        : budget_(std::exchange(other.budget_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
    Share& operator=(Share&& other) noexcept {
      if (this != &other) {
        Release();
        budget_ = std::exchange(other.budget_, nullptr);
        bytes_ = std::exchange(other.bytes_, 0);
      }
      return *this;
    }
    ~Share() { Release(); }
    explicit operator bool() const { return budget_ != nullptr; }
    size_t bytes() const { return bytes_; }
    // Gives back what exceeds `bytes`.
    void ShrinkTo(size_t bytes) {
      if (budget_ == nullptr || bytes >= bytes_) return;
      budget_->used_.fetch_sub(bytes_ - bytes, std::memory_order_relaxed);
      bytes_ = bytes;
    }
    // What the budget has in all. REQUIRES: it is a share.
    size_t budget_max() const { return budget_->max(); }
    // Makes it larger, unless the budget would be exceeded: false. REQUIRES: it is a share.
    bool TryGrow(size_t bytes) {
      Share more = budget_->TryAcquire(bytes);
      if (!more) return false;
      bytes_ += std::exchange(more.bytes_, 0);
      more.budget_ = nullptr;
      return true;
    }
    // Takes `bytes` out of it, as a share of their own. REQUIRES: it has as many.
    Share Split(size_t bytes) {
      CHECK_LE(bytes, bytes_);
      bytes_ -= bytes;
      return Share(budget_, bytes);
    }
    void Release() {
      if (budget_ == nullptr) return;
      std::exchange(budget_, nullptr)
          ->used_.fetch_sub(std::exchange(bytes_, 0), std::memory_order_relaxed);
    }

   private:
    friend class Budget;
    Share(Budget* budget, size_t bytes) : budget_(budget), bytes_(bytes) {}
    Budget* budget_ = nullptr;
    size_t bytes_ = 0;
  };

  // REQUIRES: the budget outlives the share.
  Share TryAcquire(size_t bytes) {
    size_t used = used_.load(std::memory_order_relaxed);
    do {
      if (bytes > max_ - used) return Share();
    } while (!used_.compare_exchange_weak(used, used + bytes, std::memory_order_relaxed));
    return Share(this, bytes);
  }
  size_t used() const { return used_.load(std::memory_order_relaxed); }
  size_t max() const { return max_; }

 private:
  const size_t max_;
  std::atomic<size_t> used_{0};
};

}  // namespace gregor

#endif  // GREGOR_BASE_BUDGET_H_
