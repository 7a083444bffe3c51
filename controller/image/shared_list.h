#ifndef GREGOR_CONTROLLER_IMAGE_SHARED_LIST_H_
#define GREGOR_CONTROLLER_IMAGE_SHARED_LIST_H_

#include <algorithm>
#include <initializer_list>
#include <memory>
#include <utility>
#include <vector>

namespace gregor {

// An immutable list whose copies share its elements: the partitions of a topic have few different
// replica lists. Thread: any.
template <typename T>
class SharedList {
 public:
  SharedList() = default;
  SharedList(std::vector<T> elements) {  // NOLINT: implicit on purpose
    if (!elements.empty()) elements_ = std::make_shared<const std::vector<T>>(std::move(elements));
  }
  SharedList(std::initializer_list<T> elements) : SharedList(std::vector<T>(elements)) {}

  size_t size() const { return elements_ == nullptr ? 0 : elements_->size(); }
  bool empty() const { return elements_ == nullptr; }
  const T* begin() const { return elements_ == nullptr ? nullptr : elements_->data(); }
  const T* end() const { return begin() + size(); }
  // REQUIRES: index < size().
  const T& operator[](size_t index) const { return (*elements_)[index]; }
  const T& front() const { return (*elements_)[0]; }
  bool Contains(const T& element) const {
    for (const T& each : *this) {
      if (each == element) return true;
    }
    return false;
  }

  friend bool operator==(const SharedList& a, const SharedList& b) {
    return a.elements_ == b.elements_ ||
           (a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin()));
  }

 private:
  std::shared_ptr<const std::vector<T>> elements_;  // nullptr: empty
};

}  // namespace gregor

#endif  // GREGOR_CONTROLLER_IMAGE_SHARED_LIST_H_
