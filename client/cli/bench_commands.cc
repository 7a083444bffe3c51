#include <atomic>
#include <condition_variable>
#include <iomanip>
#include <iostream>
#include <memory>
#include <mutex>
#include <sstream>
#include <thread>

#include "base/random.h"
#include "client/cli/admin.h"
#include "client/cli/histogram.h"
#include "client/cli/output.h"
#include "client/producer.h"
#include "gregor/v1/topic.pb.h"

namespace gregor {
namespace {

struct BenchArguments {
  std::string topic = "bench";
  int64_t record_size = 1024;
  int64_t records = 1000000;
  int64_t rate = 0;
  int32_t clients = 1;
  int32_t concurrency = 1;
  int64_t batch_bytes = 512 << 10;
  int64_t linger_ms = 5;
  std::string acks = "all";
  std::string compression = "none";
  bool as_json = false;
};

double Seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }
double Milliseconds(Duration duration) { return 1000 * Seconds(duration); }

Json Latencies(const Histogram& histogram) {
  const auto round = [](Duration duration) {
    return static_cast<double>(static_cast<int64_t>(Milliseconds(duration) * 1000)) / 1000;
  };
  return {{"p50", round(histogram.Quantile(0.5))},
          {"p90", round(histogram.Quantile(0.9))},
          {"p99", round(histogram.Quantile(0.99))},
          {"p999", round(histogram.Quantile(0.999))},
          {"max", round(histogram.max())}};
}

// The sum as one JSON document, or for people.
void Report(const BenchArguments& arguments, const char* what, int64_t count, int64_t bytes,
            Duration took, const Histogram& latencies) {
  const double seconds = std::max(1e-9, Seconds(took));
  Json json = {{"bench", what},
               {"records", count},
               {"bytes", bytes},
               {"seconds", seconds},
               {"records_per_second", static_cast<double>(count) / seconds},
               {"bytes_per_second", static_cast<double>(bytes) / seconds}};
  if (latencies.count() > 0) json["latency_ms"] = Latencies(latencies);
  if (arguments.as_json) {
    std::cout << json.dump() << std::endl;
    return;
  }
  std::cout << std::fixed << std::setprecision(1) << count << " in " << std::setprecision(2)
            << seconds << " s: " << std::setprecision(0) << json["records_per_second"].get<double>()
            << " /s";
  if (bytes > 0)
    std::cout << ", " << std::setprecision(1) << json["bytes_per_second"].get<double>() / 1e6
              << " MB/s";
  std::cout << "\n";
  if (latencies.count() == 0) return;
  std::cout << "latency";
  for (const auto& [name, value] : json["latency_ms"].items())
    std::cout << "  " << name << " " << std::setprecision(3) << value.get<double>() << " ms";
  std::cout << "\n";
}

// A line a second on stderr, for people.
class Progress {
 public:
  explicit Progress(const BenchArguments& arguments)
      : silent_(arguments.as_json), last_(SystemClock().Now()) {}
  void Show(int64_t done, int64_t total) {
    const MonotonicTime now = SystemClock().Now();
    if (silent_ || now - last_ < std::chrono::seconds(1)) return;
    std::cerr << "\r" << done << " of " << total << ", "
              << static_cast<int64_t>(static_cast<double>(done - last_done_) / Seconds(now - last_))
              << " /s   " << std::flush;
    last_ = now;
    last_done_ = done;
    shown_ = true;
  }
  ~Progress() {
    if (shown_) std::cerr << "\n";
  }

 private:
  const bool silent_;
  MonotonicTime last_;
  int64_t last_done_ = 0;
  bool shown_ = false;
};

// Waits so that record number `index` is not earlier than the rate says.
void Pace(int64_t rate, MonotonicTime start, int64_t index) {
  if (rate <= 0) return;
  const Duration due(
      static_cast<int64_t>(1e9 * static_cast<double>(index) / static_cast<double>(rate)));
  const Duration early = start + due - SystemClock().Now();
  if (early <= std::chrono::microseconds(100)) return;
  std::mutex mutex;
  std::unique_lock lock(mutex);
  std::condition_variable never;
  never.wait_for(lock, early);
}

ProducerOptions OptionsOf(const GlobalOptions& global, const BenchArguments& arguments) {
  ProducerOptions options;
  options.server = global.server;
  options.batch_bytes = static_cast<size_t>(arguments.batch_bytes);
  options.linger = std::chrono::milliseconds(arguments.linger_ms);
  options.acks = arguments.acks == "all"      ? ClientAcks::kAll
                 : arguments.acks == "leader" ? ClientAcks::kLeader
                                              : ClientAcks::kNone;
  for (const Codec codec :
       {Codec::kNone, Codec::kGzip, Codec::kSnappy, Codec::kLz4, Codec::kZstd}) {
    if (CodecName(codec) == arguments.compression) options.compression = codec;
  }
  return options;
}

std::string RandomText(size_t size) {
  Random random(size);
  std::string text(size, '\0');
  for (char& c : text) c = static_cast<char>('a' + random.Below(26));
  return text;
}

struct ProduceTotals {
  std::mutex mutex;
  Histogram latencies;
  std::atomic<int64_t> delivered{0};
};

Result<void> ProduceShare(const GlobalOptions& global, const BenchArguments& arguments,
                          int64_t records, ProduceTotals& totals) {
  ASSIGN_OR_RETURN(const auto producer,
                   Producer::Create(OptionsOf(global, arguments), [&](const Delivery& delivery) {
                     if (delivery.error != nullptr) return;
                     totals.delivered += delivery.record_count;
                     const std::lock_guard lock(totals.mutex);
                     totals.latencies.Add(SystemClock().Now() - delivery.first_sent_by_caller,
                                          delivery.record_count);
                   }));
  const std::string value = RandomText(static_cast<size_t>(arguments.record_size));
  const Timestamp now = SystemClock().WallNow();
  const MonotonicTime start = SystemClock().Now();
  Progress progress(arguments);
  NewRecord record;
  record.value = value;
  record.timestamp = now;
  for (int64_t i = 0; i < records; ++i) {
    if (arguments.rate > 0) {
      Pace(arguments.rate / arguments.clients, start, i);
      record.timestamp = SystemClock().WallNow();
    }
    RETURN_IF_ERROR(producer->Send(arguments.topic, std::nullopt, record));
    if ((i & 0xffff) == 0) progress.Show(totals.delivered.load(), arguments.records);
  }
  producer->Flush();
  if (const auto failed = producer->first_error(); failed.has_value()) return *failed;
  return {};
}

Result<void> BenchProduce(GlobalOptions& global, const BenchArguments& arguments) {
  ProduceTotals totals;
  std::vector<std::thread> threads;
  std::vector<Result<void>> results(static_cast<size_t>(arguments.clients));
  const MonotonicTime start = SystemClock().Now();
  for (int32_t client = 0; client < arguments.clients; ++client) {
    threads.emplace_back([&, client] {
      results[static_cast<size_t>(client)] =
          ProduceShare(global, arguments, arguments.records / arguments.clients, totals);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const auto& result : results) RETURN_IF_ERROR(result);
  const int64_t delivered = totals.delivered.load();
  Report(arguments, "produce", delivered, delivered * arguments.record_size,
         SystemClock().Now() - start, totals.latencies);
  return {};
}

Result<void> BenchConsume(GlobalOptions& global, const BenchArguments& arguments) {
  const auto channel = Channel::Connect(global.server);
  ASSIGN_OR_RETURN(const auto partitions, PartitionsOf(*channel, arguments.topic, -1));
  ASSIGN_OR_RETURN(const auto ends,
                   FindOffsets(*channel, arguments.topic, partitions, LatestPosition()));
  ConsumerOptions options;
  options.server = global.server;
  const auto consumer = Consumer::Create(options);
  int64_t unfinished = 0;
  for (size_t i = 0; i < partitions.size(); ++i) {
    if (ends[i] == 0) continue;
    consumer->Assign(arguments.topic, PartitionIndex{partitions[i]},
                     {StartPosition::Kind::kEarliest, 0});
    ++unfinished;
  }
  const MonotonicTime start = SystemClock().Now();
  Progress progress(arguments);
  int64_t records = 0, bytes = 0;
  while (unfinished > 0 && records < arguments.records) {
    ASSIGN_OR_RETURN(const auto consumed, consumer->Poll(std::chrono::seconds(10)));
    if (!consumed.has_value()) return Error(Reason::kCommitTimedOut, "nothing came for 10 s");
    for (const RecordBatch& batch : consumed->batches) {
      bytes += static_cast<int64_t>(batch.bytes.size());
      ASSIGN_OR_RETURN(RecordReader reader, RecordReader::Open(batch, 1u << 30));
      while (true) {
        ASSIGN_OR_RETURN(const auto record, reader.Next());
        if (!record.has_value()) break;
        ++records;
      }
    }
    progress.Show(records, arguments.records);
    const auto end = ends[static_cast<size_t>(consumed->partition.value)];
    if (consumed->next_offset.value < end) continue;
    consumer->Unassign(arguments.topic, consumed->partition);
    --unfinished;
  }
  Report(arguments, "consume", records, bytes, SystemClock().Now() - start, Histogram());
  return {};
}

// One record at a time: written, and read by a consumer that follows the partition.
Result<void> BenchLatency(GlobalOptions& global, const BenchArguments& arguments) {
  const auto channel = Channel::Connect(global.server);
  ASSIGN_OR_RETURN(const auto ends, FindOffsets(*channel, arguments.topic, {0}, LatestPosition()));
  ConsumerOptions consumer_options;
  consumer_options.server = global.server;
  const auto consumer = Consumer::Create(consumer_options);
  consumer->Assign(arguments.topic, PartitionIndex{0}, {StartPosition::Kind::kOffset, ends[0]});
  ProducerOptions producer_options = OptionsOf(global, arguments);
  producer_options.linger = Duration(0);
  ASSIGN_OR_RETURN(const auto producer, Producer::Create(producer_options, nullptr));
  const std::string value = RandomText(static_cast<size_t>(arguments.record_size));
  Histogram latencies;
  const int64_t warm_up = std::min<int64_t>(100, arguments.records);
  MonotonicTime start = SystemClock().Now();
  Progress progress(arguments);
  for (int64_t i = 0; i < arguments.records + warm_up; ++i) {
    if (i == warm_up) start = SystemClock().Now();
    Pace(arguments.rate, start, i - warm_up);
    NewRecord record;
    record.value = value;
    record.timestamp = SystemClock().WallNow();
    const MonotonicTime sent = SystemClock().Now();
    RETURN_IF_ERROR(producer->Send(arguments.topic, PartitionIndex{0}, record));
    for (bool came = false; !came;) {
      ASSIGN_OR_RETURN(const auto consumed, consumer->Poll(std::chrono::seconds(10)));
      if (!consumed.has_value())
        return Error(Reason::kCommitTimedOut, "the record did not come within 10 s");
      came = !consumed->batches.empty();
    }
    if (i >= warm_up) latencies.Add(SystemClock().Now() - sent);
    progress.Show(i, arguments.records);
  }
  Report(arguments, "latency", arguments.records, arguments.records * arguments.record_size,
         SystemClock().Now() - start, latencies);
  return {};
}

// Creates and deletes topics of one partition.
Result<void> BenchAdmin(GlobalOptions& global, const BenchArguments& arguments) {
  std::atomic<int64_t> next{0};
  std::mutex mutex;
  Histogram latencies;
  std::optional<Error> failed;
  const auto work = [&] {
    const auto channel = Channel::Connect(global.server);
    for (int64_t i; (i = next.fetch_add(1)) < arguments.records;) {
      const MonotonicTime sent = SystemClock().Now();
      v1::CreateTopicRequest create;
      create.set_topic(arguments.topic + "-admin-" + std::to_string(i));
      create.set_partitions(1);
      const auto created =
          channel->Call<v1::CreateTopicResponse>("/gregor.v1.TopicService/CreateTopic", create);
      v1::DeleteTopicRequest remove;
      remove.set_topic(create.topic());
      const auto removed =
          channel->Call<v1::DeleteTopicResponse>("/gregor.v1.TopicService/DeleteTopic", remove);
      const std::lock_guard lock(mutex);
      latencies.Add((SystemClock().Now() - sent) / 2, 2);
      if (!created.ok()) failed = created.error();
      if (!removed.ok()) failed = removed.error();
    }
  };
  const MonotonicTime start = SystemClock().Now();
  std::vector<std::thread> threads;
  for (int32_t i = 0; i < arguments.concurrency; ++i) threads.emplace_back(work);
  for (std::thread& thread : threads) thread.join();
  if (failed.has_value()) return *failed;
  Report(arguments, "admin", 2 * arguments.records, 0, SystemClock().Now() - start, latencies);
  return {};
}

}  // namespace

void AddBenchCommands(CLI::App& app, GlobalOptions& global) {
  CLI::App* const bench = app.add_subcommand("bench", "Measure throughput and latency of a server");
  bench->require_subcommand(1);
  const auto add = [&](const char* name, const char* help, int64_t records,
                       Result<void> (*run)(GlobalOptions&, const BenchArguments&)) {
    const auto arguments = std::make_shared<BenchArguments>();
    arguments->records = records;
    CLI::App* const command = bench->add_subcommand(name, help);
    command
        ->add_option("--topic", arguments->topic,
                     "Topic, which must exist (admin: prefix of the topics)")
        ->capture_default_str();
    command->add_option("--records", arguments->records, "How many (admin: topics)")
        ->capture_default_str()
        ->check(CLI::PositiveNumber);
    command->add_option("--record-size", arguments->record_size, "Bytes of a record's value")
        ->capture_default_str()
        ->check(CLI::NonNegativeNumber);
    command
        ->add_option("--rate", arguments->rate,
                     "Records a second, of all clients together; 0: as fast as it goes")
        ->capture_default_str();
    command
        ->add_option("--clients", arguments->clients,
                     "Producers, each with a connection of its own")
        ->capture_default_str()
        ->check(CLI::Range(1, 256));
    command->add_option("--concurrency", arguments->concurrency, "Admin calls at a time")
        ->capture_default_str()
        ->check(CLI::Range(1, 1024));
    command->add_option("--batch-bytes", arguments->batch_bytes, "Size of a batch")
        ->capture_default_str();
    command->add_option("--linger-ms", arguments->linger_ms, "How long a batch waits to be filled")
        ->capture_default_str();
    command->add_option("--acks", arguments->acks, "When a record counts as written")
        ->check(CLI::IsMember({"all", "leader", "none"}))
        ->capture_default_str();
    command->add_option("--compression", arguments->compression, "Compression of the batches")
        ->check(CLI::IsMember({"none", "gzip", "snappy", "lz4", "zstd"}))
        ->capture_default_str();
    command->add_flag("--json", arguments->as_json, "One JSON document on stdout, nothing else");
    OnCommand(*command, global, [&global, arguments, run] {
      arguments->as_json = arguments->as_json || global.output == "json";
      return run(global, *arguments);
    });
  };
  add("produce", "Write records as fast as it goes, or at a rate", 1000000, BenchProduce);
  add("consume", "Read a topic from its beginning", INT64_MAX, BenchConsume);
  add("latency", "Write one record at a time, and wait until a consumer has it", 10000,
      BenchLatency);
  add("admin", "Create and delete topics", 1000, BenchAdmin);
}

}  // namespace gregor
