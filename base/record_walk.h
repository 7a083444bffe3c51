#ifndef GREGOR_BASE_RECORD_WALK_H_
#define GREGOR_BASE_RECORD_WALK_H_

#include <string>
#include <string_view>

#include "base/record_batch.h"

namespace gregor {

// Parts of the record codec. Thread: any; an object belongs to its user.

// Decodes the record at the front of `rest` and takes it off. Fails with kInvalidRecord where its
// bytes contradict themselves or offset and time leave the batch's range.
Result<RecordView> TakeRecord(const BatchHeader& header, std::string_view& rest);

// Walks uncompressed records that lie in several slices, copying only those that straddle two.
class RecordWalk {
 public:
  // REQUIRES: both outlive it.
  RecordWalk(const BatchHeader& header, const Bytes& records);

  // The next record; its views are valid until the next call. REQUIRES: fewer than
  // header.record_count calls so far.
  Result<RecordView> Next();
  // Fails with kInvalidRecord if bytes are left.
  Result<void> CheckEnd() const;

 private:
  // Makes at least `size` bytes contiguous in rest_; false where there are not so many.
  bool Gather(size_t size);
  // The next bytes that nothing was taken of yet; empty at the end.
  std::string_view& Pending();

  const BatchHeader& header_;
  const Bytes& records_;
  size_t next_slice_ = 0;
  std::string_view pending_;  // what is left of the slice before next_slice_
  std::string_view rest_;     // what is walked now: a part of a slice, or straddle_
  std::string straddle_;
};

}  // namespace gregor

#endif  // GREGOR_BASE_RECORD_WALK_H_
