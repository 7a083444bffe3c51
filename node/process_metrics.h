#ifndef GREGOR_NODE_PROCESS_METRICS_H_
#define GREGOR_NODE_PROCESS_METRICS_H_

#include "base/metrics.h"

namespace gregor {

// What the system knows of this process, under the names that Prometheus' own clients give it
// (process_cpu_seconds_total, process_resident_memory_bytes, ...), and gregor_build_info. Read
// whenever somebody asks. Thread: main, at start.
void ExportProcess(Metrics& metrics);

}  // namespace gregor

#endif  // GREGOR_NODE_PROCESS_METRICS_H_
