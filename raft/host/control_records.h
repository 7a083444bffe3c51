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
