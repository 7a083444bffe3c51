#include "base/metrics.h"

#include <prometheus/collectable.h>
#include <prometheus/counter.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <deque>
#include <utility>

#include "base/thread_annotations.h"

namespace gregor {
namespace {

class PrometheusCounter final : public Counter {
 public:
  explicit PrometheusCounter(prometheus::Counter& counter) : counter_(counter) {}
  void Add(double value) override { counter_.Increment(value); }

 private:
  prometheus::Counter& counter_;
};

class PrometheusLatency final : public LatencyHistogram {
 public:
  explicit PrometheusLatency(prometheus::Histogram& histogram) : histogram_(histogram) {}
  void Observe(Duration duration) override {
    histogram_.Observe(std::chrono::duration<double>(duration).count());
  }

 private:
  prometheus::Histogram& histogram_;
};

const prometheus::Histogram::BucketBoundaries& LatencyBuckets() {
  static const prometheus::Histogram::BucketBoundaries buckets = {
      0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025,
      0.05,    0.1,    0.25,    0.5,    1,     2.5,    5,     10};
  return buckets;
}

class PrometheusMetrics final : public Metrics {
 public:
  Counter& AddCounter(const std::string& name, const std::string& help,
                      const Labels& labels) override {
    auto& counter =
        prometheus::BuildCounter().Name(name).Help(help).Register(registry_).Add(labels);
    const MutexLock lock(mutex_);
    return counters_.try_emplace(&counter, counter).first->second;
  }

  LatencyHistogram& AddLatency(const std::string& name, const std::string& help,
                               const Labels& labels) override {
    auto& histogram = prometheus::BuildHistogram().Name(name).Help(help).Register(registry_).Add(
        labels, LatencyBuckets());
    const MutexLock lock(mutex_);
    return latencies_.try_emplace(&histogram, histogram).first->second;
  }

  void AddCallback(Kind kind, const std::string& name, const std::string& help,
                   const Labels& labels, std::function<double()> value) override {
    const MutexLock lock(mutex_);
    callbacks_.push_back({kind, name, help, labels, std::move(value)});
  }

  std::string Render() const override {
    auto families = registry_.Collect();
    std::vector<Callback> callbacks;
    {
      const MutexLock lock(mutex_);
      callbacks = callbacks_;
    }
    for (const Callback& callback : callbacks) AddTo(families, callback);
    std::sort(families.begin(), families.end(),
              [](const auto& a, const auto& b) { return a.name < b.name; });
    return prometheus::TextSerializer().Serialize(families);
  }

 private:
  struct Callback {
    Kind kind;
    std::string name;
    std::string help;
    Labels labels;
    std::function<double()> value;
  };

  static void AddTo(std::vector<prometheus::MetricFamily>& families, const Callback& callback) {
    auto family = std::find_if(families.begin(), families.end(),
                               [&](const auto& each) { return each.name == callback.name; });
    const bool is_gauge = callback.kind == Kind::kGauge;
    if (family == families.end()) {
      const auto type = is_gauge ? prometheus::MetricType::Gauge : prometheus::MetricType::Counter;
      families.push_back({callback.name, callback.help, type, {}});
      family = std::prev(families.end());
    }
    prometheus::ClientMetric metric;
    for (const auto& [name, value] : callback.labels) metric.label.push_back({name, value});
    (is_gauge ? metric.gauge.value : metric.counter.value) = callback.value();
    family->metric.push_back(std::move(metric));
  }

  prometheus::Registry registry_{prometheus::Registry::InsertBehavior::Merge};
  mutable Mutex mutex_;
  std::map<prometheus::Counter*, PrometheusCounter> counters_ TS_GUARDED_BY(mutex_);
  std::map<prometheus::Histogram*, PrometheusLatency> latencies_ TS_GUARDED_BY(mutex_);
  std::vector<Callback> callbacks_ TS_GUARDED_BY(mutex_);
};

}  // namespace

std::unique_ptr<Metrics> Metrics::Create() { return std::make_unique<PrometheusMetrics>(); }

}  // namespace gregor
