#ifndef GREGOR_CONTROLLER_IMAGE_PERSISTENT_MAP_H_
#define GREGOR_CONTROLLER_IMAGE_PERSISTENT_MAP_H_

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

namespace gregor {

// An ordered map whose copies share structure: copying is O(1), a change copies one chunk of at most kChunkMax entries and the
// list of chunks. Thread: values are immutable; one map object belongs to one thread while it is changed.
template <typename Key, typename Value>
class PersistentMap {
 public:
  using Entry = std::pair<Key, Value>;

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
    Chunks chunks = chunks_ == nullptr ? Chunks() : *chunks_;
    if (chunks.empty()) chunks.push_back(std::make_shared<Chunk>());
    const size_t index = std::min(ChunkOf(key), chunks.size() - 1);
    auto changed = std::make_shared<Chunk>(*chunks[index]);
    auto at = changed->begin() + (LowerBound(*changed, key) - changed->cbegin());
    if (at != changed->end() && !(key < at->first)) {
      at->second = std::move(value);
    } else {
      changed->emplace(at, std::move(key), std::move(value));
      ++size_;
    }
    if (changed->size() > kChunkMax) {
      auto upper = std::make_shared<Chunk>(changed->begin() + kChunkMax / 2, changed->end());
      changed->resize(kChunkMax / 2);
      chunks.insert(chunks.begin() + index + 1, std::move(upper));
    }
    chunks[index] = std::move(changed);
    chunks_ = std::make_shared<const Chunks>(std::move(chunks));
  }

  // No effect if missing.
  template <typename K>
  void Erase(const K& key) {
    const size_t index = ChunkOf(key);
    if (index == count()) return;
    auto at = LowerBound(*(*chunks_)[index], key);
    if (at == (*chunks_)[index]->end() || key < at->first) return;
    auto changed = std::make_shared<Chunk>(*(*chunks_)[index]);
    changed->erase(changed->begin() + (at - (*chunks_)[index]->begin()));
    Chunks chunks = *chunks_;
    if (changed->empty()) {
      chunks.erase(chunks.begin() + index);
    } else {
      chunks[index] = std::move(changed);
    }
    chunks_ = std::make_shared<const Chunks>(std::move(chunks));
    --size_;
  }

  // Calls visit(key, value) for every entry in order, from the first key >= `from`, until it returns false.
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

 private:
  static constexpr size_t kChunkMax = 128;
  using Chunk = std::vector<Entry>;
  using Chunks = std::vector<std::shared_ptr<const Chunk>>;

  size_t count() const { return chunks_ == nullptr ? 0 : chunks_->size(); }
  // Index of the first chunk whose last key is >= key; count() if none.
  template <typename K>
  size_t ChunkOf(const K& key) const {
    if (chunks_ == nullptr) return 0;
    auto at = std::partition_point(chunks_->begin(), chunks_->end(), [&](const auto& chunk) {
      return chunk->back().first < key;
    });
    return static_cast<size_t>(at - chunks_->begin());
  }
  template <typename K>
  static typename Chunk::const_iterator LowerBound(const Chunk& entries, const K& key) {
    return std::partition_point(entries.begin(), entries.end(), [&](const Entry& entry) { return entry.first < key; });
  }

  std::shared_ptr<const Chunks> chunks_;
  size_t size_ = 0;
};

}  // namespace gregor

#endif  // GREGOR_CONTROLLER_IMAGE_PERSISTENT_MAP_H_
