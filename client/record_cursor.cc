#include "client/record_cursor.h"

#include <utility>

namespace gregor {

RecordCursor::RecordCursor(const Consumed& consumed, size_t decompressed_bytes_max)
    : consumed_(consumed), decompressed_bytes_max_(decompressed_bytes_max) {}

Result<std::optional<RecordView>> RecordCursor::Next() {
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
  // Where even the length is wrong nothing behind it can be found.
  position_ = header.ok() ? begin + header->size() : consumed_.batches.size();
  if (!header.ok()) return header.error();
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
