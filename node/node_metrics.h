#ifndef GREGOR_NODE_NODE_METRICS_H_
#define GREGOR_NODE_NODE_METRICS_H_

#include <memory>
#include <string>
#include <vector>

#include "base/metrics.h"
#include "broker/broker.h"
#include "broker/controller_session.h"
#include "controller/controller.h"

namespace gregor {

// What a node shows of itself; docs/operations.md lists it. Thread: main, at start.

// Sets the broker's callbacks so that records and bytes in and out are counted.
void CountTraffic(Metrics& metrics, Broker::Options& options);
// Sets the directory's callbacks so that syncs, torn logs and deleted segments are counted.
// REQUIRES: `metrics` outlives it.
void CountStorage(Metrics& metrics, LogDirectory::Options& options);
// A loop whose times are shown. REQUIRES: it outlives whoever renders the metrics, which outlive
// it.
std::unique_ptr<EventLoop> NewMeasuredLoop(Metrics& metrics, const std::string& name);
// What came in and went out by topic, where the broker counts that. REQUIRES: it outlives whoever
// renders the metrics.
void ExportTopics(Metrics& metrics, const TopicTraffic& traffic);
// Brokers and partitions as the metadata have them, and this broker as the active controller has
// it; `session`: nullptr where the node is none. REQUIRES: both outlive whoever renders the
// metrics.
void ExportBrokers(Metrics& metrics, const BrokerApi& broker, const ControllerSession* session);
// Errors, memory, recovery, metadata and disks. REQUIRES: all of them outlive whoever renders the
// metrics.
void ExportNode(Metrics& metrics, const Broker& broker, const Controller& controller,
                const std::vector<std::unique_ptr<LogDirectory>>& directories,
                const std::vector<LogDirs::Failed>& failed_directories);

}  // namespace gregor

#endif  // GREGOR_NODE_NODE_METRICS_H_
