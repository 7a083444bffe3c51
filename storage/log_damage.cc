// LogImpl: what becomes of a read that meets damage.
#include <algorithm>
#include <utility>

#include "storage/log_impl.h"
#include "storage/segment.h"

namespace gregor {

// Said once, however often it is read.
void LogImpl::NoteDamage(const ReadPlace& place, const Error& error) {
  if (error.reason != Reason::kStorageError && error.reason != Reason::kCorruptBatch) return;
  const std::pair damage(place.segment, place.position);
  if (std::exchange(noted_damage_, damage) != damage) LOG(ERROR) << error;
}

Error LogImpl::DamagedAt(const ReadPlace& place, const std::string& what) const {
  const std::string path = SegmentPath(directory_, options_.id, place.segment);
  Error error(Reason::kCorruptBatch, path + " at " + std::to_string(place.position) + ": " + what);
  return error.With("path", path).With("position", std::to_string(place.position));
}

// Its header fits in, so it is known where the next one begins, unless its length leads nowhere.
Error LogImpl::BadBatch(const ReadPlace& place, const BatchHeader& header,
                        const Slice& bytes) const {
  const bool shows_next = bytes.size() >= header.size() + kBatchHeaderBytes;
  if (shows_next && !BehindByLength(place, bytes, ends_.written_end).has_value()) {
    return BadHeader(place, DamagedAt(place, "the checksum of a batch is wrong, and its length"),
                     BehindDamage(place, bytes));
  }
  const std::string offset = std::to_string(header.base_offset.value);
  const std::string next = std::to_string(header.next_offset().value);
  return DamagedAt(place, "the checksum of the batch at offset " + offset +
                              " is wrong: go on at offset " + next)
      .With("offset", offset)
      .With("next_offset", next);
}

// `behind`: where reading can go on, if it is known.
Error LogImpl::BadHeader(const ReadPlace& place, const Error& error,
                         const std::optional<ReadPlace>& behind) const {
  Error damaged = error;
  damaged.With("offset", std::to_string(place.next_offset.value));
  if (!behind.has_value()) {
    damaged.message += "; where the next one begins is not known";
    return damaged;
  }
  const std::string next = std::to_string(behind->next_offset.value);
  damaged.message += ": go on at offset " + next;
  return std::move(damaged).With("next_offset", next);
}

// Moves `place`, whose batch has a damaged header, to where the next one is; returns how far. Fails
// with what `error` says of the header where reading is to begin before that.
Result<size_t> LogImpl::PassDamage(Offset from, const Error& error, const Slice& bytes,
                                   ReadPlace& place) const {
  const auto behind = BehindDamage(place, bytes);
  const bool leads_on = behind.has_value() && behind->position > place.position;
  if (!leads_on || behind->next_offset > from) return BadHeader(place, error, behind);
  const size_t passed = behind->position - place.position;
  place = *behind;
  return passed;
}

// Whether the index of the segment, which is not in memory, would say where to go on.
bool LogImpl::LacksIndex(const ReadSpec& spec, const ReadPlace& place, const Error& error) const {
  const auto is_next = [](const auto& detail) { return detail.first == "next_offset"; };
  if (error.reason != Reason::kCorruptBatch ||
      std::any_of(error.details.begin(), error.details.end(), is_next))
    return false;
  const Segment& segment = SegmentOf(spec.from);
  return segment.name == place.segment && segment.index == nullptr;
}

// Where the next batch is that can be read, if the one at `place` has a damaged header; `bytes`
// begin there. By its length, if that leads to one that fits in; by the index; or the beginning of
// the next segment, or the end of the log: then its position is that of `place`.
std::optional<LogImpl::ReadPlace> LogImpl::BehindDamage(const ReadPlace& place,
                                                        const Slice& bytes) const {
  const Segment* const segment = FindSegment(place.segment);
  if (segment == nullptr) return std::nullopt;
  ReadPlace behind = place;
  const auto after =
      std::upper_bound(segments_.begin(), segments_.end(), place.segment.base,
                       [](Offset base, const Segment& each) { return base < each.base(); });
  const bool is_last = after == segments_.end();
  const Offset end = is_last ? ends_.written_end : after->base();
  behind.next_offset = end;
  if (const auto next = BehindByLength(place, bytes, end); next.has_value()) return next;
  if (segment->index == nullptr) return std::nullopt;
  const auto& entries = segment->index->entries();
  const auto entry = std::find_if(entries.begin(), entries.end(), [&](const auto& each) {
    return each.position > place.position && each.base > place.next_offset;
  });
  if (entry != entries.end()) {
    behind.position = entry->position;
    behind.next_offset = entry->base;
    return behind;
  }
  // Of the last segment nobody knows where what will be appended begins, seen from here.
  return is_last ? std::nullopt : std::optional(behind);
}

// `end`: of the segment's offsets.
std::optional<LogImpl::ReadPlace> LogImpl::BehindByLength(const ReadPlace& place,
                                                          const Slice& bytes, Offset end) const {
  if (bytes.size() < kBatchHeaderBytes) return std::nullopt;
  const BatchHeader header = BatchHeader::Decode(bytes.span().data());
  if (header.length < static_cast<int32_t>(kBatchHeaderBytes - kBatchLengthEnd))
    return std::nullopt;
  const uint64_t in_file = place.end - place.position;
  ReadPlace behind = place;
  if (header.size() == in_file) {
    behind.next_offset = end;
    return behind;
  }
  if (header.size() > bytes.size() - kBatchHeaderBytes) return std::nullopt;
  behind.position += header.size();
  behind.next_offset = place.next_offset + 1;
  behind.has_gaps = true;
  const Slice rest = bytes.Sub(header.size(), bytes.size() - header.size());
  const auto next = HeaderAt(behind, rest);
  if (!next.ok() || !next->has_value() || (*next)->next_offset() > end) return std::nullopt;
  behind.next_offset = (*next)->base_offset;
  behind.has_gaps = place.has_gaps;
  return behind;
}

}  // namespace gregor
