#ifndef GREGOR_TESTS_SIM_SIM_FILE_SYSTEM_H_
#define GREGOR_TESTS_SIM_SIM_FILE_SYSTEM_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/random.h"
#include "storage/file_system.h"
#include "tests/sim/sim_tree.h"
#include "tests/sim/trace.h"

namespace gregor {

enum class SimOperation { kOpen, kRead, kWrite, kResize, kSync, kName, kSyncFolder };

// How likely each call goes wrong, and where the disk ends.
struct SimFaults {
  double read_error = 0;
  double write_error = 0;  // some part of the data is written
  double sync_error = 0;   // as SimFileState::FailSync()
  double bit_flip = 0;     // one bit of a write arrives wrong
  double misdirect = 0;    // a write lands on another page of its file
  double cached = 0.7;     // ReadCached() finds the bytes
  uint64_t capacity_bytes = uint64_t{1} << 40;
  size_t open_files_max = SIZE_MAX;
};

// What went wrong so far: a run that was to test a fault has to show that it happened.
struct SimFaultCounts {
  uint64_t io_errors = 0;
  uint64_t full = 0;
  uint64_t flipped = 0;
  uint64_t misdirected = 0;
  uint64_t power_losses = 0;
};

// A disk in memory that forgets what was not synced (scenarios A1, A2, A9-A11, A16). It outlives
// the simulated processes that use it: after a kill or a power loss, files and locks that were open
// are void, and fail with EIO. Thread: the simulation's.
class SimFileSystem final : public FileSystem {
 public:
  // `trace` may be null.
  SimFileSystem(uint64_t seed, Trace* trace);
  ~SimFileSystem() override;

  Result<FilePtr> Open(const std::string& path, OpenMode mode) override;
  Result<bool> Exists(const std::string& path) override;
  Result<std::vector<DirectoryEntry>> List(const std::string& path) override;
  Result<void> MakeDirectory(const std::string& path) override;
  Result<void> AddDirectory(const std::string& path) override;
  Result<void> Rename(const std::string& from, const std::string& to) override;
  Result<void> Remove(const std::string& path) override;
  Result<void> SyncDirectory(const std::string& path) override;
  Result<DiskSpace> Space(const std::string& path) override;
  Result<std::unique_ptr<DirectoryLock>> Lock(const std::string& path) override;
  Result<void> SyncAll(std::span<const FilePtr> files,
                       std::span<const std::string> folders) override;

  SimFaults& faults() { return faults_; }
  const SimFaultCounts& counts() const { return counts_; }
  // The next call of that kind on a path that contains `path_part` fails with EIO.
  void FailNext(SimOperation operation, std::string path_part);
  // From now on reads that touch the bytes [begin, end) of that file fail with EIO.
  void SetBadPlace(std::string path, uint64_t begin, uint64_t end) {
    bad_place_ = {std::move(path), begin, end};
  }
  // No call fails any more because of FailNext().
  void Disarm() { armed_.clear(); }
  // Flips a bit of the file, in memory and on the disk. False if it has no such byte.
  bool FlipBit(const std::string& path, uint64_t position, int bit);
  // Files with bytes that a fault made wrong (flipped or misdirected), since the last call.
  std::vector<std::string> TakeDamaged() { return std::exchange(damaged_, {}); }

  // Calls so far that changed something or made it durable.
  uint64_t mutation_count() const { return mutations_; }
  // The power fails in the middle of that call; it and all that follow fail, until LosePower().
  void FailPowerAt(uint64_t mutation) { power_fails_at_ = mutation; }
  bool is_powerless() const { return powerless_; }

  // The process is gone, the machine is not: the page cache keeps everything.
  void KillProcess();
  // Everything that was not durable is lost, but for what chance keeps; the power is back.
  void LosePower();
  void LosePower(SimSurvival survival);

  const SimTree& tree() const { return tree_; }

 private:
  friend class SimFile;
  friend class SimLock;
  enum class Fate { kDone, kFails, kDoneButFails };

  // What becomes of a call. Counts it, and notes it in the trace.
  Fate Draw(SimOperation operation, const std::string& path, uint64_t generation, uint64_t detail);
  template <typename Effect>
  auto Do(SimOperation operation, const std::string& path, Effect effect) -> decltype(effect());
  Result<void> Write(SimInode& inode, const std::string& path, uint64_t generation,
                     uint64_t position, const Bytes& data);
  Result<void> WriteBytes(SimInode& inode, const std::string& path, uint64_t position,
                          std::string bytes);
  Result<void> Resize(SimInode& inode, const std::string& path, uint64_t size);
  uint64_t RoomBytes() const;
  // Fails where the disk is full to the last byte.
  Result<void> CheckNameFits(const std::string& path);
  uint64_t FreeBytes() const;
  bool IsArmed(SimOperation operation, const std::string& path);
  double ErrorRate(SimOperation operation) const;

  struct BadPlace {
    std::string path;
    uint64_t begin = 0, end = 0;
    bool Meets(const std::string& other, uint64_t from, size_t size) const {
      return other == path && from < end && from + size > begin;
    }
  };
  BadPlace bad_place_;
  Trace* const trace_;
  Random random_;
  SimTree tree_;
  size_t open_files_ = 0;
  SimFaults faults_;
  SimFaultCounts counts_;
  std::vector<std::string> damaged_;
  std::vector<std::pair<SimOperation, std::string>> armed_;
  std::map<std::string, uint64_t> locks_;  // path -> number of the lock that holds it
  uint64_t last_lock_ = 0;
  uint64_t generation_ = 0;  // of the process; handles of an older one are void
  uint64_t mutations_ = 0;
  uint64_t power_fails_at_ = 0;
  bool powerless_ = false;
};

}  // namespace gregor

#endif  // GREGOR_TESTS_SIM_SIM_FILE_SYSTEM_H_
