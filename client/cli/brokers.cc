#include "client/cli/brokers.h"

#include <iostream>
#include <map>
#include <optional>

#include "client/admin.h"
#include "client/router.h"

namespace gregor {
namespace {

// Where the endpoint is reached: without a host, at the first of the servers that were asked.
std::string AddressOf(const v1::Endpoint& endpoint, const std::string& servers) {
  return gregor::AddressOf(endpoint.host(), endpoint.port(), servers.substr(0, servers.find(',')));
}

}  // namespace

std::string StateOf(const v1::Broker& broker, const BrokerState& state) {
  const std::string text = state.fenced_by_hand() ? "fenced by hand"
                           : broker.fenced()      ? "fenced"
                           : state.stopping()     ? "stopping"
                                                  : "";
  if (!state.drained()) return text.empty() ? "active" : text;
  return text.empty() ? "drained" : text + ", drained";
}

Json BrokerRows(const v1::DescribeClusterResponse& cluster, const std::string& server) {
  Json rows = Json::array();
  for (int i = 0; i < cluster.brokers_size(); ++i) {
    const v1::Broker& broker = cluster.brokers(i);
    // A server of an earlier version tells nothing of it.
    const BrokerState& state =
        i < cluster.states_size() ? cluster.states(i) : BrokerState::default_instance();
    rows.push_back({{"broker", broker.broker_id()},
                    {"state", StateOf(broker, state)},
                    {"address", AddressOf(broker.endpoint(), server)},
                    {"rack", broker.rack().empty() ? Json() : Json(broker.rack())},
                    {"version", broker.version()},
                    {"leads", state.leads()},
                    {"replicas", state.replicas()},
                    {"active_controller", broker.broker_id() == cluster.controller_id()}});
  }
  return rows;
}

Json ListenersOf(const v1::Broker& broker, const std::string& server) {
  Json listeners = Json::object();
  // A protobuf map has no order of its own.
  const std::map<std::string, v1::Endpoint> sorted(broker.listeners().begin(),
                                                   broker.listeners().end());
  for (const auto& [name, endpoint] : sorted) listeners[name] = AddressOf(endpoint, server);
  return listeners;
}

void ShowFlags(const GlobalOptions& global, Json& row) {
  if (global.output == "json") return;
  Json& is_active = row["active_controller"];
  is_active = is_active.get<bool>() ? "yes" : "-";
}

void PrintBrokers(const GlobalOptions& global, Json rows) {
  for (Json& row : rows) ShowFlags(global, row);
  PrintList(
      global, rows,
      {"broker", "state", "leads", "replicas", "address", "rack", "version", "active_controller"});
}

void WarnWithoutController(const v1::DescribeClusterResponse& cluster) {
  if (cluster.controller_id() >= 0) return;
  std::cerr << "gregor: no controller is active: " << kNoMajority
            << ", and what is shown may be old" << std::endl;
}

TroubleWatch WatchForController(const std::string& servers) {
  const auto ask = [servers]() -> std::optional<Error> {
    const auto cluster = Admin(servers, std::chrono::seconds(1)).DescribeCluster();
    if (!cluster.ok() || cluster->controller_id() >= 0) return std::nullopt;
    return Error(Reason::kNotController,
                 "no answer yet: without a majority of the voters there is no active controller "
                 "that could do it");
  };
  return TroubleWatch(ask, "waiting for one");
}

}  // namespace gregor
