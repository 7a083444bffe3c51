#ifndef GREGOR_BASE_METRICS_H_
#define GREGOR_BASE_METRICS_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"

namespace gregor {

// A number that only grows. Thread: any; an atomic addition.
class Counter {
 public:
  virtual ~Counter() = default;
  virtual void Add(double value) = 0;
};

// How often something lasted how long. Thread: any; an atomic addition or two.
class LatencyHistogram {
 public:
  virtual ~LatencyHistogram() = default;
  virtual void Observe(Duration duration) = 0;
};

// The numbers that a node shows, in Prometheus' text format. Names begin with "gregor_" and end in
// the unit; all are listed in docs/operations.md. Thread: any.
class Metrics {
 public:
  using Labels = std::map<std::string, std::string>;
  enum class Kind { kCounter, kGauge };

  static std::unique_ptr<Metrics> Create();
  virtual ~Metrics() = default;

  // The same name and labels give the same object; it lives as long as the registry. REQUIRES: one
  // help text per name.
  virtual Counter& AddCounter(const std::string& name, const std::string& help,
                              const Labels& labels = {}) = 0;
  // Buckets from 50 us to 10 s.
  virtual LatencyHistogram& AddLatency(const std::string& name, const std::string& help,
                                       const Labels& labels = {}) = 0;
  // A number that is asked for whenever somebody reads; `value` runs on the reader's thread and
  // must not block.
  virtual void AddCallback(Kind kind, const std::string& name, const std::string& help,
                           const Labels& labels, std::function<double()> value) = 0;

  // All of them as text.
  virtual std::string Render() const = 0;
};

}  // namespace gregor

#endif  // GREGOR_BASE_METRICS_H_
