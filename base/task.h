#ifndef GREGOR_BASE_TASK_H_
#define GREGOR_BASE_TASK_H_

#include <cstddef>
#include <new>
#include <type_traits>
#include <utility>

#include "base/check.h"

namespace gregor {

// A callable that is moved, never copied (the shape of C++23's std::move_only_function). Small
// callables need no allocation.
template <typename Signature>
class UniqueFunction;

template <typename R, typename... Args>
class UniqueFunction<R(Args...)> {
 public:
  UniqueFunction() = default;
  UniqueFunction(std::nullptr_t) {}  // NOLINT: implicit on purpose

  template <typename F,
            typename = std::enable_if_t<!std::is_same_v<std::decay_t<F>, UniqueFunction> &&
                                        std::is_invocable_r_v<R, std::decay_t<F>&, Args...>>>
  UniqueFunction(F&& callable) {  // NOLINT: implicit on purpose
    using Callable = std::decay_t<F>;
    if constexpr (sizeof(Callable) <= kInlineBytes &&
                  alignof(Callable) <= alignof(std::max_align_t) &&
                  std::is_nothrow_move_constructible_v<Callable>) {
      new (storage_) Callable(std::forward<F>(callable));
      table_ = &kInlineTable<Callable>;
    } else {
      *reinterpret_cast<Callable**>(storage_) = new Callable(std::forward<F>(callable));
      table_ = &kHeapTable<Callable>;
    }
  }

  UniqueFunction(UniqueFunction&& other) noexcept { MoveFrom(other); }
  UniqueFunction& operator=(UniqueFunction&& other) noexcept {
    if (this != &other) {
      Reset();
      MoveFrom(other);
    }
    return *this;
  }
  ~UniqueFunction() { Reset(); }

  explicit operator bool() const { return table_ != nullptr; }
  // REQUIRES: not empty.
  R operator()(Args... args) {
    CHECK(table_ != nullptr);
    return table_->call(storage_, std::forward<Args>(args)...);
  }

 private:
  static constexpr size_t kInlineBytes = 48;

  struct Table {
    R (*call)(void*, Args&&...);
    void (*move)(void* from, void* to);
    void (*destroy)(void*);
  };

  template <typename F>
  static constexpr Table kInlineTable = {
      [](void* at, Args&&... args) -> R {
        return (*static_cast<F*>(at))(std::forward<Args>(args)...);
      },
      [](void* from, void* to) {
        new (to) F(std::move(*static_cast<F*>(from)));
        static_cast<F*>(from)->~F();
      },
      [](void* at) { static_cast<F*>(at)->~F(); }};
  template <typename F>
  static constexpr Table kHeapTable = {
      [](void* at, Args&&... args) -> R {
        return (**static_cast<F**>(at))(std::forward<Args>(args)...);
      },
      [](void* from, void* to) { *static_cast<F**>(to) = *static_cast<F**>(from); },
      [](void* at) { delete *static_cast<F**>(at); }};

  void MoveFrom(UniqueFunction& other) {
    table_ = std::exchange(other.table_, nullptr);
    if (table_ != nullptr) table_->move(other.storage_, storage_);
  }
  void Reset() {
    if (table_ != nullptr) std::exchange(table_, nullptr)->destroy(storage_);
  }

  alignas(std::max_align_t) std::byte storage_[kInlineBytes];
  const Table* table_ = nullptr;
};

using Task = UniqueFunction<void()>;

}  // namespace gregor

#endif  // GREGOR_BASE_TASK_H_
