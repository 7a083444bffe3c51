#ifndef GREGOR_CONTROLLER_IMAGE_REPLAY_PARTS_H_
#define GREGOR_CONTROLLER_IMAGE_REPLAY_PARTS_H_

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/types.h"
#include "controller/image/records.h"
#include "controller/image/shared_list.h"

namespace gregor {

// What the parts of Replay (replay*.cc) share. Thread: any.

inline Error Contradiction(std::string what) {
  return Error(Reason::kStorageError, std::move(what));
}

inline std::string Name(const TopicId& id) { return "topic " + id.ToString(); }

inline bool FromRecord(int32_t id, NodeId* node) {
  node->value = id;
  return true;
}
inline bool FromRecord(const std::string& bytes, DirectoryId* id) { return ReadId(bytes, id); }

// The elements of a list in a record.
template <typename T, typename Repeated>
Result<std::vector<T>> ToList(const Repeated& values) {
  std::vector<T> list;
  list.reserve(static_cast<size_t>(values.size()));
  for (const auto& value : values) {
    if (!FromRecord(value, &list.emplace_back())) return Contradiction("an id of another length");
  }
  return list;
}

// One more; false if there is no more.
inline bool Raise(int32_t& epoch) {
  if (epoch == INT32_MAX) return false;
  ++epoch;
  return true;
}

// Lists of the same elements become one, as most partitions have the same.
template <typename T>
class Sharing {
 public:
  template <typename Repeated>
  Result<SharedList<T>> Get(const Repeated& values) {
    if (values.empty()) return SharedList<T>();
    if (IsLast(values)) return last_;
    ASSIGN_OR_RETURN(std::vector<T> list, ToList<T>(values));
    auto& shared = lists_[list];
    if (shared.empty()) shared = SharedList<T>(std::move(list));
    last_ = shared;
    return shared;
  }

 private:
  template <typename Repeated>
  bool IsLast(const Repeated& values) const {
    if (last_.empty() || static_cast<size_t>(values.size()) != last_.size()) return false;
    const T* expected = last_.begin();
    for (const auto& value : values) {
      T element;
      if (!FromRecord(value, &element) || element != *expected++) return false;
    }
    return true;
  }

  SharedList<T> last_;
  std::map<std::vector<T>, SharedList<T>> lists_;
};

template <typename Entries>
bool IsSortedByName(const Entries& entries) {
  return std::adjacent_find(entries.begin(), entries.end(), [](const auto& a, const auto& b) {
           return !(a.name() < b.name());
         }) == entries.end();
}

}  // namespace gregor

#endif  // GREGOR_CONTROLLER_IMAGE_REPLAY_PARTS_H_
