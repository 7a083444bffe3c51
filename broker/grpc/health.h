#ifndef GREGOR_BROKER_GRPC_HEALTH_H_
#define GREGOR_BROKER_GRPC_HEALTH_H_

#include <atomic>
#include <memory>
#include <set>
#include <string>
#include <unordered_set>
#include <vector>

#include "broker/grpc/door.h"
#include "broker/grpc/hot_call.h"
#include "broker/grpc/hot_stream.h"
#include "broker/grpc/service_stack.h"
#include "grpc/health/v1/health.grpc.pb.h"

namespace gregor {

using HealthApi = grpc::health::v1::Health;
using HealthMethods =
    Stack<HealthApi::Service, HealthApi::WithRawMethod_Check, HealthApi::WithRawMethod_Watch>;

// grpc.health.v1.Health, which says of the server ("") and of each named service whether it serves:
// all do or none. gRPC's own would run on the callback API, whose threads poll the same sockets as
// the door's. Thread: main, unless said otherwise.
class HealthService final : public HealthMethods, public DoorService {
 public:
  // `services`: full names, such as "gregor.v1.TopicService". REQUIRES: `door` outlives this.
  HealthService(Door& door, std::vector<std::string> services);

  grpc::Service* service() override { return this; }
  void Serve(const std::shared_ptr<Door>& door) override;

  // At first nothing serves.
  void SetServing(bool serving);
  // Nothing serves any more, for good; watchers are told, and their streams end.
  void Shutdown();

  // --- for its calls ---

  // A stream of Watch. Thread: the hot queue's.
  class Watcher {
   public:
    virtual void OnChange() = 0;

   protected:
    ~Watcher() = default;
  };
  void AddWatcher(Watcher* watcher) { watchers_.insert(watcher); }
  void RemoveWatcher(Watcher* watcher) { watchers_.erase(watcher); }

  // SERVICE_UNKNOWN where there is none of that name. Thread: any.
  grpc::health::v1::HealthCheckResponse::ServingStatus StatusOf(const std::string& service) const;
  // Whether streams of Watch end. Thread: any.
  bool shut_down() const { return state_ == State::kShutDown; }

 private:
  enum class State { kNotServing, kServing, kShutDown };

  void Set(State state);

  Door& door_;
  const std::set<std::string> services_;
  UnaryMetrics check_metrics_;
  StreamMetrics watch_metrics_;
  std::atomic<State> state_{State::kNotServing};
  std::unordered_set<Watcher*> watchers_;  // of the hot queue's thread
};

}  // namespace gregor

#endif  // GREGOR_BROKER_GRPC_HEALTH_H_
