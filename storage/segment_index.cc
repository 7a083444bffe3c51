#include "storage/segment_index.h"

#include <algorithm>

#include "storage/encoding.h"

namespace gregor {

void SegmentIndex::Note(const BatchHeader& header, uint64_t position, int64_t interval_bytes) {
  const uint64_t spacing = std::max(spacing_, static_cast<uint64_t>(interval_bytes));
  const bool due = entries_.empty() || position - entries_.back().position >= spacing;
  if (due && entries_.size() == kEntriesMax) {
    // Every other one goes, and new ones come half as often.
    for (size_t i = 0; 2 * i < entries_.size(); ++i) entries_[i] = entries_[2 * i];
    entries_.resize(kEntriesMax / 2);
    spacing_ = 2 * std::max<uint64_t>(spacing, position / kEntriesMax);
  } else if (due) {
    entries_.push_back({header.base_offset, position, max_timestamp_});
  }
  // Batches that compaction emptied have no record to be found.
  if (header.record_count > 0) max_timestamp_ = std::max(max_timestamp_, header.max_timestamp);
}

std::optional<SegmentIndex::Entry> SegmentIndex::Floor(Offset offset) const {
  const auto after =
      std::upper_bound(entries_.begin(), entries_.end(), offset,
                       [](Offset wanted, const Entry& entry) { return wanted < entry.base; });
  if (after == entries_.begin()) return std::nullopt;
  return *std::prev(after);
}

std::optional<SegmentIndex::Entry> SegmentIndex::FloorByTime(Timestamp time) const {
  if (entries_.empty()) return std::nullopt;
  const auto after =
      std::partition_point(entries_.begin(), entries_.end(),
                           [&](const Entry& entry) { return entry.max_before < time; });
  return after == entries_.begin() ? entries_.front() : *std::prev(after);
}

const SegmentIndex::Entry* SegmentIndex::After(uint64_t position) const {
  const auto after =
      std::upper_bound(entries_.begin(), entries_.end(), position,
                       [](uint64_t wanted, const Entry& entry) { return wanted < entry.position; });
  return after == entries_.end() ? nullptr : &*after;
}

void SegmentIndex::Encode(std::string* out) const {
  PutBigEndian(out, max_timestamp_.value);
  PutBigEndian(out, static_cast<uint32_t>(entries_.size()));
  for (const Entry& entry : entries_) {
    PutBigEndian(out, entry.base.value);
    PutBigEndian(out, entry.position);
    PutBigEndian(out, entry.max_before.value);
  }
}

std::optional<SegmentIndex> SegmentIndex::Take(std::string_view* rest) {
  constexpr size_t kEntryBytes = 24;
  SegmentIndex index;
  const auto max_timestamp = TakeBigEndian<int64_t>(rest);
  const auto count = TakeBigEndian<uint32_t>(rest);
  if (!count.has_value() || rest->size() / kEntryBytes < *count || *count > kEntriesMax)
    return std::nullopt;
  index.max_timestamp_ = Timestamp{*max_timestamp};
  index.entries_.reserve(*count);
  for (uint32_t i = 0; i < *count; ++i) {
    Entry entry;
    entry.base = Offset{*TakeBigEndian<int64_t>(rest)};
    entry.position = *TakeBigEndian<uint64_t>(rest);
    entry.max_before = Timestamp{*TakeBigEndian<int64_t>(rest)};
    if (!index.entries_.empty() && (entry.base <= index.entries_.back().base ||
                                    entry.position <= index.entries_.back().position)) {
      return std::nullopt;
    }
    index.entries_.push_back(entry);
  }
  return index;
}

}  // namespace gregor
