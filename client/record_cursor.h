#ifndef GREGOR_CLIENT_RECORD_CURSOR_H_
#define GREGOR_CLIENT_RECORD_CURSOR_H_

#include <optional>

#include "base/record_batch.h"
#include "base/record_walk.h"
#include "base/result.h"
#include "client/consumer.h"

namespace gregor {

// Walks the records of what was consumed, one batch after the other: each is checked (length,
// checksum) and decompressed when its turn comes. Control batches and what lies before
// `consumed.from` are left out. Thread: its owner's.
class RecordCursor {
 public:
  // REQUIRES: `consumed` outlives it.
  explicit RecordCursor(const Consumed& consumed,
                        size_t decompressed_bytes_max = kDecompressedBytesMax);
  RecordCursor(const RecordCursor&) = delete;
  RecordCursor& operator=(const RecordCursor&) = delete;

  // The next record, valid until the next call; nullopt after the last. Fails with kCorruptBatch,
  // kInvalidRecord or kBatchTooLarge where a batch is damaged or decompresses to too much; the next
  // call goes on behind it. The message names the place, and so do the details: topic, partition,
  // offset (of the batch's first record), next_offset (of the first record behind it).
  Result<std::optional<RecordView>> Next();

 private:
  Result<std::optional<RecordView>> Step();
  Result<void> OpenBatch();

  const Consumed& consumed_;
  const size_t decompressed_bytes_max_;
  size_t position_ = 0;  // of the batch after the one that is walked
  BatchHeader header_;
  Offset batch_begin_{0};  // offsets of the batch that is walked or could not be
  Offset batch_end_{0};
  Bytes records_;  // of the batch that is walked, not compressed
  std::optional<RecordWalk> walk_;
  int32_t left_ = 0;
};

}  // namespace gregor

#endif  // GREGOR_CLIENT_RECORD_CURSOR_H_
