#include "tests/sim/soak_checker.h"

#include <malloc.h>

#include <algorithm>
#include <charconv>

// Of jemalloc, where the program is linked with it.
extern "C" int mallctl(const char* name, void* old, size_t* old_size, void* value,
                       size_t value_size) __attribute__((weak));

namespace gregor {

size_t AllocatedBytes() {
  if (mallctl == nullptr) return mallinfo2().uordblks;
  uint64_t epoch = 1;
  size_t size = sizeof epoch;
  (void)mallctl("epoch", &epoch, &size, &epoch, size);  // what it says is of then
  size_t bytes = 0;
  size = sizeof bytes;
  return mallctl("stats.allocated", &bytes, &size, nullptr, 0) == 0 ? bytes : 0;
}

void SoakView::AddFile(std::string_view path, uint64_t size) {
  constexpr std::string_view kLog = "/metadata/log/";
  constexpr std::string_view kSnapshots = "/metadata/snapshots/";
  if (path.find(kLog) != std::string_view::npos) log_bytes += size;
  const size_t at = path.find(kSnapshots);
  if (at == std::string_view::npos) return;
  ++snapshots;
  snapshot_bytes += size;
  const std::string_view name = path.substr(at + kSnapshots.size());
  int64_t end = 0;
  const auto parsed = std::from_chars(name.data(), name.data() + name.size(), end);
  if (parsed.ec == std::errc() && name.ends_with(".snapshot"))
    snapshot_end = std::max(snapshot_end, Offset{end});
}

void SoakChecker::OnNode(const SoakView& view) {
  const auto fail = [&](const auto&... parts) {
    verdict_.Fail("M1: node ", view.node, " ", parts...);
  };
  if (view.log_bytes > limits_.log_bytes_max())
    fail("has ", view.log_bytes, " bytes of metadata log, and more than ", limits_.log_bytes_max(),
         " are never needed");
  // Two that are kept, one that is written, and one that is about to go.
  if (view.snapshots > 4) fail("has ", view.snapshots, " snapshots");
  if (view.image_bytes > limits_.image_bytes_max)
    fail("has an image of ", view.image_bytes, " bytes");
  if (view.snapshot_bytes > 4 * (2 * limits_.image_bytes_max))
    fail("has snapshots of ", view.snapshot_bytes, " bytes");
  if (view.version - view.snapshot_end > limits_.unsnapshot_records_max())
    fail("is at ", view.version, ", and its newest snapshot ends at ", view.snapshot_end);
  Seen& seen = seen_.try_emplace(view.node, Seen{view.snapshot_end, view.now}).first->second;
  if (seen.snapshot_end != view.snapshot_end) seen = {view.snapshot_end, view.now};
  if (view.now - seen.since > limits_.snapshot_age_max)
    fail("has no newer snapshot than the one up to ", view.snapshot_end, " for ",
         (view.now - seen.since) / std::chrono::minutes(1), " minutes");
}

void SoakChecker::OnProcess(MonotonicTime now, size_t allocated_bytes, size_t waiting) {
  if (waiting > limits_.waiting_max) verdict_.Fail("M1: ", waiting, " events are waited for");
  if (now - MonotonicTime() < limits_.warm_up) {
    allocated_at_first_ = std::max(allocated_at_first_, allocated_bytes);
    return;
  }
  if (allocated_bytes > allocated_at_first_ + limits_.memory_slack_bytes)
    verdict_.Fail("M1: ", allocated_bytes, " bytes are allocated, and there were ",
                  allocated_at_first_, " after ", limits_.warm_up / std::chrono::minutes(1),
                  " minutes");
}

}  // namespace gregor
