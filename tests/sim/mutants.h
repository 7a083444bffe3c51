#ifndef GREGOR_TESTS_SIM_MUTANTS_H_
#define GREGOR_TESTS_SIM_MUTANTS_H_

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "storage/disk.h"
#include "storage/file_system.h"
#include "storage/group_sync.h"
#include "storage/log_directory.h"

namespace gregor {

// Known bugs, switched in one at a time: a checker is worth what it catches. Those of the storage
// are made outside of the product, in what stands between the log and the simulated disk (file
// system, disk, log directory, group sync: interfaces that it has anyway), or in the part of the
// caller, which the scenario plays. Those of the quorum are switches in the product's own code, as
// it is compiled for tests (raft/core/mutant.h). Numbers are those of the reference list.
enum class Mutant {
  kNone,
  kAckBeforeSync,         // a group sync reports success, and then begins
  kFolderNotSynced,       // names of new segments are not made durable
  kMarkBeforeSync,        // the synced mark is durable before what it speaks of
  kMarksNotSynced,        // the journal of marks is written and never synced
  kFailedSyncRepeated,    // a failed sync is tried again, and believed (31)
  kWriteErrorIgnored,     // a failed write counts as done
  kCutBelowMark,          // recovery knows no mark, and cuts at the first bad batch (32)
  kServedUnsynced,        // recovery does not sync what it found (33)
  kStaleAccepted,         // recovery leaves what lies behind a tear, and takes a batch for what
                          // follows although its epoch says that it is older (34)
  kCutNotSynced,          // a truncation is not synced before appends go on
  kDeletionNotJournaled,  // DeleteBefore() is acknowledged before it is durable
  kCompactedNotSynced,    // what compaction wrote takes its place before it is on the disk
  kTombstonesDropped,     // a tombstone goes before delete.retention.ms have passed
  kOldValueKept,          // compaction passes over what it has cleaned before
  kMarksLost,             // nobody notices that the journal of marks is not whole
  kGivenUpWhenFull,       // what finds no space on the disk counts as written
  kDamageServed,          // reads believe in bytes with a wrong checksum
  kEpochKept,             // the leader epoch does not rise at a start (4)
  kProducersForgotten,    // the table of idempotent producers is lost at a start (35)
  kLeaderEpochKept,       // the same as kEpochKept, in what the controller tells the broker (4)
  kMetadataNotSynced,     // operations are answered before their records are on the disk (18)
  kFilesReused,           // a new topic gets the files of a deleted one of its name (40)
  // --- the quorum
  kEarlierTermCommitted,  // an earlier term's records are committed by counting replicas (1)
  kVoteNotSaved,          // what is not durable is said (2)
  kVoteForgotten,         // a vote is forgotten when its giver steps down within the term (3)
  kLedOnAfterRestart,     // a leader leads on in its term after a restart (4)
  kOwnLogCounted,         // a leader counts its own records before they are durable (5)
  kAcknowledgedEarly,     // a follower acknowledges before it is durable (6)
  kLogsNotCompared,       // a vote is given without a look at the logs (7a)
  kEndsComparedFirst,     // the logs' ends are compared before their terms (7b)
  kHalfIsMajority,        // half is taken for a majority (8a)
  kRemovedLeaderCounted,  // a leader counts itself though it was removed (8b)
  kOlderLeaderBelieved,   // records are taken from a leader of an earlier term (9a)
  kSentAfterLeadership,   // records are sent after a leadership has ended (9b)
  kCommittedCut,          // what is committed is cut (10)
  kRefusalIsMatch,        // a refusal is taken for a match (11)
  kTwoVoterChanges,       // voters change again before the first change is committed (12a)
  kVotersOnCommit,        // a change of voters counts once it is committed (12b)
  kVotersBeforeTerm,      // voters change before something is committed in the term (12c)
  kDirectoryIgnored,      // voters are known by their node alone (13)
  kNoCheckQuorum,         // a leader leads on without a majority (14a)
  kNoPreVote,             // a candidate does not ask first (14b)
  kSnapshotMisplaced,     // a snapshot ends one record too early (15)
  kTrimmedTooEarly,       // the log is trimmed before the snapshot is durable (16)
  kVoteNameNotSynced,     // the name of the vote file is not made durable (2b)
  kRenamedUnsynced,       // a file gets its name before its content is durable (16b)
  kStoreNotAwaited,       // the log is trimmed before the store has what goes (16c)
  kFooterIgnored,         // a snapshot is read without a look at its footer (17)
  kAnsweredEarly,         // a controller answers before its records are committed (18)
  kTransactionShown,      // what is inside of a transaction counts before its end (18b)
  kSpeculationShown,      // what is not committed is shown (18c)
  kSpeculationKept,       // what was not committed is not dropped with the leadership (19)
  kSessionsNotRenewed,    // a new active controller gives brokers no time to be heard of (20)
  kDifferenceIgnored,     // a node whose state differs from the leader's leaves it at that (21b)
  kEarlierLifeInSync,     // who caught up before its broker was started again gets in sync (21)
  kFencedInSync,          // a broker that is fenced may be in sync (22)
  kLostInSync,            // who may have lost records stays in sync (24b)
};

struct MutantInfo {
  Mutant mutant;
  std::string_view name;      // for the command line
  std::string_view scenario;  // the one that catches it
  int number = 0;             // of the reference list; 0: not in it
  char variant = 'a';
};
const std::vector<MutantInfo>& AllMutants();
std::string_view NameOf(Mutant mutant);
// Switches it in, for the rest of this process, or until the next call.
void ActivateMutant(Mutant mutant);

// A file system that misbehaves as `mutant` says; with kNone it only passes on. The job that runs
// (its name, see MutantDisk) tells recovery from other work. Thread: the simulation's.
class MutantFileSystem final : public FileSystem {
 public:
  MutantFileSystem(FileSystem& inner, Mutant mutant) : inner_(inner), mutant_(mutant) {}

  Result<FilePtr> Open(const std::string& path, OpenMode mode) override;
  Result<bool> Exists(const std::string& path) override { return inner_.Exists(path); }
  Result<std::vector<DirectoryEntry>> List(const std::string& path) override {
    return inner_.List(path);
  }
  Result<void> MakeDirectory(const std::string& path) override {
    return inner_.MakeDirectory(path);
  }
  Result<void> AddDirectory(const std::string& path) override { return inner_.AddDirectory(path); }
  Result<void> Rename(const std::string& from, const std::string& to) override {
    return inner_.Rename(from, to);
  }
  Result<void> Remove(const std::string& path) override;
  Result<void> SyncDirectory(const std::string& path) override;
  Result<DiskSpace> Space(const std::string& path) override { return inner_.Space(path); }
  Result<std::unique_ptr<DirectoryLock>> Lock(const std::string& path) override {
    return inner_.Lock(path);
  }
  Result<void> SyncAll(std::span<const FilePtr> files,
                       std::span<const std::string> folders) override;

  Mutant mutant() const { return mutant_; }
  void set_job(std::string_view name) { job_ = name; }
  bool in_recovery() const { return job_ == "log.open"; }
  bool in_compaction() const { return job_ == "log.compact"; }
  // Whether syncs of this path are left out.
  bool SkipsSync(const std::string& path) const;

 private:
  FileSystem& inner_;
  const Mutant mutant_;
  std::string_view job_;
};

// Tells the file system whose job runs.
class MutantDisk final : public Disk {
 public:
  MutantDisk(Disk& inner, MutantFileSystem& files) : inner_(inner), files_(files) {}
  using Disk::Submit;
  void Submit(Lane lane, const char* name, Task job) override;
  FileSystem& files() override { return files_; }

 private:
  Disk& inner_;
  MutantFileSystem& files_;
};

// For kFilesReused: whose files a partition gets.
using PartitionAlias = std::function<TopicIdPartition(const TopicIdPartition&)>;

// `inner` with the group sync, the marks and the paths of `mutant`.
std::unique_ptr<LogDirectory> MutateDirectory(std::unique_ptr<LogDirectory> inner, Mutant mutant,
                                              PartitionAlias alias);

}  // namespace gregor

#endif  // GREGOR_TESTS_SIM_MUTANTS_H_
