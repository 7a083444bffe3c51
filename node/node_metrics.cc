#include "node/node_metrics.h"

#include <unistd.h>

#include <fstream>

namespace gregor {
namespace {

constexpr auto kGauge = Metrics::Kind::kGauge;
constexpr auto kCounter = Metrics::Kind::kCounter;

constexpr char kOnlineMetric[] = "gregor_log_directory_online";
constexpr char kOnlineHelp[] = "1 while the log directory takes writes.";

// Resident memory of the process, in bytes.
double ResidentBytes() {
  std::ifstream file("/proc/self/statm");
  double pages = 0, resident = 0;
  file >> pages >> resident;
  return resident * static_cast<double>(sysconf(_SC_PAGESIZE));
}

void ExportDirectory(Metrics& metrics, LogDirectory& directory) {
  const Metrics::Labels labels = {{"directory", directory.options().path}};
  metrics.AddCallback(kGauge, kOnlineMetric, kOnlineHelp, labels,
                      [&directory] { return directory.failure().has_value() ? 0 : 1; });
  metrics.AddCallback(kGauge, "gregor_log_directory_free_bytes",
                      "Free space on the log directory's disk.", labels,
                      [&directory] { return static_cast<double>(directory.space().free_bytes); });
  metrics.AddCallback(kGauge, "gregor_log_directory_total_bytes",
                      "Size of the log directory's disk.", labels,
                      [&directory] { return static_cast<double>(directory.space().total_bytes); });
  metrics.AddCallback(kGauge, "gregor_log_directory_reserve_bytes",
                      "Writes are refused while less than this is free.", labels, [&directory] {
                        return static_cast<double>(directory.options().reserve_bytes);
                      });
  const auto compaction = [&](Metrics::Kind kind, const char* name, const char* help, auto value) {
    metrics.AddCallback(kind, name, help, labels, [&directory, value] {
      return static_cast<double>(value(directory.compactor().stats()));
    });
  };
  compaction(kCounter, "gregor_compaction_rounds_total", "Rounds of log compaction that ended.",
             [](const CompactionStats& stats) { return stats.rounds; });
  compaction(kCounter, "gregor_compaction_failures_total",
             "Rounds of log compaction that failed: see the server's log.",
             [](const CompactionStats& stats) { return stats.failures; });
  compaction(kCounter, "gregor_compaction_bytes_total", "Bytes that compaction read and wrote.",
             [](const CompactionStats& stats) { return stats.bytes; });
  compaction(kGauge, "gregor_compaction_waiting_logs", "Logs that wait for their compaction.",
             [](const CompactionStats& stats) { return stats.waiting; });
}

}  // namespace

void CountSyncs(Metrics& metrics, LogDirectory::Options& options) {
  const Metrics::Labels labels = {{"directory", options.path}};
  LatencyHistogram& seconds = metrics.AddLatency(
      "gregor_sync_seconds", "Time that a sync of what had gathered took.", labels);
  Counter& files =
      metrics.AddCounter("gregor_synced_files_total", "Files that were synced.", labels);
  options.on_synced = [&](Duration took, size_t count) {
    seconds.Observe(took);
    files.Add(count);
  };
}

void CountTraffic(Metrics& metrics, Broker::Options& options) {
  Counter& records =
      metrics.AddCounter("gregor_appended_records_total", "Records appended to logs.");
  Counter& bytes =
      metrics.AddCounter("gregor_appended_bytes_total", "Bytes of batches appended to logs.");
  Counter& batches =
      metrics.AddCounter("gregor_appended_batches_total", "Batches appended to logs.");
  Counter& fetched =
      metrics.AddCounter("gregor_fetched_bytes_total", "Bytes of batches read for clients.");
  Counter& fetches = metrics.AddCounter("gregor_fetches_total", "Fetches answered.");
  options.on_appended = [&](size_t size, int64_t count) {
    batches.Add(1);
    records.Add(static_cast<double>(count));
    bytes.Add(static_cast<double>(size));
  };
  options.on_fetched = [&](size_t size) {
    fetches.Add(1);
    fetched.Add(static_cast<double>(size));
  };
}

void ExportNode(Metrics& metrics, const Broker& broker, const Controller& controller,
                const std::vector<std::unique_ptr<LogDirectory>>& directories,
                const std::vector<LogDirs::Failed>& failed_directories) {
  const auto gauge = [&](const char* name, const char* help, std::function<double()> value) {
    metrics.AddCallback(kGauge, name, help, {}, std::move(value));
  };
  gauge("gregor_process_resident_bytes", "Resident memory of the process.", ResidentBytes);
  gauge("gregor_produce_memory_bytes", "Batches between arrival and acknowledgement.",
        [&broker] { return static_cast<double>(broker.produce_memory().used()); });
  gauge("gregor_fetch_memory_bytes", "Answers to fetches that are being sent.",
        [&broker] { return static_cast<double>(broker.fetch_memory().used()); });
  gauge("gregor_producer_state_bytes", "What is remembered of producers and request ids.",
        [&broker] { return static_cast<double>(broker.producer_budget().used_bytes()); });
  metrics.AddCallback(
      kCounter, "gregor_producer_ids_evicted_total",
      "Producers and request ids that were forgotten for lack of room.", {},
      [&broker] { return static_cast<double>(broker.producer_budget().evicted_count()); });
  gauge("gregor_recovery_logs", "Logs that were found at start.",
        [&broker] { return static_cast<double>(broker.recovery().total.load()); });
  gauge("gregor_recovery_logs_done", "... of them, opened.",
        [&broker] { return static_cast<double>(broker.recovery().done.load()); });
  gauge("gregor_recovery_logs_failed", "... of them, refused: see the server's log.",
        [&broker] { return static_cast<double>(broker.recovery().failed.load()); });
  gauge("gregor_topics", "Topics in the cluster's metadata.",
        [&controller] { return static_cast<double>(controller.image()->topics.size()); });
  gauge("gregor_partitions", "Partitions in the cluster's metadata.",
        [&controller] { return static_cast<double>(controller.image()->partition_count); });
  gauge("gregor_metadata_version", "Offset after the last applied metadata record.",
        [&controller] { return static_cast<double>(controller.image()->version.value); });
  gauge("gregor_controller_failed", "1 once the metadata log cannot be written any more.",
        [&controller] { return controller.failure().has_value() ? 1 : 0; });
  gauge("gregor_partitions_offline",
        "Partitions whose log was refused, or whose log directory failed or is missing.",
        [&broker] { return static_cast<double>(broker.CountOffline()); });
  gauge("gregor_stray_folders", "Folders of no topic, set aside in the log directories.",
        [&broker] { return static_cast<double>(broker.stray_folders()); });
  for (const auto& directory : directories) ExportDirectory(metrics, *directory);
  for (const auto& failed : failed_directories) {
    metrics.AddCallback(kGauge, kOnlineMetric, kOnlineHelp, {{"directory", failed.path}},
                        [] { return 0; });
  }
}

}  // namespace gregor
