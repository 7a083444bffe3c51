#include "node/status_pages.h"

#include <nlohmann/json.hpp>

#include "node/build_info_json.h"

namespace gregor {
namespace {

constexpr char kJson[] = "application/json";

const char* StateName(NodeStatus::State state) {
  switch (state) {
    case NodeStatus::State::kStarting:
      return "starting";
    case NodeStatus::State::kLoadingMetadata:
      return "loading metadata";
    case NodeStatus::State::kRecovering:
      return "recovering logs";
    case NodeStatus::State::kReady:
      return "ready";
    case NodeStatus::State::kStopping:
      return "stopping";
  }
  return "unknown";
}

}  // namespace

void NodeStatus::Set(State state) {
  State known = state_.load();
  while (known != State::kStopping && !state_.compare_exchange_weak(known, state)) {
  }
}

std::string NodeStatus::ToJson() const {
  nlohmann::ordered_json json = {{"status", StateName(state_.load())}};
  if (const RecoveryProgress* const recovery = recovery_.load(); recovery != nullptr) {
    json["logs_recovered"] = recovery->done.load();
    json["logs_total"] = recovery->total.load();
    json["logs_failed"] = recovery->failed.load();
    json["partitions_offline"] = count_offline_();
  }
  return json.dump() + "\n";
}

std::map<std::string, HttpServer::Handler> StatusPages(const NodeStatus& status,
                                                       const Metrics& metrics) {
  std::map<std::string, HttpServer::Handler> pages;
  pages["/live"] = [] { return HttpServer::Reply{200, kJson, "{\"status\":\"live\"}\n"}; };
  pages["/ready"] = [&status] {
    const bool ready = status.Get() == NodeStatus::State::kReady;
    return HttpServer::Reply{ready ? 200 : 503, kJson, status.ToJson()};
  };
  pages["/metrics"] = [&metrics] {
    return HttpServer::Reply{200, "text/plain; version=0.0.4; charset=utf-8", metrics.Render()};
  };
  pages["/version"] = [] { return HttpServer::Reply{200, kJson, BuildInfoJson() + "\n"}; };
  return pages;
}

}  // namespace gregor
