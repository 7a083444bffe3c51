#include "controller/broker_news.h"

#include <utility>

#include "base/host_port.h"

namespace gregor {
namespace {

// `was_stopping`: it had said that it was about to stop.
std::string Fenced(const BrokerImage& broker, bool was_stopping) {
  if (broker.fenced_by_hand) return "is fenced, by hand";
  return was_stopping ? "is fenced: it was about to stop" : "is fenced: it is not heard of";
}

}  // namespace

std::string PlaceOf(const BrokerImage& broker) {
  const auto grpc = broker.listeners.find("grpc");
  if (grpc == broker.listeners.end()) return "";
  return ", at " + JoinHostPort(grpc->second.host, grpc->second.port);
}

std::vector<std::string> BrokerNews(const MetadataImage& before, const MetadataImage& after) {
  std::vector<std::string> news;
  decltype(after.brokers)::VisitChanges(
      before.brokers, after.brokers, [&](NodeId node, const auto* was, const auto* is) {
        const auto tell = [&](const std::string& what) {
          news.push_back("Broker " + std::to_string(node.value) + " " + what);
        };
        if (is == nullptr) return tell("was unregistered");
        const BrokerImage& now = **is;
        if (was == nullptr || (*was)->epoch != now.epoch) {
          tell("registered with epoch " + std::to_string(now.epoch.value) + PlaceOf(now));
          if (now.fenced) tell(Fenced(now, false));
          return;
        }
        const BrokerImage& then = **was;
        if (now.fenced && (!then.fenced || now.fenced_by_hand != then.fenced_by_hand)) {
          const bool is_lifted = then.fenced && then.fenced_by_hand;
          tell(is_lifted ? "is not fenced by hand any more: it serves once it is heard of"
                         : Fenced(now, then.in_controlled_shutdown));
        }
        if (!now.fenced && then.fenced) tell("is not fenced any more");
        if (now.drained != then.drained)
          tell(now.drained ? "is drained: others lead what they can" : "is not drained any more");
        if (now.in_controlled_shutdown && !then.in_controlled_shutdown) tell("is about to stop");
      });
  return news;
}

}  // namespace gregor
