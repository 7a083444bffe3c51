#ifndef GREGOR_BASE_STRONG_H_
#define GREGOR_BASE_STRONG_H_

#include <compare>
#include <cstddef>
#include <functional>
#include <ostream>

namespace gregor {

// A value of type T that only compares with, and converts to, itself. The value is reached by name
// (`x.value`).
template <typename T, typename Tag>
struct Strong {
  T value{};

  friend constexpr auto operator<=>(const Strong&, const Strong&) = default;
  friend std::ostream& operator<<(std::ostream& out, const Strong& strong) {
    return out << strong.value;
  }
};

}  // namespace gregor

template <typename T, typename Tag>
struct std::hash<gregor::Strong<T, Tag>> {
  size_t operator()(const gregor::Strong<T, Tag>& strong) const {
    return std::hash<T>()(strong.value);
  }
};

#endif  // GREGOR_BASE_STRONG_H_
