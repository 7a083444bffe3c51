#ifndef GREGOR_STORAGE_SEGMENT_CURSOR_H_
#define GREGOR_STORAGE_SEGMENT_CURSOR_H_

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "base/record_batch.h"
#include "storage/file_system.h"

namespace gregor {

// Reads the batches of a segment file one after another, through a window of a megabyte, or of one
// batch where that is larger. What it gives has a valid checksum, an offset that follows on what
// came before (base offsets are outside of the checksum), and an epoch that did not fall. Thread:
// disk, one at a time.
class SegmentCursor {
 public:
  struct Options {
    uint64_t position = 0;         // where to begin
    uint64_t end = 0;              // of what is looked at
    Offset next_offset{0};         // where the batch before `position` ended
    LeaderEpoch epoch{-1};         // ... and its epoch
    bool epochs_rise = true;       // else any are taken: they are outside of the checksum, too
    bool has_gaps = true;          // offsets may be missing between batches
    Offset end_offset{INT64_MAX};  // what lies before `end` has lower ones
    size_t batch_bytes_max = 1u << 30;
  };
  struct Batch {
    BatchHeader header;
    uint64_t position = 0;
    std::span<const uint8_t> bytes;  // valid until the next call
  };

  // REQUIRES: `file` outlives it.
  SegmentCursor(File& file, const Options& options) : file_(&file), at_(options) {}

  // The next batch; nullopt at the end, or where something else than a batch that continues the log
  // lies: what() then says what. Fails with kStorageError where the file cannot be read.
  Result<std::optional<Batch>> Next();
  // Goes on to there, once what came before ended without anything else than batches.
  void GoOnTo(uint64_t end, Offset end_offset) {
    at_.end = end;
    at_.end_offset = end_offset;
  }
  // Behind the last batch.
  uint64_t position() const { return at_.position; }
  // Where that batch ended.
  Offset next_offset() const { return at_.next_offset; }
  // Empty if the end was reached.
  const std::string& what() const { return what_; }
  bool at_end() const { return at_.position >= at_.end; }

 private:
  // The bytes [position, position + size), fewer at the end of the file.
  Result<std::span<const uint8_t>> Bytes(uint64_t position, size_t size);

  File* file_;
  Options at_;
  std::string what_;
  std::unique_ptr<uint8_t[]> window_;
  size_t window_bytes_ = 0;        // its size
  size_t next_bytes_ = 16u << 10;  // to be read at the next time; grows, as most logs are small
  uint64_t begin_ = 0;             // of the file's bytes in it
  size_t used_ = 0;                // how many those are
};

// Where the first batch lies in [position, end) that is whole, has a right checksum, and `fits`;
// nullopt: none. For what lies behind damage, where nothing says where a batch begins. Fails with
// kStorageError where the file cannot be read. Thread: disk.
Result<std::optional<uint64_t>> FindBatch(File& file, uint64_t position, uint64_t end,
                                          size_t batch_bytes_max,
                                          const std::function<bool(const BatchHeader&)>& fits);

}  // namespace gregor

#endif  // GREGOR_STORAGE_SEGMENT_CURSOR_H_
