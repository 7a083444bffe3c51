#ifndef GREGOR_RAFT_HOST_CONTROL_RECORDS_H_
#define GREGOR_RAFT_HOST_CONTROL_RECORDS_H_

#include <string>
#include <variant>
#include <vector>

#include "base/record_batch.h"
#include "base/result.h"
#include "raft/host/metadata_log.h"

namespace gregor {

// What the quorum writes to the metadata log for itself, in control batches of one record
// (docs/formats.md "Metadata log"). Thread: any.

// A voter is a node with its metadata directory: a wiped disk is another voter.
struct VoterKey {
  NodeId node{-1};
  DirectoryId directory;
  friend bool operator==(const VoterKey&, const VoterKey&) = default;
};

// Where a voter can be reached.
struct VoterEndpoint {
  std::string listener;
  std::string host;
  uint16_t port = 0;
  friend bool operator==(const VoterEndpoint&, const VoterEndpoint&) = default;
};
struct Voter {
  VoterKey key;
  std::vector<VoterEndpoint> endpoints;
  friend bool operator==(const Voter&, const Voter&) = default;
};

// The first record of each term.
struct LeaderChange {
  VoterKey leader;
  std::vector<VoterKey> granting;  // who voted for it
  friend bool operator==(const LeaderChange&, const LeaderChange&) = default;
};
// Who votes from here on.
struct VoterSet {
  std::vector<Voter> voters;
  friend bool operator==(const VoterSet&, const VoterSet&) = default;
};
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

}  // namespace gregor

#endif  // GREGOR_RAFT_HOST_CONTROL_RECORDS_H_
