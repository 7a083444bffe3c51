#include "base/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <vector>

#include "base/event_loop.h"

namespace gregor {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using testing::HasSubstr;
using testing::Not;

constexpr auto kGauge = Metrics::Kind::kGauge;
constexpr auto kCounter = Metrics::Kind::kCounter;

TEST(Metrics, CountersAndGaugesAreRenderedWithTheirLabels) {
  const auto metrics = Metrics::Create();
  metrics->AddCounter("gregor_records_total", "Records.", {{"kind", "b"}}).Add();
  metrics->AddCounter("gregor_records_total", "Records.", {{"kind", "a"}}).Add(5);
  Gauge& depth = metrics->AddGauge("gregor_depth", "Depth.");
  depth.Set(10);
  depth.Add(-13);
  EXPECT_EQ(metrics->Render(),
            "# HELP gregor_depth Depth.\n"
            "# TYPE gregor_depth gauge\n"
            "gregor_depth -3\n"
            "# HELP gregor_records_total Records.\n"
            "# TYPE gregor_records_total counter\n"
            "gregor_records_total{kind=\"a\"} 5\n"
            "gregor_records_total{kind=\"b\"} 1\n");
}

TEST(Metrics, TheSameNameAndLabelsAreTheSameObject) {
  const auto metrics = Metrics::Create();
  Counter& one = metrics->AddCounter("gregor_x_total", "X.", {{"a", "1"}, {"b", "2"}});
  Counter& same = metrics->AddCounter("gregor_x_total", "X.", {{"b", "2"}, {"a", "1"}});
  Counter& other = metrics->AddCounter("gregor_x_total", "X.", {{"a", "1"}});
  EXPECT_EQ(&one, &same);
  EXPECT_NE(&one, &other);
  EXPECT_EQ(&metrics->AddLatency("gregor_y_seconds", "Y."),
            &metrics->AddLatency("gregor_y_seconds", "Y."));
}

TEST(Metrics, LatenciesFallIntoTheirBuckets) {
  LatencyHistogram latency;
  latency.Observe(Duration::zero());
  latency.Observe(microseconds(-5));
  latency.Observe(microseconds(50));
  latency.Observe(microseconds(50) + Duration(1));
  latency.Observe(std::chrono::seconds(10));
  latency.Observe(std::chrono::hours(1));
  EXPECT_EQ(latency.count(0), 3u);
  EXPECT_EQ(latency.count(1), 1u);
  EXPECT_EQ(latency.count(LatencyHistogram::kBounds.size() - 1), 1u);
  EXPECT_EQ(latency.count(LatencyHistogram::kBounds.size()), 1u);
  EXPECT_EQ(latency.sum(), std::chrono::seconds(3610) + microseconds(100) + Duration(1));
}

TEST(Metrics, LatenciesAreRenderedAsCumulativeBucketsInSeconds) {
  const auto metrics = Metrics::Create();
  LatencyHistogram& sync = metrics->AddLatency("gregor_sync_seconds", "Syncs.", {{"disk", "a"}});
  sync.Observe(microseconds(300));
  sync.Observe(milliseconds(2));
  sync.Observe(std::chrono::seconds(20));
  const std::string text = metrics->Render();
  EXPECT_THAT(text, HasSubstr("# TYPE gregor_sync_seconds histogram\n"));
  EXPECT_THAT(text, HasSubstr("gregor_sync_seconds_bucket{disk=\"a\",le=\"0.00025\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("gregor_sync_seconds_bucket{disk=\"a\",le=\"0.0005\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("gregor_sync_seconds_bucket{disk=\"a\",le=\"0.0025\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("gregor_sync_seconds_bucket{disk=\"a\",le=\"10\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("gregor_sync_seconds_bucket{disk=\"a\",le=\"+Inf\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("gregor_sync_seconds_count{disk=\"a\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("gregor_sync_seconds_sum{disk=\"a\"} 20.0023"));
}

TEST(Metrics, CallbacksAreAskedWhenSomebodyReads) {
  const auto metrics = Metrics::Create();
  double level = 1;
  metrics->AddCallback(kGauge, "gregor_level", "Level.", {{"x", "1"}}, [&] { return level; });
  metrics->AddCallback(kGauge, "gregor_level", "Level.", {{"x", "2"}}, [] { return 7; });
  metrics->AddCallback(kCounter, "gregor_seen_total", "Seen.", {}, [] { return 3; });
  level = 42;
  const std::string text = metrics->Render();
  EXPECT_THAT(text, HasSubstr("# TYPE gregor_level gauge\ngregor_level{x=\"1\"} 42\n"
                              "gregor_level{x=\"2\"} 7\n"));
  EXPECT_THAT(text, HasSubstr("# TYPE gregor_seen_total counter\ngregor_seen_total 3\n"));
}

TEST(Metrics, ALaterCallbackTakesThePlaceOfAnEarlierOne) {
  const auto metrics = Metrics::Create();
  metrics->AddCallback(kGauge, "gregor_level", "Level.", {}, [] { return 1; });
  metrics->AddCallback(kGauge, "gregor_level", "Level.", {}, [] { return 2; });
  EXPECT_THAT(metrics->Render(), HasSubstr("gregor_level 2\n"));
  EXPECT_THAT(metrics->Render(), Not(HasSubstr("gregor_level 1\n")));
}

TEST(Metrics, ACallbackMayUseTheRegistry) {
  const auto metrics = Metrics::Create();
  metrics->AddCallback(kGauge, "gregor_level", "Level.", {}, [&] {
    return static_cast<double>(metrics->AddCounter("gregor_x_total", "X.").value());
  });
  EXPECT_THAT(metrics->Render(), HasSubstr("gregor_level 0\n"));
}

TEST(Metrics, ACollectorSaysWhichNumbersThereAre) {
  const auto metrics = Metrics::Create();
  std::vector<Metrics::Sample> samples;
  metrics->AddCounter("gregor_a_total", "A.").Add();
  metrics->AddCollector(kCounter, "gregor_b_total", "B.", [&] { return samples; });
  metrics->AddCounter("gregor_c_total", "C.").Add();
  EXPECT_THAT(metrics->Render(), Not(HasSubstr("gregor_b_total{")));
  samples = {{{{"topic", ""}}, 5}, {{{"topic", "orders"}}, 7}};
  EXPECT_EQ(metrics->Render(),
            "# HELP gregor_a_total A.\n"
            "# TYPE gregor_a_total counter\n"
            "gregor_a_total 1\n"
            "# HELP gregor_b_total B.\n"
            "# TYPE gregor_b_total counter\n"
            "gregor_b_total{topic=\"\"} 5\n"
            "gregor_b_total{topic=\"orders\"} 7\n"
            "# HELP gregor_c_total C.\n"
            "# TYPE gregor_c_total counter\n"
            "gregor_c_total 1\n");
  samples.pop_back();
  EXPECT_THAT(metrics->Render(), Not(HasSubstr("orders")));
}

TEST(Metrics, LabelsAreEscaped) {
  const auto metrics = Metrics::Create();
  metrics->AddGauge("gregor_x", "X.", {{"path", "a\"b\\c\nd"}}).Set(1);
  EXPECT_THAT(metrics->Render(), HasSubstr(R"(gregor_x{path="a\"b\\c\nd"} 1)"));
}

TEST(Metrics, LargeCountersKeepTheirDigits) {
  const auto metrics = Metrics::Create();
  metrics->AddCounter("gregor_bytes_total", "Bytes.").Add(123456789012345);
  EXPECT_THAT(metrics->Render(), HasSubstr("gregor_bytes_total 123456789012345\n"));
}

TEST(Metrics, CountFromManyThreadsWhileTheyAreRead) {
  const auto metrics = Metrics::Create();
  std::vector<std::unique_ptr<EventLoop>> loops;
  std::vector<std::future<void>> done;
  for (int i = 0; i < 4; ++i) {
    loops.push_back(NewThreadLoop("metrics"));
    auto promise = std::make_shared<std::promise<void>>();
    done.push_back(promise->get_future());
    loops.back()->Post("count", [&metrics, promise] {
      for (int round = 0; round < 2000; ++round) {
        metrics->AddCounter("gregor_x_total", "X.", {{"n", std::to_string(round % 10)}}).Add();
        metrics->AddLatency("gregor_x_seconds", "X.").Observe(microseconds(round));
      }
      promise->set_value();
    });
  }
  for (int i = 0; i < 20; ++i) (void)metrics->Render();
  for (auto& each : done) each.wait();
  EXPECT_THAT(metrics->Render(), HasSubstr("gregor_x_total{n=\"3\"} 800\n"));
  EXPECT_THAT(metrics->Render(), HasSubstr("gregor_x_seconds_count 8000\n"));
}

TEST(MetricsDeathTest, RefuseWhatPrometheusWouldNotRead) {
  const auto metrics = Metrics::Create();
  metrics->AddCounter("gregor_x_total", "X.");
  EXPECT_DEATH(metrics->AddGauge("gregor_x_total", "X."), "another kind");
  EXPECT_DEATH(metrics->AddCallback(kCounter, "gregor_x_total", "X.", {}, [] { return 1; }),
               "no callback");
  EXPECT_DEATH(metrics->AddCollector(kCounter, "gregor_x_total", "X.",
                                     [] { return std::vector<Metrics::Sample>(); }),
               "metrics of its own");
  metrics->AddCollector(kCounter, "gregor_z_total", "Z.",
                        [] { return std::vector<Metrics::Sample>(); });
  EXPECT_DEATH(metrics->AddCounter("gregor_z_total", "Z."), "by a collector");
  EXPECT_DEATH(metrics->AddCounter("gregor-x", "X."), "gregor-x");
  EXPECT_DEATH(metrics->AddCounter("gregor_y_total", "Y.", {{"a b", "c"}}), "a b");
}

}  // namespace
}  // namespace gregor
