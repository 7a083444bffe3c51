#include "client/record_cursor.h"

#include <utility>

namespace gregor {

RecordCursor::RecordCursor(const Consumed& consumed, size_t decompressed_bytes_max)
    : consumed_(consumed),
      decompressed_bytes_max_(decompressed_bytes_max),
      batch_end_(consumed.from) {}

Result<std::optional<RecordView>> RecordCursor::Next() {
  auto record = Step();
  if (record.ok()) return record;
  Error error = std::move(record).error();
  const std::string partition = std::to_string(consumed_.partition.value);
  error.message = "partition " + partition + " of topic \"" + consumed_.topic +
                  "\", batch at offset " + std::to_string(batch_begin_.value) + ": " +
                  error.message;
  error.With("topic", consumed_.topic)
      .With("partition", partition)
      .With("offset", std::to_string(batch_begin_.value))
      .With("next_offset", std::to_string(batch_end_.value));
  return error;
}

Result<std::optional<RecordView>> RecordCursor::Step() {
  while (true) {
    if (left_ > 0) {
      auto record = walk_->Next();
      --left_;
      if (!record.ok()) {
        left_ = 0;
        return std::move(record).error();
      }
      if (record->offset < consumed_.from) continue;
      return std::optional<RecordView>(*record);
    }
    if (walk_.has_value()) {
      const auto end = walk_->CheckEnd();
      walk_.reset();
      if (!end.ok()) return end.error();
    }
    if (position_ == consumed_.batches.size()) return std::optional<RecordView>();
    RETURN_IF_ERROR(OpenBatch());
  }
}

Result<void> RecordCursor::OpenBatch() {
  const size_t rest = consumed_.batches.size() - position_;
  const auto header =
      PeekHeader(consumed_.batches.Sub(position_, std::min(rest, kBatchHeaderBytes)), rest);
  const size_t begin = position_;
  // Where even the length is wrong nothing behind it can be found in what came.
  position_ = header.ok() ? begin + header->size() : consumed_.batches.size();
  batch_begin_ = header.ok() ? header->base_offset : batch_end_;
  batch_end_ = header.ok() ? header->next_offset() : consumed_.next_offset;
  if (!header.ok()) return header.error();
  // A damaged header may claim anything.
  if (batch_end_ <= batch_begin_ || batch_end_ > consumed_.next_offset)
    batch_end_ = consumed_.next_offset;
  ASSIGN_OR_RETURN(const RecordBatch batch,
                   CheckBatch(consumed_.batches.Sub(begin, header->size())));
  header_ = batch.header;
  if (header_.is_control() || header_.next_offset() <= consumed_.from) return {};
  records_ = batch.payload();
  if (header_.codec() != Codec::kNone && header_.record_count > 0) {
    ASSIGN_OR_RETURN(std::string plain,
                     Decompress(header_.codec(), records_, decompressed_bytes_max_));
    records_ = Slice::Own(std::move(plain));
  }
  left_ = header_.record_count;
  walk_.emplace(header_, records_);
  return {};
}

}  // namespace gregor
