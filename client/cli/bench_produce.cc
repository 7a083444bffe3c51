#include "base/random.h"
#include "client/admin.h"
#include "client/cli/bench.h"
#include "client/producer.h"

namespace gregor {
namespace {

struct BenchTotals {
  std::mutex mutex;  // guards latencies, behind_max
  Histogram latencies;
  Duration behind_max{0};
  std::atomic<int64_t> delivered{0};
};

// Sends a share of the records through `producer`.
Result<void> SendShare(const BenchArguments& arguments, int64_t records, double rate,
                       std::string_view value, Producer& producer, BenchTotals& totals) {
  NewRecord record;
  record.value = value;
  record.timestamp = SystemClock().WallNow();
  Pace pace(rate, std::chrono::milliseconds(1));
  Random random = Random::FromSystem();
  std::string key;
  for (int64_t i = 0; i < records; ++i) {
    if (rate > 0) {
      pace.Wait();
      record.timestamp = SystemClock().WallNow();
    } else if ((i & 1023) == 0) {
      record.timestamp = SystemClock().WallNow();
    }
    if (arguments.keys > 0) {
      key = std::to_string(random.Below(static_cast<uint64_t>(arguments.keys)));
      record.key = key;
    }
    RETURN_IF_ERROR(producer.Send(arguments.topic, std::nullopt, record));
  }
  const std::lock_guard lock(totals.mutex);
  totals.behind_max = std::max(totals.behind_max, pace.behind_max());
  return {};
}

}  // namespace

Result<void> FillTopic(const GlobalOptions& global, const BenchArguments& arguments,
                       int64_t records) {
  Progress progress(arguments, "records written", records);
  ASSIGN_OR_RETURN(
      const auto producer,
      Producer::Create(arguments.producer.ToOptions(global.server), [&](const Delivery& delivery) {
        if (delivery.error == nullptr) progress.Add(delivery.record_count);
      }));
  const std::string value =
      RandomText(static_cast<size_t>(arguments.extra_record_size.value_or(0)));
  NewRecord record;
  record.value = value;
  record.timestamp = SystemClock().WallNow();
  for (int64_t i = 0; i < records; ++i)
    RETURN_IF_ERROR(producer->Send(arguments.topic, std::nullopt, record));
  producer->Flush();
  if (auto failed = producer->first_error(); failed.has_value()) return *std::move(failed);
  return {};
}

Result<void> BenchProduce(GlobalOptions& global, const BenchArguments& arguments) {
  BenchTotals totals;
  Progress progress(arguments, "records", arguments.records);
  std::vector<std::unique_ptr<Producer>> producers;
  for (int32_t i = 0; i < arguments.clients; ++i) {
    ASSIGN_OR_RETURN(producers.emplace_back(),
                     Producer::Create(arguments.producer.ToOptions(global.server),
                                      [&](const Delivery& delivery) {
                                        if (delivery.error != nullptr) return;
                                        const Duration took =
                                            SystemClock().Now() - delivery.first_record;
                                        totals.delivered += delivery.record_count;
                                        progress.Add(delivery.record_count);
                                        const std::lock_guard lock(totals.mutex);
                                        totals.latencies.Add(took, delivery.record_count);
                                      }));
  }
  // So that an unknown topic is said before anything is measured.
  RETURN_IF_ERROR(Admin(global.server).GetTopic(arguments.topic));
  const std::string value = RandomText(static_cast<size_t>(arguments.record_size));
  const Duration cpu = CpuTime();
  const MonotonicTime start = SystemClock().Now();
  const int32_t threads = arguments.clients * arguments.concurrency;
  RETURN_IF_ERROR(RunThreads(threads, [&](int32_t thread) -> Result<void> {
    Producer& producer = *producers[static_cast<size_t>(thread % arguments.clients)];
    RETURN_IF_ERROR(SendShare(arguments, ShareOf(arguments.records, threads, thread),
                              static_cast<double>(arguments.rate) / threads, value, producer,
                              totals));
    producer.Flush();
    if (auto failed = producer.first_error(); failed.has_value()) return *std::move(failed);
    return {};
  }));
  const int64_t count = totals.delivered.load();
  const std::lock_guard lock(totals.mutex);
  Report(arguments,
         {.bench = "produce",
          .unit = "records",
          .count = count,
          .bytes = count * arguments.record_size,
          .took = SystemClock().Now() - start,
          .latencies = totals.latencies,
          .behind_max = totals.behind_max},
         cpu);
  return {};
}

}  // namespace gregor
