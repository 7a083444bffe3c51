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

// Known bugs, switched in one at a time: a checker is worth what it catches. The product's code has
// no switches for them. Each is made outside of it, in what stands between the log and the
// simulated disk (file system, disk, log directory, group sync: interfaces that the product has
// anyway), or in the part of the caller, which the scenario plays.
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
};

struct MutantInfo {
  Mutant mutant;
  std::string_view name;      // for the command line
  std::string_view scenario;  // the one that catches it
};
const std::vector<MutantInfo>& AllMutants();
std::string_view NameOf(Mutant mutant);

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
