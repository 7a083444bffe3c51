#ifndef GREGOR_RPC_RAFT_CODEC_H_
#define GREGOR_RPC_RAFT_CODEC_H_

#include "base/result.h"
#include "gregor/internal/v1/raft.pb.h"
#include "raft/core/messages.h"

namespace gregor {

// Messages of the quorum as they travel. Thread: any.

// Without sender and receiver, which the stream knows, but for the receiver's directory.
internal::v1::RaftMessage EncodeRaft(const raft::Message& message);
// A message from `from` to node `to`. Of an append request the batches are in `bytes` only. Fails
// with kInvalidArgument where it is no message of this version.
Result<raft::Message> DecodeRaft(internal::v1::RaftMessage message, const VoterKey& from,
                                 NodeId to);
// Whether it goes by the connection for batches.
bool IsBulk(const raft::Message& message);

}  // namespace gregor

#endif  // GREGOR_RPC_RAFT_CODEC_H_
