#ifndef GREGOR_RAFT_HOST_LOG_REPAIR_H_
#define GREGOR_RAFT_HOST_LOG_REPAIR_H_

#include <memory>
#include <string>
#include <vector>

#include "base/event_loop.h"
#include "raft/core/types.h"
#include "raft/host/log_inspection.h"
#include "raft/host/transport.h"
#include "storage/disk.h"
#include "storage/log_directory.h"

namespace gregor {

// What a repair works with.
struct LogRepairOptions {
  EventLoop* loop = nullptr;
  Disk* disk = nullptr;
  LogDirectory* directory = nullptr;  // outlives the repair
  RaftTransport* transport = nullptr;
  std::string path;           // of the metadata directory
  std::vector<NodeId> nodes;  // that can be asked
  Term term{0};               // of the vote file: this node has taken nothing of a later one
  int64_t segment_bytes = 32 << 20;
  size_t batch_bytes_max = 64u << 20;
  // Refused once every node has answered for so long that it cannot help.
  Duration give_up_after = std::chrono::seconds(30);
};

// Where a repaired log waits to take its place.
std::string RepairedLogPath(const std::string& metadata_path);

// Heals a metadata log that lacks something of what was synced, before anything is done with it
// (docs/adr/0014-repair.md): fetches what is missing from the other nodes, whoever leads, and puts
// it in only where it is proven to be what was there, or to be committed; the damaged files are
// kept. Until then the node takes no part in the quorum, but answers others that need its log.
// `ended` runs on the loop: OK once the log is whole and durable. Fails with kStorageError where no
// node can help, naming what to do. Thread: the loop.
void RepairLog(LogRepairOptions options, LogInspection found,
               UniqueFunction<void(Result<void>)> ended);

// Answers other nodes' questions for the log in `folder`; `commit` tells what is committed, asked
// on the loop. Both outlive the transport's reader.
RaftTransport::RangeReader ReadRangesOf(EventLoop& loop, Disk& disk, std::string folder,
                                        size_t batch_bytes_max,
                                        std::function<std::optional<Offset>()> commit);

// The offsets that are missing, for a message.
std::string HolesText(const LogInspection& found);

}  // namespace gregor

#endif  // GREGOR_RAFT_HOST_LOG_REPAIR_H_
