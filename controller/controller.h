#ifndef GREGOR_CONTROLLER_CONTROLLER_H_
#define GREGOR_CONTROLLER_CONTROLLER_H_

#include <functional>
#include <memory>
#include <string>

#include "base/event_loop.h"
#include "base/metrics.h"
#include "base/random.h"
#include "base/result.h"
#include "base/task.h"
#include "controller/broker_sessions.h"
#include "controller/image/controller_api.h"
#include "controller/image/image.h"
#include "controller/image/image_store.h"
#include "controller/snapshot_source.h"
#include "raft/core/options.h"
#include "raft/host/metadata_log.h"
#include "raft/host/transport.h"
#include "storage/disk.h"

namespace gregor {

// How the controller behaves, apart from where it lives.
struct ControllerOptions {
  NodeId node_id{-1};
  int32_t default_partitions = 1;
  int32_t default_replication_factor = 1;
  int64_t topics_max = 1'000'000;
  int64_t partitions_max = 2'000'000;  // of the cluster
  int32_t partitions_per_operation_max = 100'000;
  size_t record_batch_bytes_max = 32u << 20;  // largest batch of the metadata log
  // An operation that writes more is written as a metadata transaction, in batches of about so
  // much (one record at least), since feature level 2; before it is one batch whatever it writes.
  size_t transaction_batch_bytes = 256u << 10;
  size_t operations_queued_max =
      10'000;  // further ones fail with kQuotaExceeded, which is retriable
  size_t message_bytes_limit = 64u << 20;  // largest max.message.bytes that a topic may have
  // Of the node's settings file, by broker config name: what topics have where nothing else is set.
  ConfigMap static_configs;
  BrokerSessions::Options broker_sessions;
  // How often the active controller writes what hash the state has, if anything has changed.
  Duration hash_interval = std::chrono::seconds(10);
};

// The node's copy of the cluster's metadata, and (where it leads the quorum, which on a single node
// is always) the active controller: operations are validated against the speculative image, become
// records of the metadata log, and are answered once those are committed and applied (DESIGN D8).
// Thread: operations, image(), leader() and Watch(): any. Everything else happens on the controller
// loop. Operations are answered as soon as it is known what came of them, whatever their timeout.
class Controller : public ControllerApi {
 public:
  struct Options {
    EventLoop* loop = nullptr;  // the controller loop
    Disk* disk = nullptr;       // of the disk that holds data_dir/metadata
    std::string data_dir;       // formatted (controller/format.h)
    ControllerOptions behavior;
    Random random{0};  // ids of topics
    // Where the image is kept beside log and snapshots. Unset: RocksDB in data_dir/metadata/image,
    // or with persistent_image == false nowhere.
    std::unique_ptr<ImageStore> image_store;
    bool persistent_image = true;
    // Who the controllers are by the settings (none: this node alone), and the quorum's timing.
    raft::Options raft;
    // How to reach the others; nullptr: there are none. Outlives the controller.
    RaftTransport* transport = nullptr;
    // Where a snapshot comes from when the others' logs begin after this one's end; nullptr:
    // nowhere. Outlives the controller.
    SnapshotSource* snapshots = nullptr;
    // A snapshot is written, and the log trimmed, each time so many bytes of records were
    // committed.
    size_t snapshot_record_bytes = 20u << 20;
    // Segments of the log; the log is trimmed by whole ones.
    int64_t segment_bytes = 16 << 20;
    Metrics* metrics = nullptr;  // outlives the controller; nullptr: nobody looks
    // What ended the work of a controller that was open: failure(). On the loop, once at most.
    std::function<void(const Error&)> on_failure;
  };
  using Opened = UniqueFunction<void(Result<std::unique_ptr<Controller>>)>;

  // Opens log, image store and controller on the directory, loads the image, and takes part in the
  // quorum, or follows it; whoever leads first writes the cluster's first records. `opened` runs on
  // the loop, once there is a leader and this node's image() is of a cluster: where it leads, with
  // everything committed before. That takes as long as no majority is there. Fails with
  // kStorageError (locked, damaged, newer format), kInconsistentClusterId, naming what to do.
  // Thread: any.
  static void Open(Options options, Opened opened);
  // The same, waiting; gives up with kServerDraining once `is_stopping`, asked every so often, says
  // so. REQUIRES: not called on the loop, which runs (start-up), and is not used afterwards where
  // it has given up.
  static Result<std::unique_ptr<Controller>> OpenAndWait(Options options,
                                                         std::function<bool()> is_stopping = {});

  // The latest committed image; never null.
  virtual ImagePtr image() const = 0;
  // Calls `observer` on the loop: first with the image as it is (`before` null, everything in
  // `created`), then with every change, in order, before the operation that made it is answered;
  // until the returned handle goes. The handle may go on any thread; on another one than the loop's
  // a call may still be running when it has gone.
  virtual std::shared_ptr<void> Watch(UniqueFunction<void(const MetadataDelta&)> observer) = 0;
  // Who is the active controller, as far as this node knows; this node only once it can take
  // operations. It may have changed since.
  virtual QuorumLeader leader() const = 0;
  // The quorum, and who votes in it: as MetadataLog says; kNotController before and after its life.
  // Thread: the controller loop, callbacks included.
  virtual QuorumStatus quorum() const = 0;
  // The same for who asks from outside: a node that leads has a majority confirm that first, so
  // that one whose leadership is over, and who has yet to notice, does not speak for the quorum.
  virtual void DescribeQuorum(Done<QuorumStatus> done) = 0;
  virtual void AddVoter(Voter voter, MetadataLog::Changed changed) = 0;
  virtual void RemoveVoter(VoterKey voter, MetadataLog::Changed changed) = 0;
  virtual void Transfer(std::optional<NodeId> to, Done<NodeId> done) = 0;
  // What ended the controller's work (a failed disk), or nullopt.
  virtual std::optional<Error> failure() const = 0;

  // Hands leadership over where it can, answers what is waiting with kNotController, syncs and
  // closes log and store. Nothing may be called afterwards but the destructor, on any thread.
  // `done` runs on the loop. REQUIRES of the destructor: closed, or the loop has stopped.
  virtual void Close(UniqueFunction<void(Result<void>)> done) = 0;
};

}  // namespace gregor

#endif  // GREGOR_CONTROLLER_CONTROLLER_H_
