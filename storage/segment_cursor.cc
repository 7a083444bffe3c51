#include "storage/segment_cursor.h"

#include <algorithm>
#include <vector>

#include "base/crc32c.h"

namespace gregor {
namespace {

constexpr size_t kWindowBytes = 1u << 20;
constexpr size_t kMagicAt = 16;
constexpr uint8_t kMagic = 2;
constexpr LeaderEpoch kEpochMin{0};  // what is in a log has one

}  // namespace

Result<std::span<const uint8_t>> SegmentCursor::Bytes(uint64_t position, size_t size) {
  const uint64_t left = at_.end - position;
  size = static_cast<size_t>(std::min<uint64_t>(size, left));
  if (position < begin_ || position + size > begin_ + used_) {
    const auto wanted = static_cast<size_t>(std::min<uint64_t>(std::max(size, next_bytes_), left));
    next_bytes_ = std::min(4 * next_bytes_, kWindowBytes);
    if (wanted > window_bytes_) {
      window_.reset(new uint8_t[wanted]);
      window_bytes_ = wanted;
    }
    used_ = 0;
    ASSIGN_OR_RETURN(used_, file_->Read(position, {window_.get(), wanted}));
    begin_ = position;
  }
  const auto skip = static_cast<size_t>(position - begin_);
  return std::span<const uint8_t>(window_.get() + skip, std::min(size, used_ - skip));
}

Result<std::optional<SegmentCursor::Batch>> SegmentCursor::Next() {
  const auto stop = [this](std::string what) {
    what_ = std::move(what);
    return std::optional<Batch>();
  };
  if (at_end() || !what_.empty()) return std::optional<Batch>();
  ASSIGN_OR_RETURN(const auto front, Bytes(at_.position, kBatchHeaderBytes));
  const auto header = PeekHeader(Slice(nullptr, front.data(), front.size()), at_.batch_bytes_max);
  if (!header.ok()) return stop(header.error().message);
  if (header->size() > at_.end - at_.position) return stop("a batch is cut off");
  const bool follows = at_.has_gaps ? header->base_offset >= at_.next_offset
                                    : header->base_offset == at_.next_offset;
  if (!follows || header->base_offset > kBaseOffsetMax || header->last_offset_delta < 0 ||
      header->next_offset() > at_.end_offset ||
      header->leader_epoch < std::max(at_.epoch, kEpochMin)) {
    return stop("a batch that does not continue the log (offset " +
                std::to_string(header->base_offset.value) + " after " +
                std::to_string(at_.next_offset.value) + ", epoch " +
                std::to_string(header->leader_epoch.value) + ")");
  }
  ASSIGN_OR_RETURN(const auto whole, Bytes(at_.position, header->size()));
  if (whole.size() != header->size() || Crc32c(0, whole.subspan(kBatchCrcStart)) != header->crc)
    return stop("a batch whose checksum is wrong");
  const Batch batch{*header, at_.position, whole};
  at_.position += header->size();
  at_.next_offset = header->next_offset();
  if (at_.epochs_rise) at_.epoch = header->leader_epoch;
  return std::optional(batch);
}

Result<std::optional<uint64_t>> FindBatch(File& file, uint64_t position, uint64_t end,
                                          size_t batch_bytes_max,
                                          const std::function<bool(const BatchHeader&)>& fits) {
  std::vector<uint8_t> window;
  while (position + kBatchHeaderBytes <= end) {
    window.resize(static_cast<size_t>(std::min<uint64_t>(end - position, kWindowBytes)));
    ASSIGN_OR_RETURN(const size_t got, file.Read(position, window));
    if (got < kBatchHeaderBytes) break;
    const size_t places = got - kBatchHeaderBytes + 1;
    for (size_t at = 0; at < places; ++at) {
      if (window[at + kMagicAt] != kMagic) continue;
      const auto header = PeekHeader(Slice(nullptr, window.data() + at, got - at), batch_bytes_max);
      if (!header.ok() || !fits(*header) || header->size() > end - position - at) continue;
      SegmentCursor cursor(file, {.position = position + at,
                                  .end = end,
                                  .next_offset = header->base_offset,
                                  .batch_bytes_max = batch_bytes_max});
      ASSIGN_OR_RETURN(const auto batch, cursor.Next());
      if (batch.has_value()) return std::optional(position + at);
    }
    position += places;
  }
  return std::optional<uint64_t>();
}

}  // namespace gregor
