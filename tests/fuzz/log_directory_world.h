#ifndef GREGOR_TESTS_FUZZ_LOG_DIRECTORY_WORLD_H_
#define GREGOR_TESTS_FUZZ_LOG_DIRECTORY_WORLD_H_

#include <memory>
#include <utility>

#include "storage/log_directory.h"
#include "tests/sim/scheduler.h"
#include "tests/sim/sim_disk.h"
#include "tests/sim/sim_file_system.h"

namespace gregor {

// A simulated disk with one log directory, in which one partition has a folder. It is the same
// each time.
class LogDirectoryWorld {
 public:
  LogDirectoryWorld()
      : files_(1, &scheduler_.trace()), loop_(scheduler_, "loop"), disk_(scheduler_, files_) {
    Random random(1);
    LogDirectory::Options options;
    options.path = "/data";
    options.cluster_id = random.NewUuid<ClusterId>();
    options.node_id = NodeId{1};
    options.new_id = random.NewUuid<DirectoryId>();
    id_ = {random.NewUuid<TopicId>(), PartitionIndex{0}};
    auto opened = LogDirectory::Open(disk_, loop_, std::move(options));
    CHECK(opened.ok()) << opened.error();
    directory_ = *std::move(opened);
    CHECK(files_.MakeDirectory(directory_->PathOf(id_)).ok());
  }
  ~LogDirectoryWorld() {
    disk_.Kill();
    loop_.Kill();
  }

 protected:
  SimFileSystem& files() { return files_; }
  LogDirectory& directory() { return *directory_; }
  const TopicIdPartition& id() const { return id_; }

 private:
  Scheduler scheduler_{1};
  SimFileSystem files_;
  SimLoop loop_;
  SimDisk disk_;
  std::unique_ptr<LogDirectory> directory_;
  TopicIdPartition id_;
};

}  // namespace gregor

#endif  // GREGOR_TESTS_FUZZ_LOG_DIRECTORY_WORLD_H_
