#include "client/cli/brokers.h"

#include <gtest/gtest.h>

#include <cstring>

namespace gregor {
namespace {

v1::Endpoint At(const std::string& host, int32_t port) {
  v1::Endpoint endpoint;
  endpoint.set_host(host);
  endpoint.set_port(port);
  return endpoint;
}

TEST(Brokers, AFenceByHandIsToldFromOneByTheController) {
  v1::Broker broker;
  BrokerState state;
  EXPECT_EQ(StateOf(broker, state), "active");
  state.set_drained(true);
  EXPECT_EQ(StateOf(broker, state), "drained");
  state.set_stopping(true);
  EXPECT_EQ(StateOf(broker, state), "stopping, drained");
  state.set_drained(false);
  EXPECT_EQ(StateOf(broker, state), "stopping");
  broker.set_fenced(true);
  EXPECT_EQ(StateOf(broker, state), "fenced");
  state.set_fenced_by_hand(true);
  EXPECT_EQ(StateOf(broker, state), "fenced by hand");
  state.set_drained(true);
  EXPECT_EQ(StateOf(broker, state), "fenced by hand, drained");
}

TEST(Brokers, ARowHasWhatIsKnownAndWhereItIsReached) {
  v1::DescribeClusterResponse cluster;
  cluster.set_controller_id(2);
  auto& first = *cluster.add_brokers();
  first.set_broker_id(1);
  *first.mutable_endpoint() = At("", 9094);
  first.set_rack("a");
  auto& second = *cluster.add_brokers();
  second.set_broker_id(2);
  *second.mutable_endpoint() = At("fe80::1", 9194);
  cluster.add_states()->set_leads(7);
  cluster.mutable_states(0)->set_replicas(9);
  // Of the second one an earlier server told nothing.
  const Json rows = BrokerRows(cluster, "broker.example:1234");
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0]["address"], "broker.example:9094");
  EXPECT_EQ(rows[0]["rack"], "a");
  EXPECT_EQ(rows[0]["leads"], 7);
  EXPECT_EQ(rows[0]["replicas"], 9);
  EXPECT_EQ(rows[0]["active_controller"], false);
  EXPECT_EQ(rows[1]["address"], "[fe80::1]:9194");
  EXPECT_TRUE(rows[1]["rack"].is_null());
  EXPECT_EQ(rows[1]["leads"], 0);
  EXPECT_EQ(rows[1]["active_controller"], true);
}

TEST(Brokers, ListenersComeInTheOrderOfTheirNames) {
  v1::Broker broker;
  for (const char* const name : {"http", "grpc", "internal"})
    (*broker.mutable_listeners())[name] = At("h", static_cast<int32_t>(strlen(name)));
  EXPECT_EQ(Dump(ListenersOf(broker, "server:1")),
            R"({"grpc":"h:4","http":"h:4","internal":"h:8"})");
}

}  // namespace
}  // namespace gregor
