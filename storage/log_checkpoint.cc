#include "storage/log_checkpoint.h"

#include <utility>

#include "storage/encoding.h"

namespace gregor {
namespace {

constexpr uint32_t kMagic = 0x47434b32;  // "GCK2"
constexpr size_t kSegmentBytes = 8 + 4 + 8 + 8 + 8 + 8 + 1;

void PutSegment(std::string* out, const Segment& segment) {
  PutBigEndian(out, segment.name.base.value);
  PutBigEndian(out, segment.name.generation);
  PutBigEndian(out, segment.size);
  PutBigEndian(out, segment.first_timestamp.value);
  PutBigEndian(out, segment.max_timestamp.value);
  PutBigEndian(out, segment.appended_at.value);
  PutBigEndian(out, static_cast<uint8_t>(segment.has_gaps));
}

// REQUIRES: kSegmentBytes are there.
Segment TakeSegment(std::string_view* rest) {
  Segment segment;
  segment.name.base = Offset{*TakeBigEndian<int64_t>(rest)};
  segment.name.generation = *TakeBigEndian<uint32_t>(rest);
  segment.size = *TakeBigEndian<uint64_t>(rest);
  segment.first_timestamp = Timestamp{*TakeBigEndian<int64_t>(rest)};
  segment.max_timestamp = Timestamp{*TakeBigEndian<int64_t>(rest)};
  segment.appended_at = Timestamp{*TakeBigEndian<int64_t>(rest)};
  segment.has_gaps = *TakeBigEndian<uint8_t>(rest) != 0;
  return segment;
}

}  // namespace

std::string LogCheckpoint::EncodeWith(const ProducerState& producers_of_log) const {
  std::string body;
  PutBigEndian(&body, log_start.value);
  PutBigEndian(&body, end.value);
  PutBigEndian(&body, clean_end.value);
  PutBigEndian(&body, static_cast<uint32_t>(complete.size()));
  for (const Segment& segment : complete) PutSegment(&body, segment);
  PutSegment(&body, active);
  PutBigEndian(&body, active.chain);
  active.index->Encode(&body);
  PutText(&body, epochs.Encode());
  PutText(&body, producers_of_log.Encode(end));
  return Seal(kMagic, body);
}

Result<LogCheckpoint> LogCheckpoint::Decode(std::string_view text,
                                            const ProducerState::Options& options) {
  const Error damaged(Reason::kStorageError, "the checkpoint is damaged");
  const auto body = Unseal(kMagic, text);
  if (!body.has_value()) return damaged;
  std::string_view rest = *body;
  LogCheckpoint checkpoint;
  const auto log_start = TakeBigEndian<int64_t>(&rest);
  const auto end = TakeBigEndian<int64_t>(&rest);
  const auto clean_end = TakeBigEndian<int64_t>(&rest);
  const auto count = TakeBigEndian<uint32_t>(&rest);
  if (!count.has_value() || *clean_end < 0 || rest.size() / kSegmentBytes <= *count) return damaged;
  if (*log_start < 0 || *log_start > *end) return damaged;
  checkpoint.log_start = Offset{*log_start};
  checkpoint.end = Offset{*end};
  checkpoint.clean_end = Offset{*clean_end};
  Offset last{-1};
  for (uint32_t i = 0; i <= *count; ++i) {
    Segment segment = TakeSegment(&rest);
    if (segment.base() <= last || segment.base() > checkpoint.end) return damaged;
    last = segment.base();
    if (i < *count) {
      checkpoint.complete.push_back(std::move(segment));
    } else {
      checkpoint.active = std::move(segment);
    }
  }
  const auto chain = TakeBigEndian<uint32_t>(&rest);
  auto index = chain.has_value() ? SegmentIndex::Take(&rest) : std::nullopt;
  const auto epochs = index.has_value() ? TakeText(&rest) : std::nullopt;
  const auto producers = epochs.has_value() ? TakeText(&rest) : std::nullopt;
  if (!producers.has_value() || !rest.empty()) return damaged;
  if (!index->entries().empty() && index->entries().back().position >= checkpoint.active.size)
    return damaged;
  checkpoint.active.chain = *chain;
  checkpoint.active.index = std::make_shared<SegmentIndex>(std::move(*index));
  ASSIGN_OR_RETURN(checkpoint.epochs, EpochCache::Decode(*epochs));
  checkpoint.producers = ProducerState(options);
  RETURN_IF_ERROR(checkpoint.producers.Decode(*producers));
  return checkpoint;
}

}  // namespace gregor
