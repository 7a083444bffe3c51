#ifndef GREGOR_RAFT_HOST_RAFT_LOG_H_
#define GREGOR_RAFT_HOST_RAFT_LOG_H_

#include <memory>
#include <string>
#include <vector>

#include "base/event_loop.h"
#include "base/metrics.h"
#include "base/random.h"
#include "raft/core/options.h"
#include "raft/host/metadata_log.h"
#include "raft/host/transport.h"
#include "storage/disk.h"

namespace gregor {

// Where things lie in the metadata directory: a log directory with one log of a well-known id, the
// vote file, and the log base file.
std::string MetadataLogPath(const std::string& metadata_path);
TopicIdPartition MetadataLogId();
std::string VotePath(const std::string& metadata_path);
std::string LogBasePath(const std::string& metadata_path);

// The metadata log as Raft keeps it: of one voter, of several, or of an observer; one path for all.
struct RaftLogOptions {
  EventLoop* loop = nullptr;
  Disk* disk = nullptr;
  std::string path;  // data_dir/metadata, with a formatted log directory
  ClusterId cluster_id;
  // Who this node is, who votes before there is a voter set, and timing.
  raft::Options raft;
  // nullptr: there are no other nodes. Outlives the log.
  RaftTransport* transport = nullptr;
  Random random{0};
  // Whether the log was never written. Otherwise an empty one means that it was lost.
  bool may_be_empty = false;
  size_t batch_bytes_max = 64u << 20;
  int64_t segment_bytes = 32 << 20;
  Metrics* metrics = nullptr;  // outlives the log; nullptr: nobody looks
};

// Recovers the log and reads the vote file. `opened` runs on the loop. Nothing is written before
// Start(). Fails with kStorageError where files are locked, damaged, missing, or of another node,
// naming what to do. Thread: any.
void OpenRaftLog(RaftLogOptions options,
                 UniqueFunction<void(Result<std::unique_ptr<MetadataLog>>)> opened);

}  // namespace gregor

#endif  // GREGOR_RAFT_HOST_RAFT_LOG_H_
