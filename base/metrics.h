#ifndef GREGOR_BASE_METRICS_H_
#define GREGOR_BASE_METRICS_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"

namespace gregor {

// A number that only grows. Thread: any; a relaxed atomic addition.
class Counter {
 public:
  void Add(uint64_t count = 1) { value_.fetch_add(count, std::memory_order_relaxed); }
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

// A number that goes up and down. Thread: any; a relaxed atomic operation.
class Gauge {
 public:
  void Set(int64_t value) { value_.store(value, std::memory_order_relaxed); }
  void Add(int64_t difference) { value_.fetch_add(difference, std::memory_order_relaxed); }
  int64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<int64_t> value_{0};
};

// How often something lasted how long. Thread: any; two relaxed atomic additions.
class LatencyHistogram {
 public:
  // Upper ends, inclusive, of all buckets but the last, which has none.
  static constexpr std::array<Duration, 17> kBounds = {
      std::chrono::microseconds(50),   std::chrono::microseconds(100),
      std::chrono::microseconds(250),  std::chrono::microseconds(500),
      std::chrono::milliseconds(1),    std::chrono::microseconds(2500),
      std::chrono::milliseconds(5),    std::chrono::milliseconds(10),
      std::chrono::milliseconds(25),   std::chrono::milliseconds(50),
      std::chrono::milliseconds(100),  std::chrono::milliseconds(250),
      std::chrono::milliseconds(500),  std::chrono::seconds(1),
      std::chrono::milliseconds(2500), std::chrono::seconds(5),
      std::chrono::seconds(10)};

  // A negative duration counts as none.
  void Observe(Duration duration);
  // How many lasted at most kBounds[i], and longer than the bound before; i == kBounds.size(): the
  // rest.
  uint64_t count(size_t i) const { return counts_[i].load(std::memory_order_relaxed); }
  Duration sum() const { return Duration(sum_ns_.load(std::memory_order_relaxed)); }

 private:
  std::array<std::atomic<uint64_t>, kBounds.size() + 1> counts_{};
  std::atomic<int64_t> sum_ns_{0};
};

// The numbers that a node shows, in Prometheus' text format. Names begin with "gregor_" ("process_"
// where Prometheus' own clients have a name for it) and end in the unit ("_total" for counters);
// all are listed in docs/operations.md. Thread: any.
// What is added lives as long as the registry. The same name and labels give the same object again.
// REQUIRES: names and label names are Prometheus' own kind; one name has one kind and one help
// text.
class Metrics {
 public:
  using Labels = std::map<std::string, std::string>;
  enum class Kind { kCounter, kGauge };
  struct Sample {
    Labels labels;
    double value = 0;
  };

  static std::unique_ptr<Metrics> Create();
  virtual ~Metrics() = default;

  virtual Counter& AddCounter(const std::string& name, const std::string& help,
                              const Labels& labels = {}) = 0;
  virtual Gauge& AddGauge(const std::string& name, const std::string& help,
                          const Labels& labels = {}) = 0;
  virtual LatencyHistogram& AddLatency(const std::string& name, const std::string& help,
                                       const Labels& labels = {}) = 0;
  // A number that is asked for whenever somebody reads. `value` runs on the reader's thread without
  // any lock, must not block, and takes the place of an earlier one of the same name and labels.
  virtual void AddCallback(Kind kind, const std::string& name, const std::string& help,
                           const Labels& labels, std::function<double()> value) = 0;
  // Numbers whose labels come and go: all of `name`, and which there are, is asked for whenever
  // somebody reads. `samples` runs as `value` does above, gives no labels twice, and takes the
  // place of an earlier one.
  virtual void AddCollector(Kind kind, const std::string& name, const std::string& help,
                            std::function<std::vector<Sample>()> samples) = 0;

  // All of them as text, ordered by name and labels (a collector's as it gives them).
  virtual std::string Render() const = 0;
};

}  // namespace gregor

#endif  // GREGOR_BASE_METRICS_H_
