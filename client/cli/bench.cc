#include "client/cli/bench.h"

#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <iostream>

#include "base/random.h"

namespace gregor {
namespace {

constexpr int kBarWidth = 50;

double Milliseconds(Duration duration) { return 1000 * Seconds(duration); }

double ToMicroseconds(double milliseconds) {
  return static_cast<double>(static_cast<int64_t>(milliseconds * 1000)) / 1000;
}

Json Latencies(const Histogram& histogram) {
  const auto ms = [&](Duration duration) { return ToMicroseconds(Milliseconds(duration)); };
  return {{"p50", ms(histogram.Quantile(0.5))},
          {"p90", ms(histogram.Quantile(0.9))},
          {"p99", ms(histogram.Quantile(0.99))},
          {"p999", ms(histogram.Quantile(0.999))},
          {"max", ms(histogram.max())}};
}

// "0.512 ms", as wide as its neighbours.
std::string ShowTime(Duration duration) {
  char text[32];
  std::snprintf(text, sizeof text, "%9.3f ms", Milliseconds(duration));
  return text;
}

void PrintHistogram(const Histogram& histogram) {
  std::printf("latency: p50 %.3f ms, p90 %.3f ms, p99 %.3f ms, p99.9 %.3f ms, max %.3f ms\n",
              Milliseconds(histogram.Quantile(0.5)), Milliseconds(histogram.Quantile(0.9)),
              Milliseconds(histogram.Quantile(0.99)), Milliseconds(histogram.Quantile(0.999)),
              Milliseconds(histogram.max()));
  histogram.ForEachOctave([&](Duration begin, Duration end, int64_t count) {
    const double share = static_cast<double>(count) / static_cast<double>(histogram.count());
    const auto width = static_cast<size_t>(share * kBarWidth + (count > 0 ? 1 : 0));
    std::printf("%s .. %s %6.2f %% %s\n", ShowTime(begin).c_str(), ShowTime(end).c_str(),
                100 * share, std::string(width, '#').c_str());
  });
}

}  // namespace

double Seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

Duration CpuTime() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto in = [](const timeval& time) {
    return std::chrono::seconds(time.tv_sec) + std::chrono::microseconds(time.tv_usec);
  };
  return in(usage.ru_utime) + in(usage.ru_stime);
}

void Report(const BenchArguments& arguments, const BenchResult& result, Duration cpu_before) {
  const double seconds = std::max(1e-9, Seconds(result.took));
  const double cpu = Seconds(CpuTime() - cpu_before);
  const double rate = static_cast<double>(result.count) / seconds;
  const double byte_rate = static_cast<double>(result.bytes) / seconds;
  if (arguments.as_json) {
    Json json = {{"bench", result.bench},
                 {"topic", arguments.topic},
                 {result.unit, result.count},
                 {"bytes", result.bytes},
                 {"seconds", seconds},
                 {std::string(result.unit) + "_per_second", rate},
                 {"bytes_per_second", byte_rate},
                 {"client_cpu_seconds", cpu}};
    if (result.latencies.count() > 0) json["latency_ms"] = Latencies(result.latencies);
    if (arguments.rate > 0) json["behind_max_ms"] = ToMicroseconds(Milliseconds(result.behind_max));
    std::cout << Dump(json) << std::endl;
    return;
  }
  std::printf("%lld %s in %.2f s: %.0f /s", static_cast<long long>(result.count), result.unit,
              seconds, rate);
  if (result.bytes > 0) std::printf(", %.1f MB/s", byte_rate / 1e6);
  std::printf(", %.2f s of processor time here\n", cpu);
  if (result.latencies.count() > 0) PrintHistogram(result.latencies);
  if (result.behind_max > std::chrono::milliseconds(10)) {
    std::printf("The rate could not be kept: up to %.0f ms late.%s\n",
                Milliseconds(result.behind_max),
                result.latencies.count() > 0 ? " Latencies count from when each was due." : "");
  }
  std::fflush(stdout);
}

std::string RandomText(size_t size) {
  Random random(size);
  std::string text(size, '\0');
  for (char& c : text) c = static_cast<char>('a' + random.Below(26));
  return text;
}

int64_t ShareOf(int64_t all, int32_t parts, int32_t index) {
  return all / parts + (index < all % parts ? 1 : 0);
}

Result<void> RunThreads(int32_t count, const std::function<Result<void>(int32_t)>& work) {
  std::vector<Result<void>> results(static_cast<size_t>(count));
  std::vector<std::thread> threads;
  for (int32_t i = 1; i < count; ++i)
    threads.emplace_back([&, i] { results[static_cast<size_t>(i)] = work(i); });
  results[0] = work(0);
  for (std::thread& thread : threads) thread.join();
  for (auto& result : results) RETURN_IF_ERROR(std::move(result));
  return {};
}

Progress::Progress(const BenchArguments& arguments, const char* unit, int64_t total)
    : unit_(unit), total_(total) {
  if (arguments.as_json) return;
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), "bench-progress");
    Run();
  });
}

Progress::~Progress() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void Progress::Run() {
  const bool terminal = isatty(STDERR_FILENO) != 0;
  MonotonicTime last = SystemClock().Now();
  int64_t last_done = 0;
  bool shown = false;
  std::unique_lock lock(mutex_);
  while (!changed_.wait_for(lock, std::chrono::seconds(1), [this] { return stopping_; })) {
    const MonotonicTime now = SystemClock().Now();
    const int64_t done = done_.load(std::memory_order_relaxed);
    std::fprintf(stderr, "%s%lld", terminal ? "\r" : "", static_cast<long long>(done));
    if (total_ > 0) std::fprintf(stderr, " of %lld", static_cast<long long>(total_));
    std::fprintf(stderr, " %s, %.0f /s   %s", unit_.c_str(),
                 static_cast<double>(done - last_done) / Seconds(now - last), terminal ? "" : "\n");
    std::fflush(stderr);
    last = now;
    last_done = done;
    shown = true;
  }
  if (shown && terminal) std::fprintf(stderr, "\n");
}

Pace::Pace(double per_second, Duration tick)
    : per_second_(per_second), tick_(tick), start_(SystemClock().Now()) {}

MonotonicTime Pace::Wait() { return WaitUntilDue(count_++); }

void Pace::WaitAfter(int64_t count) {
  count_ += count;
  WaitUntilDue(count_);
}

MonotonicTime Pace::WaitUntilDue(int64_t index) {
  const MonotonicTime now = SystemClock().Now();
  if (per_second_ <= 0) return now;
  const MonotonicTime due =
      start_ + Duration(static_cast<int64_t>(1e9 * static_cast<double>(index) / per_second_));
  if (due <= now) {
    behind_max_ = std::max(behind_max_, now - due - tick_);
    return due;
  }
  // A wait for what never comes.
  std::mutex mutex;
  std::condition_variable never;
  std::unique_lock lock(mutex);
  never.wait_for(lock, std::max(due - now, tick_));
  return due;
}

}  // namespace gregor
