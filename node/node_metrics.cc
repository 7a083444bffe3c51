#include "node/node_metrics.h"

#include <string>
#include <utility>

#include "broker/partition_counter.h"
#include "node/loop_probe.h"

namespace gregor {
namespace {

constexpr auto kGauge = Metrics::Kind::kGauge;
constexpr auto kCounter = Metrics::Kind::kCounter;

constexpr char kOnlineMetric[] = "gregor_log_directory_online";
constexpr char kOnlineHelp[] = "1 while the log directory takes writes.";

double Seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

// Every reason from the start, so that the first error is a rise.
void ExportErrors(Metrics& metrics, const char* name, const char* help, const ErrorCounts& counts) {
  for (const ReasonSpec& spec : AllReasons()) {
    metrics.AddCallback(
        kCounter, name, help, {{"reason", std::string(spec.name)}},
        [&counts, reason = spec.reason] { return static_cast<double>(counts.Of(reason)); });
  }
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

void CountStorage(Metrics& metrics, LogDirectory::Options& options) {
  const Metrics::Labels labels = {{"directory", options.path}};
  LatencyHistogram& seconds = metrics.AddLatency(
      "gregor_sync_seconds", "Time that a sync of what had gathered took.", labels);
  Counter& files =
      metrics.AddCounter("gregor_synced_files_total", "Files that were synced.", labels);
  options.on_synced = [&](Duration took, size_t count) {
    seconds.Observe(took);
    files.Add(count);
  };
  Counter& torn_logs = metrics.AddCounter("gregor_torn_logs_total",
                                          "Logs that ended in an unfinished write.", labels);
  Counter& torn_bytes =
      metrics.AddCounter("gregor_torn_bytes_total", "Bytes of them that were cut off.", labels);
  options.on_torn = [&](uint64_t size) {
    torn_logs.Add();
    torn_bytes.Add(size);
  };
  Counter& segments =
      metrics.AddCounter("gregor_deleted_segments_total",
                         "Segments deleted by retention, or with deleted records.", labels);
  Counter& segment_bytes =
      metrics.AddCounter("gregor_deleted_segment_bytes_total", "Bytes that they had.", labels);
  options.on_segments_deleted = [&](size_t count, uint64_t size) {
    segments.Add(count);
    segment_bytes.Add(size);
  };
}

std::unique_ptr<EventLoop> NewMeasuredLoop(Metrics& metrics, const std::string& name) {
  const Metrics::Labels labels = {{"loop", name}};
  LoopTimes times;
  times.waits =
      &metrics.AddLatency("gregor_event_loop_wait_seconds",
                          "What tasks waited for their turn, and timers after their time.", labels);
  times.tasks =
      &metrics.AddLatency("gregor_event_loop_task_seconds", "Time that a task took.", labels);
  auto loop = NewThreadLoop(name, times);
  metrics.AddCallback(
      kGauge, "gregor_event_loop_delay_seconds",
      "What a task waited for its turn at the last look, or waits by now.", labels,
      [probe = std::make_shared<LoopProbe>(*loop)] { return Seconds(probe->Measure()); });
  return loop;
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

void ExportTopics(Metrics& metrics, const TopicTraffic& traffic) {
  const auto counter = [&](const char* name, const char* help, Counter TopicCounts::*count) {
    metrics.AddCollector(kCounter, name, help, [&traffic, count] {
      std::vector<Metrics::Sample> samples;
      for (const auto& [topic, counts] : traffic.All()) {
        samples.push_back({{{"topic", topic}}, static_cast<double>(((*counts).*count).value())});
      }
      return samples;
    });
  };
  counter("gregor_topic_writes_total", "Batches for partitions of the topic, refused ones too.",
          &TopicCounts::writes);
  counter("gregor_topic_appended_records_total", "Records appended to the topic.",
          &TopicCounts::records_in);
  counter("gregor_topic_appended_bytes_total", "Bytes of batches appended to the topic.",
          &TopicCounts::bytes_in);
  counter("gregor_topic_reads_total", "Reads of partitions of the topic, refused ones too.",
          &TopicCounts::reads);
  counter("gregor_topic_fetched_records_total", "Records of the batches read for clients.",
          &TopicCounts::records_out);
  counter("gregor_topic_fetched_bytes_total", "Bytes of batches read for clients.",
          &TopicCounts::bytes_out);
}

void ExportBrokers(Metrics& metrics, const BrokerApi& broker, const ControllerSession* session) {
  const auto gauge = [&](const char* name, const char* help, auto value) {
    metrics.AddCallback(kGauge, name, help, {}, [&broker, value] {
      const ImagePtr image = broker.image();
      return image == nullptr ? 0 : static_cast<double>(value(image));
    });
  };
  const auto sum = [&gauge, counter = std::make_shared<PartitionCounter>(broker)](
                       const char* name, const char* help, int64_t PartitionCounts::*count) {
    gauge(name, help,
          [counter, count](const ImagePtr& image) { return (*counter->Of(image)).*count; });
  };
  gauge("gregor_brokers_registered", "Brokers in the cluster's metadata.",
        [](const ImagePtr& image) { return image->brokers.size(); });
  gauge("gregor_brokers_fenced", "... of them, fenced: they lead nothing.",
        [](const ImagePtr& image) {
          int64_t count = 0;
          image->brokers.VisitAll([&](NodeId, const auto& each) { count += each->fenced; });
          return count;
        });
  sum("gregor_partitions_without_leader", "Partitions of the cluster that nobody serves.",
      &PartitionCounts::without_leader);
  sum("gregor_partitions_under_min_isr",
      "Partitions of the cluster with fewer in-sync replicas than min.insync.replicas.",
      &PartitionCounts::under_min_isr);
  sum("gregor_partitions_under_replicated",
      "Partitions of the cluster of which not all replicas are in sync.",
      &PartitionCounts::under_replicated);
  if (session == nullptr) return;
  metrics.AddCallback(kGauge, "gregor_broker_fenced",
                      "1 while the active controller has this broker fenced.", {},
                      [session] { return session->fenced() ? 1 : 0; });
}

void ExportNode(Metrics& metrics, const Broker& broker, const Controller& controller,
                const std::vector<std::unique_ptr<LogDirectory>>& directories,
                const std::vector<LogDirs::Failed>& failed_directories) {
  const auto gauge = [&](const char* name, const char* help, std::function<double()> value) {
    metrics.AddCallback(kGauge, name, help, {}, std::move(value));
  };
  ExportErrors(metrics, "gregor_produce_errors_total",
               "Writes that were refused or failed, also without acks.", broker.produce_errors());
  ExportErrors(metrics, "gregor_fetch_errors_total", "Reads that were refused or failed.",
               broker.fetch_errors());
  if (broker.traffic() != nullptr) ExportTopics(metrics, *broker.traffic());
  gauge("gregor_waiting_fetches", "Fetches that wait for bytes, or for memory.",
        [&broker] { return static_cast<double>(broker.waiting_fetches()); });
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
