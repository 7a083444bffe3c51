#ifndef GREGOR_TESTS_SIM_STORAGE_NODE_H_
#define GREGOR_TESTS_SIM_STORAGE_NODE_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "storage/log_directory.h"
#include "tests/sim/checkers.h"
#include "tests/sim/mutants.h"
#include "tests/sim/scheduler.h"
#include "tests/sim/sim_disk.h"
#include "tests/sim/sim_file_system.h"

namespace gregor {

// A process that has log directories open: event loops, a disk for each directory. It is started
// and ends in one way or another any number of times; the files stay. Thread: the simulation's.
class StorageNode {
 public:
  struct Options {
    size_t loop_count = 1;
    size_t directory_count = 1;       // "/data0", "/data1" ...
    LogDirectory::Options directory;  // path and id are set here
    Mutant mutant = Mutant::kNone;
    PartitionAlias alias = [](const TopicIdPartition& partition) { return partition; };
  };

  StorageNode(Scheduler& scheduler, SimFileSystem& files, Options options);
  ~StorageNode() { Stop(StopKind::kKill); }

  // REQUIRES: stopped. On failure it is stopped again, as if killed.
  Result<void> Start();
  // Loops and disks do nothing any more, as if the process was killed; what uses them can go.
  void Halt();
  // REQUIRES: nobody uses loops, disks and directories any more. No effect if it does not run; a
  // power loss loses what was not synced in any case. kClean is as kKill here: what makes a stop
  // clean has happened before.
  void Stop(StopKind stop);
  bool is_running() const { return process_ != nullptr; }

  size_t directory_count() const { return options_.directory_count; }
  size_t loop_count() const { return options_.loop_count; }
  std::string PathOf(size_t directory) const { return "/data" + std::to_string(directory); }
  SimLoop& loop(size_t index) { return *process_->loops[index]; }
  SimDisk& disk(size_t index) { return *process_->directories[index].disk; }
  LogDirectory& directory(size_t index) const { return *process_->directories[index].directory; }
  // What the journal had for the partition at the start, whatever the mutant makes of it.
  std::optional<SyncedMark> MarkOf(size_t index, const TopicIdPartition& id) const;

 private:
  struct OpenDirectory {
    std::unique_ptr<SimDisk> disk;
    std::unique_ptr<MutantDisk> mutant_disk;
    std::unique_ptr<LogDirectory> directory;
    const LogDirectory* unaltered = nullptr;
  };
  struct Process {
    std::vector<std::unique_ptr<SimLoop>> loops;
    std::vector<OpenDirectory> directories;
  };

  Result<void> Open(Process& process, size_t index);

  Scheduler& scheduler_;
  SimFileSystem& files_;
  MutantFileSystem mutant_files_;
  const Options options_;
  std::vector<DirectoryId> ids_;
  std::unique_ptr<Process> process_;
};

}  // namespace gregor

#endif  // GREGOR_TESTS_SIM_STORAGE_NODE_H_
