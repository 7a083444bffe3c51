#ifndef GREGOR_BROKER_GRPC_RECORD_ENCODER_H_
#define GREGOR_BROKER_GRPC_RECORD_ENCODER_H_

#include <cstdint>
#include <string>

#include "base/budget.h"
#include "base/bytes.h"
#include "base/result.h"
#include "base/types.h"

namespace gregor {

// Records as the API's messages have them.
struct EncodedRecords {
  Slice bytes;  // each with the key of its field
  int64_t count = 0;
  Offset next_offset{0};  // after the last one that was encoded or skipped
};

// What of the records may be encoded.
struct EncodeLimits {
  Offset from{0};            // those before are skipped
  Offset before{INT64_MAX};  // those from here on are left out
  size_t bytes_max = 1 << 20;
  int64_t records_max = INT64_MAX;
  // The most that can be asked for as bytes_max.
  size_t bytes_limit = SIZE_MAX;
  Budget* memory = nullptr;  // to decompress in; nullptr: without a bound for all
  // What the answer is charged to: it is made larger as needed, and what the records take is split
  // off it, to be theirs until their bytes are let go. nullptr: they are not accounted for.
  Budget::Share* answer = nullptr;
};

// Decodes whole batches to messages v1::Record, each under the field number `field`; control
// batches are skipped. Stops before a record that would exceed a limit; where nothing stopped it,
// `next_offset` is what `end` says, which is past the last batch. Costs time by the bytes, more
// where they are compressed. Fails with kFetchTooSmall (details needed_bytes, offset; and where
// nobody may ask for as much limit_bytes, next_offset: where to go on) where the first record alone
// exceeds the limit, and where the first batch cannot be decoded, or not up to the first record,
// with kCorruptBatch or kBatchTooLarge (details offset, next_offset), and with kQuotaExceeded where
// there is no memory for the first record, or to decompress its batch in, at the moment; what lies
// before such a batch or record comes first. Thread: any.
Result<EncodedRecords> EncodeRecords(const Bytes& batches, Offset end, const EncodeLimits& limits,
                                     uint32_t field);

// Whether that takes long enough to be done elsewhere than on a partition's thread.
bool IsSlowToEncode(const Bytes& batches);

}  // namespace gregor

#endif  // GREGOR_BROKER_GRPC_RECORD_ENCODER_H_
