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

}  // namespace
}  // namespace gregor
