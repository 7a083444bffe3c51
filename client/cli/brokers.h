#ifndef GREGOR_CLIENT_CLI_BROKERS_H_
#define GREGOR_CLIENT_CLI_BROKERS_H_

#include <string>
#include <vector>

#include "client/cli/output.h"
#include "client/cli/trouble_watch.h"
#include "gregor/v1/cluster.pb.h"

namespace gregor {

// Brokers as commands show them. Thread: any.

using BrokerState = v1::DescribeClusterResponse::BrokerState;

// "active", "drained", "stopping", "fenced", or "fenced by hand"; the last three of a broker that
// is drained, too, with ", drained" behind it.
std::string StateOf(const v1::Broker& broker, const BrokerState& state);
// A row for each broker of the answer that `server` gave.
Json BrokerRows(const v1::DescribeClusterResponse& cluster, const std::string& server);
// What a broker listens on, {"grpc": "host:port"}.
Json ListenersOf(const v1::Broker& broker, const std::string& server);
// The rows as a list. Thread: main.
void PrintBrokers(const GlobalOptions& global, Json rows);
// Makes words of a row's flags, where it is not printed as JSON.
void ShowFlags(const GlobalOptions& global, Json& row);

// Why there is no active controller.
inline constexpr char kNoMajority[] = "no majority of the voters is there";
// Says on stderr that nobody keeps the states of brokers up to date, where that is so. Thread:
// main.
void WarnWithoutController(const v1::DescribeClusterResponse& cluster);
// Says on stderr, as long as it lives, that a change waits: the node that is asked waits as long as
// it may for a controller that leads. For the time of the call only.
TroubleWatch WatchForController(const std::string& servers);

}  // namespace gregor

#endif  // GREGOR_CLIENT_CLI_BROKERS_H_
