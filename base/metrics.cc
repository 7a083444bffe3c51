#include "base/metrics.h"

#include <prometheus/check_names.h>
#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <limits>
#include <utility>
#include <variant>
#include <vector>

#include "base/check.h"
#include "base/thread_annotations.h"

namespace gregor {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricType;
using Callback = std::shared_ptr<const std::function<double()>>;

double Seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

// One metric of a family: where its number comes from.
using Source = std::variant<std::unique_ptr<Counter>, std::unique_ptr<Gauge>,
                            std::unique_ptr<LatencyHistogram>, Callback>;

ClientMetric::Histogram Read(const LatencyHistogram& latency) {
  ClientMetric::Histogram histogram;
  for (size_t i = 0; i <= LatencyHistogram::kBounds.size(); ++i) {
    histogram.sample_count += latency.count(i);
    const bool is_last = i == LatencyHistogram::kBounds.size();
    histogram.bucket.push_back(
        {histogram.sample_count, is_last ? std::numeric_limits<double>::infinity()
                                         : Seconds(LatencyHistogram::kBounds[i])});
  }
  histogram.sample_sum = Seconds(latency.sum());
  return histogram;
}

using Collector = std::shared_ptr<const std::function<std::vector<Metrics::Sample>()>>;

// A callback whose answer is still to be written to families[family].metric[metric].
struct Question {
  size_t family;
  size_t metric;
  Callback callback;
};

void SetValue(MetricType type, ClientMetric& metric, double value) {
  (type == MetricType::Gauge ? metric.gauge.value : metric.counter.value) = value;
}

ClientMetric WithLabels(const Metrics::Labels& labels) {
  ClientMetric metric;
  for (const auto& [label, value] : labels) metric.label.push_back({label, value});
  return metric;
}

class Registry final : public Metrics {
 public:
  Counter& AddCounter(const std::string& name, const std::string& help,
                      const Labels& labels) override {
    return Add<Counter>(MetricType::Counter, name, help, labels);
  }
  Gauge& AddGauge(const std::string& name, const std::string& help, const Labels& labels) override {
    return Add<Gauge>(MetricType::Gauge, name, help, labels);
  }
  LatencyHistogram& AddLatency(const std::string& name, const std::string& help,
                               const Labels& labels) override {
    return Add<LatencyHistogram>(MetricType::Histogram, name, help, labels);
  }

  void AddCallback(Kind kind, const std::string& name, const std::string& help,
                   const Labels& labels, std::function<double()> value) override {
    const auto type = kind == Kind::kGauge ? MetricType::Gauge : MetricType::Counter;
    auto callback = std::make_shared<const std::function<double()>>(std::move(value));
    const MutexLock lock(mutex_);
    auto [at, is_new] = FamilyOf(type, name, help, labels).try_emplace(labels, callback);
    CHECK(is_new || std::holds_alternative<Callback>(at->second)) << name << " is no callback";
    at->second = std::move(callback);
  }

  void AddCollector(Kind kind, const std::string& name, const std::string& help,
                    std::function<std::vector<Sample>()> samples) override {
    CHECK(prometheus::CheckMetricName(name)) << name;
    const auto type = kind == Kind::kGauge ? MetricType::Gauge : MetricType::Counter;
    auto collector =
        std::make_shared<const std::function<std::vector<Sample>()>>(std::move(samples));
    const MutexLock lock(mutex_);
    CHECK(families_.count(name) == 0) << name << " has metrics of its own already";
    collectors_[name] = {{name, help, type, {}}, std::move(collector)};
  }

  std::string Render() const override {
    std::vector<prometheus::MetricFamily> families;
    // Asked without the lock: a callback may take locks of its own.
    for (const Question& question : Collect(families)) {
      prometheus::MetricFamily& family = families[question.family];
      SetValue(family.type, family.metric[question.metric], (*question.callback)());
    }
    for (auto& [family, collector] : Collectors()) {
      for (const Sample& sample : (*collector)()) {
        SetValue(family.type, family.metric.emplace_back(WithLabels(sample.labels)), sample.value);
      }
      const auto at = std::lower_bound(
          families.begin(), families.end(), family.name,
          [](const auto& other, const std::string& name) { return other.name < name; });
      families.insert(at, std::move(family));
    }
    return prometheus::TextSerializer().Serialize(families);
  }

 private:
  struct Family {
    MetricType type;
    std::string help;
    std::map<Labels, Source> metrics;
  };

  // Without metrics, with what tells them.
  using Collected = std::pair<prometheus::MetricFamily, Collector>;

  std::vector<Collected> Collectors() const {
    std::vector<Collected> collectors;
    const MutexLock lock(mutex_);
    for (const auto& [name, collected] : collectors_) collectors.push_back(collected);
    return collectors;
  }

  std::map<Labels, Source>& FamilyOf(MetricType type, const std::string& name,
                                     const std::string& help, const Labels& labels)
      TS_REQUIRES(mutex_) {
    CHECK(prometheus::CheckMetricName(name)) << name;
    for (const auto& [label, value] : labels) CHECK(prometheus::CheckLabelName(label)) << label;
    CHECK(collectors_.count(name) == 0) << name << " is told by a collector";
    Family& family = families_.try_emplace(name, Family{type, help, {}}).first->second;
    CHECK(family.type == type) << name << " has another kind already";
    return family.metrics;
  }

  template <typename T>
  T& Add(MetricType type, const std::string& name, const std::string& help, const Labels& labels) {
    const MutexLock lock(mutex_);
    auto& metrics = FamilyOf(type, name, help, labels);
    auto found = metrics.find(labels);
    if (found == metrics.end()) found = metrics.emplace(labels, std::make_unique<T>()).first;
    auto* const source = std::get_if<std::unique_ptr<T>>(&found->second);
    CHECK(source != nullptr) << name << " is a callback already";
    return **source;
  }

  // Fills in all that needs no callback; returns the rest.
  std::vector<Question> Collect(std::vector<prometheus::MetricFamily>& families) const {
    std::vector<Question> questions;
    const MutexLock lock(mutex_);
    for (const auto& [name, family] : families_) {
      families.push_back({name, family.help, family.type, {}});
      for (const auto& [labels, source] : family.metrics) {
        ClientMetric metric = WithLabels(labels);
        if (const auto* counter = std::get_if<std::unique_ptr<Counter>>(&source)) {
          metric.counter.value = static_cast<double>((*counter)->value());
        } else if (const auto* gauge = std::get_if<std::unique_ptr<Gauge>>(&source)) {
          metric.gauge.value = static_cast<double>((*gauge)->value());
        } else if (const auto* latency = std::get_if<std::unique_ptr<LatencyHistogram>>(&source)) {
          metric.histogram = Read(**latency);
        } else {
          questions.push_back(
              {families.size() - 1, families.back().metric.size(), std::get<Callback>(source)});
        }
        families.back().metric.push_back(std::move(metric));
      }
    }
    return questions;
  }

  mutable Mutex mutex_;
  std::map<std::string, Family> families_ TS_GUARDED_BY(mutex_);
  std::map<std::string, Collected> collectors_ TS_GUARDED_BY(mutex_);
};

}  // namespace

void LatencyHistogram::Observe(Duration duration) {
  duration = std::max(duration, Duration::zero());
  const auto bound = std::lower_bound(kBounds.begin(), kBounds.end(), duration);
  counts_[static_cast<size_t>(bound - kBounds.begin())].fetch_add(1, std::memory_order_relaxed);
  sum_ns_.fetch_add(duration.count(), std::memory_order_relaxed);
}

std::unique_ptr<Metrics> Metrics::Create() { return std::make_unique<Registry>(); }

}  // namespace gregor
