#ifndef GREGOR_RAFT_HOST_SINGLE_VOTER_LOG_H_
#define GREGOR_RAFT_HOST_SINGLE_VOTER_LOG_H_

#include <memory>
#include <string>

#include "base/event_loop.h"
#include "raft/host/control_records.h"
#include "raft/host/metadata_log.h"
#include "storage/disk.h"

namespace gregor {

// Where things lie in the metadata directory: a log directory with one log of a well-known id, and
// the vote file.
std::string MetadataLogPath(const std::string& metadata_path);
TopicIdPartition MetadataLogId();
std::string VotePath(const std::string& metadata_path);

// The metadata log of a quorum of one: what is synced is committed, as nobody else has to agree.
// Its files are those of a larger quorum (DESIGN D1): terms that rise with every start, a vote
// file, leader-change and voters records; so a directory of today opens when others join.
struct SingleVoterLogOptions {
  EventLoop* loop = nullptr;
  Disk* disk = nullptr;
  std::string path;  // data_dir/metadata, with a formatted log directory
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
