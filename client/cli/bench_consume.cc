#include <algorithm>
#include <map>
#include <numeric>

#include "client/admin.h"
#include "client/cli/bench.h"
#include "client/consumer.h"
#include "client/producer.h"
#include "client/record_cursor.h"

namespace gregor {
namespace {

constexpr Duration kPatience = std::chrono::seconds(30);

struct Read {
  std::atomic<int64_t> records{0};
  std::atomic<int64_t> bytes{0};
};

// Counts the records of `consumed`, looking at each.
Result<void> Count(const Consumed& consumed, Read& read, Progress& progress) {
  RecordCursor cursor(consumed);
  int64_t records = 0, bytes = 0;
  while (true) {
    ASSIGN_OR_RETURN(const auto record, cursor.Next());
    if (!record.has_value()) break;
    ++records;
    bytes +=
        static_cast<int64_t>(record->key.value_or("").size() + record->value.value_or("").size());
  }
  read.records += records;
  read.bytes += bytes;
  progress.Add(records);
  return {};
}

// Reads the partitions (with their ends) until their ends, or until there are enough records.
Result<void> ReadShare(const GlobalOptions& global, const BenchArguments& arguments,
                       std::map<int32_t, int64_t> unfinished, Read& read, Progress& progress) {
  ConsumerOptions options;
  options.server = global.server;
  const auto consumer = Consumer::Create(options);
  for (const auto& [partition, end] : unfinished) {
    consumer->Assign(arguments.topic, PartitionIndex{partition},
                     {StartPosition::Kind::kEarliest, 0});
  }
  while (!unfinished.empty() && (arguments.records == 0 || read.records < arguments.records)) {
    ASSIGN_OR_RETURN(const auto consumed, consumer->Poll(kPatience));
    if (!consumed.has_value()) return Error(Reason::kCommitTimedOut, "nothing came for 30 s");
    RETURN_IF_ERROR(Count(*consumed, read, progress));
    const auto end = unfinished.find(consumed->partition.value);
    if (end == unfinished.end() || consumed->next_offset.value < end->second) continue;
    consumer->Unassign(arguments.topic, consumed->partition);
    unfinished.erase(end);
  }
  return {};
}

Result<std::vector<int32_t>> AllPartitions(const Admin& admin, const std::string& topic) {
  ASSIGN_OR_RETURN(const int32_t count, admin.PartitionCount(topic));
  std::vector<int32_t> partitions(static_cast<size_t>(count));
  std::iota(partitions.begin(), partitions.end(), 0);
  return partitions;
}

// Waits until the consumer has the record with `key`.
Result<void> AwaitRecord(Consumer& consumer, std::string_view key) {
  while (true) {
    ASSIGN_OR_RETURN(const auto consumed, consumer.Poll(kPatience));
    if (!consumed.has_value())
      return Error(Reason::kCommitTimedOut, "the record did not come within 30 s");
    RecordCursor cursor(*consumed);
    while (true) {
      ASSIGN_OR_RETURN(const auto record, cursor.Next());
      if (!record.has_value()) break;
      if (record->key == key) return {};
    }
  }
}

// One record at a time: written, and awaited by a consumer that follows its partition.
Result<void> MeasureLatency(const GlobalOptions& global, const BenchArguments& arguments,
                            int32_t thread, PartitionIndex partition, Histogram& latencies,
                            Progress& progress) {
  const int64_t records = ShareOf(arguments.records, arguments.concurrency, thread);
  const Admin admin(Channel::Connect(global.server));
  ASSIGN_OR_RETURN(const auto ends, admin.FindOffsets(arguments.topic, {partition.value},
                                                      AtAnchor(v1::Position::ANCHOR_LATEST)));
  ConsumerOptions consumer_options;
  consumer_options.server = global.server;
  const auto consumer = Consumer::Create(consumer_options);
  consumer->Assign(arguments.topic, partition, {StartPosition::Kind::kOffset, ends[0]});
  ASSIGN_OR_RETURN(const auto producer,
                   Producer::Create(arguments.producer.ToOptions(global.server), nullptr));
  const std::string value = RandomText(static_cast<size_t>(arguments.record_size));
  const int64_t warm_up = std::min<int64_t>(100, records);
  Pace pace(static_cast<double>(arguments.rate) / arguments.concurrency);
  for (int64_t i = -warm_up; i < records; ++i) {
    const std::string key = std::to_string(thread) + ":" + std::to_string(i);
    NewRecord record;
    record.key = key;
    record.value = value;
    record.timestamp = SystemClock().WallNow();
    const MonotonicTime sent = pace.Wait();
    RETURN_IF_ERROR(producer->Send(arguments.topic, partition, record));
    RETURN_IF_ERROR(AwaitRecord(*consumer, key));
    if (i < 0) continue;
    latencies.Add(SystemClock().Now() - sent);
    progress.Add(1);
  }
  return {};
}

}  // namespace

Result<void> BenchConsume(GlobalOptions& global, const BenchArguments& arguments) {
  const Admin admin(Channel::Connect(global.server));
  ASSIGN_OR_RETURN(const auto partitions, AllPartitions(admin, arguments.topic));
  ASSIGN_OR_RETURN(const auto ends, admin.FindOffsets(arguments.topic, partitions,
                                                      AtAnchor(v1::Position::ANCHOR_LATEST)));
  ASSIGN_OR_RETURN(const auto starts, admin.FindOffsets(arguments.topic, partitions,
                                                        AtAnchor(v1::Position::ANCHOR_EARLIEST)));
  std::vector<std::map<int32_t, int64_t>> shares(static_cast<size_t>(arguments.clients));
  int64_t total = 0;
  size_t next = 0;
  for (size_t i = 0; i < partitions.size(); ++i) {
    if (starts[i] == ends[i]) continue;
    shares[next++ % shares.size()][partitions[i]] = ends[i];
    total += ends[i] - starts[i];
  }
  if (arguments.records > 0) total = std::min(total, arguments.records);
  Read read;
  Progress progress(arguments, "records", total);
  const Duration cpu = CpuTime();
  const MonotonicTime start = SystemClock().Now();
  RETURN_IF_ERROR(RunThreads(arguments.clients, [&](int32_t thread) {
    return ReadShare(global, arguments, shares[static_cast<size_t>(thread)], read, progress);
  }));
  Report(arguments,
         {.bench = "consume",
          .unit = "records",
          .count = read.records,
          .bytes = read.bytes,
          .took = SystemClock().Now() - start},
         cpu);
  return {};
}

Result<void> BenchLatency(GlobalOptions& global, const BenchArguments& arguments) {
  const Admin admin(Channel::Connect(global.server));
  ASSIGN_OR_RETURN(const auto partitions, AllPartitions(admin, arguments.topic));
  Progress progress(arguments, "records", arguments.records);
  std::vector<Histogram> histograms(static_cast<size_t>(arguments.concurrency));
  const Duration cpu = CpuTime();
  const MonotonicTime start = SystemClock().Now();
  RETURN_IF_ERROR(RunThreads(arguments.concurrency, [&](int32_t thread) {
    const auto index = static_cast<size_t>(thread);
    return MeasureLatency(global, arguments, thread,
                          PartitionIndex{partitions[index % partitions.size()]}, histograms[index],
                          progress);
  }));
  BenchResult result{.bench = "latency", .unit = "records", .took = SystemClock().Now() - start};
  for (const Histogram& histogram : histograms) result.latencies.Add(histogram);
  result.count = result.latencies.count();
  result.bytes = result.count * arguments.record_size;
  Report(arguments, result, cpu);
  return {};
}

}  // namespace gregor
