#ifndef GREGOR_TESTS_SIM_SOAK_CHECKER_H_
#define GREGOR_TESTS_SIM_SOAK_CHECKER_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string_view>

#include "base/time.h"
#include "base/types.h"
#include "tests/sim/checkers.h"

namespace gregor {

// What may be there of a cluster's metadata, however long it runs.
struct SoakLimits {
  int64_t segment_bytes = 0;
  size_t snapshot_record_bytes = 0;
  size_t image_bytes_max = 1 << 20;
  Duration snapshot_age_max = std::chrono::hours(6);
  // Memory is what it is after so long, and a little more: by then the latest batches of the log
  // that each node keeps have become as many as they may.
  Duration warm_up = std::chrono::hours(4);
  size_t memory_slack_bytes = 16 << 20;
  size_t waiting_max = 20'000;  // events

  uint64_t log_bytes_max() const {
    return 6 * snapshot_record_bytes + 3 * static_cast<uint64_t>(segment_bytes) + (2u << 20);
  }
  // A snapshot is due after so many records, and after as many again where it could not be written
  // (its disk failed just then, as in seed 15); some more may come until it is written.
  int64_t unsnapshot_records_max() const {
    return 2 * static_cast<int64_t>(snapshot_record_bytes / 100) + 2000;
  }
};

// A node as it stands while all is well.
struct SoakView {
  NodeId node{-1};
  MonotonicTime now;
  Offset version{0};  // of its image
  size_t image_bytes = 0;
  uint64_t log_bytes = 0;
  size_t snapshots = 0;
  uint64_t snapshot_bytes = 0;
  Offset snapshot_end{0};  // of the newest; 0: none

  // Counts a file of its disk for what it is.
  void AddFile(std::string_view path, uint64_t size);
};

// What must hold of a cluster that runs for a day: its metadata logs are trimmed, its snapshots
// young, few and no larger than the image, which is bounded itself, and so are what its processes
// allocate and wait for (M1). Thread: the simulation's.
class SoakChecker {
 public:
  SoakChecker(Verdict& verdict, const SoakLimits& limits) : verdict_(verdict), limits_(limits) {}

  void OnNode(const SoakView& view);
  void OnProcess(MonotonicTime now, size_t allocated_bytes, size_t waiting);

 private:
  struct Seen {
    Offset snapshot_end{0};
    MonotonicTime since;
  };
  Verdict& verdict_;
  const SoakLimits limits_;
  std::map<NodeId, Seen> seen_;
  size_t allocated_at_first_ = 0;  // the most within the warm-up
};

// Bytes that this process has allocated and not freed; 0 where the allocator does not say.
size_t AllocatedBytes();

}  // namespace gregor

#endif  // GREGOR_TESTS_SIM_SOAK_CHECKER_H_
