#ifndef GREGOR_CLIENT_CLI_BENCH_H_
#define GREGOR_CLIENT_CLI_BENCH_H_

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "client/cli/histogram.h"
#include "client/cli/output.h"
#include "client/cli/producer_arguments.h"

namespace gregor {

// What the `gregor bench` commands share.

struct BenchArguments {
  std::string topic = "bench";
  int64_t record_size = 1024;
  std::optional<int64_t> extra_record_size;  // of records that are written beside what is measured
  int64_t records = 0;
  int64_t rate = 0;
  int64_t seconds = 0;     // 0: no end
  int32_t partitions = 1;  // of the topics that `admin` creates
  int64_t keys = 0;        // different ones; 0: records without a key
  int32_t clients = 1;
  int32_t concurrency = 1;  // per client
  ProducerArguments producer;
  bool as_json = false;
};

// What was measured.
struct BenchResult {
  const char* bench;  // "produce" ...
  const char* unit;   // what is counted: "records"
  int64_t count = 0;
  int64_t bytes = 0;
  Duration took{0};
  Histogram latencies = {};  // may be empty
  Duration behind_max{0};    // how late the latest one was begun, at a rate
};

double Seconds(Duration duration);

// The result as one JSON document, or for people. `cpu_before`: CpuTime() when it began.
void Report(const BenchArguments& arguments, const BenchResult& result, Duration cpu_before);
// Processor time that this process has used.
Duration CpuTime();

// Bytes of lower case letters; the same for the same size.
std::string RandomText(size_t size);

// How many of `all` part `index` of `parts` does.
int64_t ShareOf(int64_t all, int32_t parts, int32_t index);
// Runs `work` on `count` threads with their numbers, and gives the first error.
Result<void> RunThreads(int32_t count, const std::function<Result<void>(int32_t)>& work);

// A line a second on stderr, for people. Thread: any may count; it has one of its own
// ("bench-progress").
class Progress {
 public:
  // `total` 0: unknown. Silent where the arguments ask for JSON.
  Progress(const BenchArguments& arguments, const char* unit, int64_t total);
  ~Progress();
  void Add(int64_t count) { done_.fetch_add(count, std::memory_order_relaxed); }

 private:
  void Run();

  const std::string unit_;
  const int64_t total_;
  std::atomic<int64_t> done_{0};
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  std::thread thread_;
};

// Keeps to a rate: waits until the next one is due.
class Pace {
 public:
  // `per_second` 0: as fast as it goes. Waits at least for `tick` where it has to wait: a thread
  // that sleeps before each of many thousand a second costs more than what is measured.
  explicit Pace(double per_second, Duration tick = Duration(0));
  // When the next one was due: now, or earlier if the caller is late.
  MonotonicTime Wait();
  // `count` were done together: waits until the time of them all is over.
  void WaitAfter(int64_t count);
  // Beyond the tick.
  Duration behind_max() const { return behind_max_; }

 private:
  MonotonicTime WaitUntilDue(int64_t index);

  const double per_second_;
  const Duration tick_;
  const MonotonicTime start_;
  int64_t count_ = 0;
  Duration behind_max_{0};
};

// Fills the topic with so many records of extra_record_size, for others to read. Nothing is
// measured.
Result<void> FillTopic(const GlobalOptions& global, const BenchArguments& arguments,
                       int64_t records);

Result<void> BenchProduce(GlobalOptions& global, const BenchArguments& arguments);
Result<void> BenchConsume(GlobalOptions& global, const BenchArguments& arguments);
Result<void> BenchLatency(GlobalOptions& global, const BenchArguments& arguments);
Result<void> BenchAdmin(GlobalOptions& global, const BenchArguments& arguments);

}  // namespace gregor

#endif  // GREGOR_CLIENT_CLI_BENCH_H_
