#include "node/status_pages.h"

#include <gtest/gtest.h>

namespace gregor {
namespace {

TEST(StatusPages, ANodeThatStopsIsNotReadyAgainWhenItsLogsAreOpen) {
  NodeStatus status;
  const auto metrics = Metrics::Create();
  const auto pages = StatusPages(status, *metrics);
  status.Set(NodeStatus::State::kRecovering);
  EXPECT_EQ(pages.at("/ready")().status, 503);
  status.Set(NodeStatus::State::kReady);
  EXPECT_EQ(pages.at("/ready")().status, 200);
  status.Set(NodeStatus::State::kStopping);
  status.Set(NodeStatus::State::kReady);
  const auto reply = pages.at("/ready")();
  EXPECT_EQ(reply.status, 503);
  EXPECT_EQ(reply.body, "{\"status\":\"stopping\"}\n");
}

TEST(StatusPages, ReadyTellsWhatIsOffline) {
  NodeStatus status;
  const auto metrics = Metrics::Create();
  const auto pages = StatusPages(status, *metrics);
  RecoveryProgress recovery;
  recovery.total = 4;
  recovery.done = 3;
  status.SetPartitions(&recovery, [] { return int64_t{36}; });
  status.Set(NodeStatus::State::kReady);
  EXPECT_EQ(pages.at("/ready")().body,
            "{\"status\":\"ready\",\"logs_recovered\":3,\"logs_total\":4,\"logs_failed\":0,"
            "\"partitions_offline\":36}\n");
}

}  // namespace
}  // namespace gregor
