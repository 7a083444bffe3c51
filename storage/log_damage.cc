// LogImpl: what becomes of a read that meets damage.
#include <utility>

#include "storage/log_impl.h"
#include "storage/segment.h"

namespace gregor {
namespace {

constexpr auto kBatchLengthMin = static_cast<int32_t>(kBatchHeaderBytes - kBatchLengthEnd);

}  // namespace

// Said once, however often it is met.
void LogImpl::NoteDamage(const Error& error) {
  constexpr size_t kNotedMax = 256;
  if (error.reason != Reason::kStorageError && error.reason != Reason::kCorruptBatch) return;
  if (noted_damage_.size() == kNotedMax) noted_damage_.clear();
  if (noted_damage_.insert(error.message).second) LOG(ERROR) << error;
}

Error LogImpl::DamagedAt(const ReadPlace& place, const std::string& what) const {
  const std::string path = SegmentPath(directory_, options_.id, place.segment);
  Error error(Reason::kCorruptBatch, path + " at " + std::to_string(place.position) + ": " + what);
  return error.With("path", path).With("position", std::to_string(place.position));
}

Error LogImpl::BadChecksum(const ReadPlace& place, const BatchHeader& header) const {
  return DamagedAt(place, "the checksum of the batch at offset " +
                              std::to_string(header.base_offset.value) + " is wrong");
}

// Moves `place`, whose batch is damaged as `error` says, to where the next one is; returns how far.
// Fails with the error where reading is to begin before that.
Result<size_t> LogImpl::PassDamage(Offset from, Error error, const Slice& bytes,
                                   ReadPlace& place) const {
  const auto behind = BehindDamage(place, bytes);
  if (behind.has_value() && behind->position > place.position && behind->next_offset <= from) {
    const size_t passed = behind->position - place.position;
    place = *behind;
    return passed;
  }
  error.With("offset", std::to_string(place.next_offset.value));
  if (!behind.has_value()) {
    error.message += "; where the next one begins is not known";
    return error;
  }
  const std::string next = std::to_string(behind->next_offset.value);
  error.message += ": go on at offset " + next;
  return std::move(error).With("next_offset", next);
}

// How many bytes show the header that follows by the length of the batch at `place`, damaged as it
// is; 0: no more than there are. A length that the index contradicts is not believed: it may be of
// hundreds of megabytes.
size_t LogImpl::BytesToJudge(const ReadPlace& place, const Slice& bytes) const {
  if (bytes.size() < kBatchHeaderBytes) return 0;
  const BatchHeader header = BatchHeader::Decode(bytes.span().data());
  if (header.length < kBatchLengthMin || header.size() > place.bound_position - place.position ||
      header.size() > options_.recovery_batch_bytes_max)
    return 0;
  const size_t needed = header.size() + kBatchHeaderBytes;
  return needed > bytes.size() && needed <= place.end - place.position ? needed : 0;
}

// Where the next batch is that can be read, if the one at `place` is damaged; `bytes` begin there.
// By its length, if that leads to one that fits in; by the index; or the beginning of the next
// segment: then its position is that of `place`.
std::optional<LogImpl::ReadPlace> LogImpl::BehindDamage(const ReadPlace& place,
                                                        const Slice& bytes) const {
  if (auto next = BehindByLength(place, bytes); next.has_value()) return next;
  ReadPlace behind = place;
  const auto* const entry = place.index->After(place.position);
  if (entry != nullptr && entry->position < place.end && entry->base > place.next_offset &&
      entry->base < place.end_offset) {
    behind.position = entry->position;
    behind.next_offset = entry->base;
    return behind;
  }
  // Of the last segment nobody knows where what is appended meanwhile begins, seen from here.
  const Segment* const segment = FindSegment(place.segment);
  const bool is_complete =
      segment != nullptr && segment != &segments_.back() && place.end == segment->size;
  behind.position = place.end;
  behind.next_offset = place.end_offset;
  return is_complete ? std::optional(behind) : std::nullopt;
}

std::optional<LogImpl::ReadPlace> LogImpl::BehindByLength(const ReadPlace& place,
                                                          const Slice& bytes) const {
  if (bytes.size() < kBatchHeaderBytes) return std::nullopt;
  const BatchHeader header = BatchHeader::Decode(bytes.span().data());
  if (header.length < kBatchLengthMin || header.size() > place.bound_position - place.position)
    return std::nullopt;
  ReadPlace behind = place;
  behind.position += header.size();
  if (behind.position == place.end) {
    behind.next_offset = place.end_offset;
    return behind;
  }
  if (header.size() > bytes.size() - kBatchHeaderBytes) return std::nullopt;
  behind.next_offset = place.next_offset + 1;
  behind.has_gaps = true;
  NoteBound(behind);
  const auto next = HeaderAt(behind, bytes.Sub(header.size(), bytes.size() - header.size()));
  if (!next.ok() || !next->has_value()) return std::nullopt;
  behind.next_offset = (*next)->base_offset;
  behind.has_gaps = place.has_gaps;
  return behind;
}

// A batch at `place` ends before the next one that the index knows, or with the segment.
void LogImpl::NoteBound(ReadPlace& place) const {
  if (place.position < place.bound_position) return;
  place.bound_position = place.end;
  place.bound_offset = place.end_offset;
  const auto* const next = place.index == nullptr ? nullptr : place.index->After(place.position);
  if (next == nullptr || next->position >= place.end) return;
  place.bound_position = next->position;
  place.bound_offset = next->base;
}

}  // namespace gregor
