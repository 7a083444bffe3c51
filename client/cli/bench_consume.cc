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
// How many records a topic is filled with where nothing says how many.
constexpr int64_t kFillRecords = 1'000'000;

struct Read {
  std::atomic<int64_t> records{0};
  std::atomic<int64_t> bytes{0};
  std::mutex mutex;  // guards behind_max
  Duration behind_max{0};
};

// For the readers of one client to share.
std::shared_ptr<Router> ConnectForConsumers(const GlobalOptions& global) {
  return Router::Create(global.server,
                        {.message_bytes_max = ConsumerOptions().message_bytes_max + (64u << 10),
                         .own_connection = true});
}

// Counts the records of `consumed`, looking at each, and gives how many there were.
Result<int64_t> Count(const Consumed& consumed, Read& read, Progress& progress) {
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
  return records;
}

// Reads the partitions (with their ends) until their ends, or until there are enough records; at
// most `rate` a second.
Result<void> ReadShare(const std::shared_ptr<Router>& router, const BenchArguments& arguments,
                       double rate, std::map<int32_t, int64_t> unfinished, Read& read,
                       Progress& progress) {
  ConsumerOptions options;
  options.router = router;
  const auto consumer = Consumer::Create(options);
  for (const auto& [partition, end] : unfinished) {
    consumer->Assign(arguments.topic, PartitionIndex{partition},
                     {StartPosition::Kind::kEarliest, 0});
  }
  Pace pace(rate);
  while (!unfinished.empty() && (arguments.records == 0 || read.records < arguments.records)) {
    ASSIGN_OR_RETURN(const auto consumed, consumer->Poll(kPatience));
    if (!consumed.has_value()) return Error(Reason::kCommitTimedOut, "nothing came for 30 s");
    ASSIGN_OR_RETURN(const int64_t records, Count(*consumed, read, progress));
    pace.WaitAfter(records);
    const auto end = unfinished.find(consumed->partition.value);
    if (end == unfinished.end() || consumed->next_offset.value < end->second) continue;
    consumer->Unassign(arguments.topic, consumed->partition);
    unfinished.erase(end);
  }
  const std::lock_guard lock(read.mutex);
  read.behind_max = std::max(read.behind_max, pace.behind_max());
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

// The connections of a client that measures latency.
struct LatencyClient {
  std::unique_ptr<Producer> producer;
  std::shared_ptr<Router> router;  // of its consumers
};

Result<std::vector<LatencyClient>> ConnectLatencyClients(const GlobalOptions& global,
                                                         const BenchArguments& arguments) {
  ProducerOptions options = arguments.producer.ToOptions(global.server);
  // Whoever waits for a record sends no other one to wait for.
  if (!options.linger.has_value()) options.linger = Duration(0);
  std::vector<LatencyClient> clients(static_cast<size_t>(arguments.clients));
  for (LatencyClient& client : clients) {
    ASSIGN_OR_RETURN(client.producer, Producer::Create(options, nullptr));
    client.router = ConnectForConsumers(global);
  }
  return clients;
}

struct Measured {
  Histogram latencies;
  Duration took{0};  // without what warmed up
  Duration behind_max{0};
};

// One record at a time: written, and awaited by a consumer that follows its partition.
Result<void> MeasureLatency(const LatencyClient& client, const BenchArguments& arguments,
                            int32_t thread, PartitionIndex partition, Measured& measured,
                            Progress& progress) {
  const int32_t threads = arguments.clients * arguments.concurrency;
  const int64_t records = ShareOf(arguments.records, threads, thread);
  ASSIGN_OR_RETURN(const auto ends, Admin(client.router)
                                        .FindOffsets(arguments.topic, {partition.value},
                                                     AtAnchor(v1::Position::ANCHOR_LATEST)));
  ConsumerOptions consumer_options;
  consumer_options.router = client.router;
  const auto consumer = Consumer::Create(consumer_options);
  consumer->Assign(arguments.topic, partition, {StartPosition::Kind::kOffset, ends[0]});
  const std::string value = RandomText(static_cast<size_t>(arguments.record_size));
  const int64_t warm_up = std::min<int64_t>(100, records);
  Pace pace(static_cast<double>(arguments.rate) / threads);
  MonotonicTime start = SystemClock().Now();
  for (int64_t i = -warm_up; i < records; ++i) {
    if (i == 0) start = SystemClock().Now();
    const std::string key = std::to_string(thread) + ":" + std::to_string(i);
    NewRecord record;
    record.key = key;
    record.value = value;
    record.timestamp = SystemClock().WallNow();
    const MonotonicTime sent = pace.Wait();
    RETURN_IF_ERROR(client.producer->Send(arguments.topic, partition, record));
    RETURN_IF_ERROR(AwaitRecord(*consumer, key));
    if (i < 0) continue;
    measured.latencies.Add(SystemClock().Now() - sent);
    progress.Add(1);
  }
  measured.behind_max = pace.behind_max();
  measured.took = SystemClock().Now() - start;
  return {};
}

// What there is to read: the partitions that are not empty, with their ends.
struct Readable {
  std::map<int32_t, int64_t> ends;
  int64_t records = 0;
};

Result<Readable> FindReadable(const Admin& admin, const std::string& topic) {
  ASSIGN_OR_RETURN(const auto partitions, AllPartitions(admin, topic));
  ASSIGN_OR_RETURN(const auto ends,
                   admin.FindOffsets(topic, partitions, AtAnchor(v1::Position::ANCHOR_LATEST)));
  ASSIGN_OR_RETURN(const auto starts,
                   admin.FindOffsets(topic, partitions, AtAnchor(v1::Position::ANCHOR_EARLIEST)));
  Readable readable;
  for (size_t i = 0; i < partitions.size(); ++i) {
    if (starts[i] == ends[i]) continue;
    readable.ends[partitions[i]] = ends[i];
    readable.records += ends[i] - starts[i];
  }
  return readable;
}

}  // namespace

Result<void> BenchConsume(GlobalOptions& global, const BenchArguments& arguments) {
  const Admin admin(global.server);
  ASSIGN_OR_RETURN(Readable readable, FindReadable(admin, arguments.topic));
  if (arguments.extra_record_size.has_value()) {
    const int64_t wanted = arguments.records > 0 ? arguments.records : kFillRecords;
    if (readable.records < wanted) {
      RETURN_IF_ERROR(FillTopic(global, arguments, wanted - readable.records));
      ASSIGN_OR_RETURN(readable, FindReadable(admin, arguments.topic));
    }
  }
  if (arguments.records > 0) readable.records = std::min(readable.records, arguments.records);
  // Readers without a share have nothing to do.
  const auto readers = static_cast<int32_t>(std::min(
      readable.ends.size(), static_cast<size_t>(arguments.clients * arguments.concurrency)));
  std::vector<std::map<int32_t, int64_t>> shares(static_cast<size_t>(readers));
  size_t next = 0;
  for (const auto& [partition, end] : readable.ends)
    shares[next++ % shares.size()][partition] = end;
  std::vector<std::shared_ptr<Router>> routers;
  for (int32_t i = 0; i < arguments.clients; ++i) routers.push_back(ConnectForConsumers(global));
  Read read;
  Progress progress(arguments, "records", readable.records);
  const Duration cpu = CpuTime();
  const MonotonicTime start = SystemClock().Now();
  if (readers > 0) {
    RETURN_IF_ERROR(RunThreads(readers, [&](int32_t reader) {
      return ReadShare(routers[static_cast<size_t>(reader % arguments.clients)], arguments,
                       static_cast<double>(arguments.rate) / readers,
                       shares[static_cast<size_t>(reader)], read, progress);
    }));
  }
  Report(arguments,
         {.bench = "consume",
          .unit = "records",
          .count = read.records,
          .bytes = read.bytes,
          .took = SystemClock().Now() - start,
          .behind_max = read.behind_max},
         cpu);
  return {};
}

Result<void> BenchLatency(GlobalOptions& global, const BenchArguments& arguments) {
  const Admin admin(global.server);
  ASSIGN_OR_RETURN(const auto partitions, AllPartitions(admin, arguments.topic));
  ASSIGN_OR_RETURN(const auto clients, ConnectLatencyClients(global, arguments));
  const int32_t threads = arguments.clients * arguments.concurrency;
  Progress progress(arguments, "records", arguments.records);
  std::vector<Measured> measured(static_cast<size_t>(threads));
  const Duration cpu = CpuTime();
  RETURN_IF_ERROR(RunThreads(threads, [&](int32_t thread) {
    const auto index = static_cast<size_t>(thread);
    return MeasureLatency(clients[index % clients.size()], arguments, thread,
                          PartitionIndex{partitions[index % partitions.size()]}, measured[index],
                          progress);
  }));
  BenchResult result{.bench = "latency", .unit = "records"};
  for (const Measured& part : measured) {
    result.took = std::max(result.took, part.took);
    result.latencies.Add(part.latencies);
    result.behind_max = std::max(result.behind_max, part.behind_max);
  }
  result.count = result.latencies.count();
  result.bytes = result.count * arguments.record_size;
  Report(arguments, result, cpu);
  return {};
}

}  // namespace gregor
