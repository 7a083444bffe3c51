#ifndef GREGOR_RAFT_HOST_CONTROL_RECORDS_H_
#define GREGOR_RAFT_HOST_CONTROL_RECORDS_H_

#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/record_batch.h"
#include "base/result.h"
#include "raft/core/types.h"

namespace gregor {

// What the quorum writes to the metadata log for itself, in control batches of one record
// (docs/formats.md "Metadata log"). Thread: any.

// Of a type that this version does not know: passed over, as every reader does.
struct UnknownControl {
  int16_t type = 0;
  friend bool operator==(const UnknownControl&, const UnknownControl&) = default;
};
using ControlRecord = std::variant<LeaderChange, VoterSet, UnknownControl>;

// Of a voter's host, and of the name of its listener.
inline constexpr size_t kEndpointTextBytesMax = 255;
// Whether the endpoint may be a voter's: its host and listener have 1 to kEndpointTextBytesMax
// bytes, visible ASCII, which the log base file (raft/host/log_base_file.h) can hold, too. What is
// read of a log was written already, and is not asked.
bool MayBeWritten(const VoterEndpoint& endpoint);

// A batch with base offset 0 and leader epoch -1. REQUIRES: no UnknownControl.
RecordBatch EncodeControl(const ControlRecord& record, Timestamp now);
// Fails with kStorageError where the batch does not hold one whole control record of a version that
// this release knows.
Result<ControlRecord> DecodeControl(const RecordBatch& batch);
// The voter set of a control batch's bytes, which are checked; nullopt: it holds something else.
// Fails like DecodeControl(), and with kCorruptBatch.
Result<std::optional<VoterSet>> ReadVoters(std::string_view batch);

}  // namespace gregor

#endif  // GREGOR_RAFT_HOST_CONTROL_RECORDS_H_
