#ifndef GREGOR_RAFT_HOST_SINGLE_VOTER_LOG_H_
#define GREGOR_RAFT_HOST_SINGLE_VOTER_LOG_H_

#include <memory>
#include <string>

#include "base/event_loop.h"
#include "raft/host/control_records.h"
#include "raft/host/metadata_log.h"
#include "storage/disk.h"

namespace gregor {

// Where the metadata log's batches lie: a log directory of its own, with one log of a well-known
// id.
TopicIdPartition MetadataLogId();

// The metadata log of a quorum of one: what is synced is committed, as nobody else has to agree.
// Its files are those of a larger quorum (DESIGN D1): terms that rise with every start, a vote
// file, leader-change and voters records; so a directory of today opens when others join.
struct SingleVoterLogOptions {
  EventLoop* loop = nullptr;
  Disk* disk = nullptr;
  std::string path;  // a formatted log directory: data_dir/metadata
  ClusterId cluster_id;
  VoterKey self;
  // Whether the log was never written. Otherwise an empty one means that it was lost.
  bool may_be_empty = false;
  size_t batch_bytes_max = 64u << 20;
  int64_t segment_bytes = 32 << 20;
};

// Recovers the log and reads the vote file. `opened` runs on the loop. Nothing is written before
// Start(). Fails with kStorageError where files are locked, damaged, missing, of another node, or
// of a quorum of several voters, naming what to do. Thread: any.
void OpenSingleVoterLog(SingleVoterLogOptions options,
                        UniqueFunction<void(Result<std::unique_ptr<MetadataLog>>)> opened);

}  // namespace gregor

#endif  // GREGOR_RAFT_HOST_SINGLE_VOTER_LOG_H_
