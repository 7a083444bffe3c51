#ifndef GREGOR_CONTROLLER_IMAGE_PERSISTENT_MAP_H_
#define GREGOR_CONTROLLER_IMAGE_PERSISTENT_MAP_H_

#include <algorithm>
#include <iterator>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace gregor {

// An ordered map whose copies share structure: copying is O(1); a change copies one chunk of at
// most kChunkMax entries and the list of chunks, and many changes at once copy each chunk once.
// Thread: values are immutable; one map object belongs to one thread while it is changed.
template <typename Key, typename Value>
class PersistentMap {
 public:
  using Entry = std::pair<Key, Value>;
  // A new value of a key, or nullopt: the key goes.
  using Change = std::pair<Key, std::optional<Value>>;

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

  // nullptr if missing; valid as long as some map has the entry.
  template <typename K>
  const Value* Find(const K& key) const {
    const size_t chunk = ChunkOf(key);
    if (chunk == count()) return nullptr;
    const Chunk& entries = *(*chunks_)[chunk];
    auto at = LowerBound(entries, key);
    return at != entries.end() && !(key < at->first) ? &at->second : nullptr;
  }

  // Inserts or replaces.
  void Set(Key key, Value value) {
    std::vector<Change> changes;
    changes.emplace_back(std::move(key), std::move(value));
    Apply(std::move(changes));
  }
  // No effect if missing.
  void Erase(const Key& key) {
    if (Find(key) != nullptr) Apply({Change(key, std::nullopt)});
  }

  // Makes all changes; removals of missing keys have no effect. REQUIRES: keys rise strictly.
  void Apply(std::vector<Change> changes) {
    if (changes.empty()) return;
    Chunks result;
    result.reserve(count() + changes.size() / kChunkMax + 1);
    size_t next = 0;  // change
    for (size_t i = 0; i < count(); ++i) {
      const ChunkPtr& chunk = (*chunks_)[i];
      size_t end = next;
      const bool is_last = i + 1 == count();
      while (end < changes.size() && (is_last || !(chunk->back().first < changes[end].first)))
        ++end;
      if (end == next) {
        result.push_back(chunk);
        continue;
      }
      const bool appends = chunk->back().first < changes[next].first;
      Emit(Merge(*chunk, changes, next, end), appends, result);
      next = end;
    }
    if (next < changes.size()) Emit(Merge({}, changes, next, changes.size()), true, result);
    chunks_ = std::make_shared<const Chunks>(std::move(result));
  }

  // Replaces the values for which change(key, value) returns one. False if there are none.
  template <typename Visit>
  bool Transform(Visit change) {
    Chunks result;
    for (size_t i = 0; i < count(); ++i) {
      std::shared_ptr<Chunk> changed;
      const Chunk& entries = *(*chunks_)[i];
      for (size_t at = 0; at < entries.size(); ++at) {
        std::optional<Value> value = change(entries[at].first, entries[at].second);
        if (!value.has_value()) continue;
        if (changed == nullptr) changed = std::make_shared<Chunk>(entries);
        (*changed)[at].second = *std::move(value);
      }
      if (changed == nullptr) continue;
      if (result.empty()) result = *chunks_;
      result[i] = std::move(changed);
    }
    if (result.empty()) return false;
    chunks_ = std::make_shared<const Chunks>(std::move(result));
    return true;
  }

  // Calls visit(key, value) for every entry in order, from the first key >= `from`, until it
  // returns false.
  template <typename K, typename Visit>
  void VisitFrom(const K& from, Visit visit) const {
    for (size_t chunk = ChunkOf(from); chunk < count(); ++chunk) {
      const Chunk& entries = *(*chunks_)[chunk];
      for (auto at = LowerBound(entries, from); at != entries.end(); ++at) {
        if (!visit(at->first, at->second)) return;
      }
    }
  }
  // Calls visit(key, value) for every entry in order.
  template <typename Visit>
  void VisitAll(Visit visit) const {
    for (size_t chunk = 0; chunk < count(); ++chunk) {
      for (const Entry& entry : *(*chunks_)[chunk]) visit(entry.first, entry.second);
    }
  }

  // Calls visit(key, before, after) for every key whose entries may differ, in order; nullptr
  // stands for a missing one. What both share is passed over.
  template <typename Visit>
  static void VisitChanges(const PersistentMap& before, const PersistentMap& after, Visit visit) {
    Cursor old(before), now(after);
    while (!old.at_end() || !now.at_end()) {
      if (old.SkipsWith(now)) continue;
      const bool has_old = !old.at_end() && (now.at_end() || !(now->first < old->first));
      const bool has_now = !now.at_end() && (old.at_end() || !(old->first < now->first));
      const Key& key = has_old ? old->first : now->first;
      visit(key, has_old ? &old->second : nullptr, has_now ? &now->second : nullptr);
      if (has_old) old.Next();
      if (has_now) now.Next();
    }
  }

 private:
  static constexpr size_t kChunkMax = 128;
  using Chunk = std::vector<Entry>;
  using ChunkPtr = std::shared_ptr<const Chunk>;
  using Chunks = std::vector<ChunkPtr>;

  // A place in a map.
  class Cursor {
   public:
    explicit Cursor(const PersistentMap& map) : map_(map) {}
    bool at_end() const { return chunk_ == map_.count(); }
    const Entry* operator->() const { return &(*chunk())[entry_]; }
    void Next() {
      if (++entry_ < chunk()->size()) return;
      ++chunk_;
      entry_ = 0;
    }
    // Passes over a chunk that both begin and share.
    bool SkipsWith(Cursor& other) {
      if (at_end() || other.at_end() || entry_ != 0 || other.entry_ != 0 ||
          chunk() != other.chunk())
        return false;
      ++chunk_;
      ++other.chunk_;
      return true;
    }

   private:
    const ChunkPtr& chunk() const { return (*map_.chunks_)[chunk_]; }
    const PersistentMap& map_;
    size_t chunk_ = 0;
    size_t entry_ = 0;
  };

  size_t count() const { return chunks_ == nullptr ? 0 : chunks_->size(); }
  // Index of the first chunk whose last key is >= key; count() if none.
  template <typename K>
  size_t ChunkOf(const K& key) const {
    if (chunks_ == nullptr) return 0;
    auto at = std::partition_point(chunks_->begin(), chunks_->end(),
                                   [&](const auto& chunk) { return chunk->back().first < key; });
    return static_cast<size_t>(at - chunks_->begin());
  }
  template <typename K>
  static typename Chunk::const_iterator LowerBound(const Chunk& entries, const K& key) {
    return std::partition_point(entries.begin(), entries.end(),
                                [&](const Entry& entry) { return entry.first < key; });
  }

  // `entries` with changes [next, end), which it takes.
  Chunk Merge(const Chunk& entries, std::vector<Change>& changes, size_t next, size_t end) {
    Chunk merged;
    merged.reserve(entries.size() + (end - next));
    auto old = entries.begin();
    for (; next < end; ++next) {
      auto& [key, value] = changes[next];
      for (; old != entries.end() && old->first < key; ++old) merged.push_back(*old);
      if (old != entries.end() && !(key < old->first)) {
        ++old;
        --size_;
      }
      if (!value.has_value()) continue;
      merged.emplace_back(std::move(key), *std::move(value));
      ++size_;
    }
    merged.insert(merged.end(), old, entries.end());
    return merged;
  }

  // Adds `merged` to `result` in chunks of the right size: full ones where entries are `appended`
  // in order, else with room for more.
  static void Emit(Chunk merged, bool appended, Chunks& result) {
    if (merged.empty()) return;
    if (!result.empty() && result.back()->size() + merged.size() <= kChunkMax / 2) {
      Chunk joined = *result.back();
      std::move(merged.begin(), merged.end(), std::back_inserter(joined));
      result.back() = std::make_shared<const Chunk>(std::move(joined));
      return;
    }
    const size_t pieces = (merged.size() + kChunkMax - 1) / kChunkMax;
    const size_t piece = appended ? kChunkMax : (merged.size() + pieces - 1) / pieces;
    if (merged.size() <= piece) {
      merged.shrink_to_fit();
      result.push_back(std::make_shared<const Chunk>(std::move(merged)));
      return;
    }
    for (size_t at = 0; at < merged.size(); at += piece) {
      const auto begin = std::make_move_iterator(merged.begin() + at);
      const auto end = begin + std::min(piece, merged.size() - at);
      result.push_back(std::make_shared<const Chunk>(begin, end));
    }
  }

  std::shared_ptr<const Chunks> chunks_;
  size_t size_ = 0;
};

}  // namespace gregor

#endif  // GREGOR_CONTROLLER_IMAGE_PERSISTENT_MAP_H_
