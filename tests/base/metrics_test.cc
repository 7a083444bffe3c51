#include "base/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace gregor {
namespace {

using testing::HasSubstr;

TEST(Metrics, AreRenderedAsPrometheusText) {
  const auto metrics = Metrics::Create();
  metrics->AddCounter("gregor_records_total", "Records.", {{"kind", "a"}}).Add(2);
  metrics->AddCounter("gregor_records_total", "Records.", {{"kind", "a"}}).Add(3);
  metrics->AddCounter("gregor_records_total", "Records.", {{"kind", "b"}}).Add(1);
  metrics->AddLatency("gregor_sync_seconds", "Syncs.").Observe(std::chrono::microseconds(300));
  double level = 1;
  metrics->AddCallback(Metrics::Kind::kGauge, "gregor_level", "Level.", {{"x", "1"}},
                       [&] { return level; });
  metrics->AddCallback(Metrics::Kind::kGauge, "gregor_level", "Level.", {{"x", "2"}},
                       [] { return 7; });
  level = 42;
  const std::string text = metrics->Render();
  EXPECT_THAT(text, HasSubstr("# TYPE gregor_records_total counter"));
  EXPECT_THAT(text, HasSubstr("gregor_records_total{kind=\"a\"} 5"));
  EXPECT_THAT(text, HasSubstr("gregor_records_total{kind=\"b\"} 1"));
  EXPECT_THAT(text, HasSubstr("gregor_sync_seconds_bucket{le=\"0.00025\"} 0"));
  EXPECT_THAT(text, HasSubstr("gregor_sync_seconds_bucket{le=\"0.0005\"} 1"));
  EXPECT_THAT(text, HasSubstr("gregor_level{x=\"1\"} 42"));
  EXPECT_THAT(text, HasSubstr("gregor_level{x=\"2\"} 7"));
}

}  // namespace
}  // namespace gregor
