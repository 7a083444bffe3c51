#ifndef GREGOR_BROKER_GRPC_DOOR_H_
#define GREGOR_BROKER_GRPC_DOOR_H_

#include <grpcpp/impl/codegen/service_type.h>

#include <list>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/budget.h"
#include "base/event_loop.h"
#include "broker/api.h"
#include "broker/grpc/byte_gate.h"
#include "broker/grpc/call_metrics.h"
#include "broker/grpc/drain_signal.h"
#include "broker/grpc/server.h"
#include "rpc/queue/call_queue.h"

namespace gregor {

class HotUnary;
class HotStream;
struct Door;

// What may stand in a message beside the largest batch.
inline constexpr size_t kEnvelopeBytes = 64u << 10;
// How many calls of one method gRPC can hand over before the queue's thread comes round to ask for
// more.
inline constexpr int kUnaryCallsListening = 64;
inline constexpr int kStreamsListening = 16;
// Of methods that are called seldom.
inline constexpr int kControlCallsListening = 4;
inline constexpr int kControlStreamsListening = 2;

// A service whose calls run on the door's queue.
class DoorService {
 public:
  virtual ~DoorService() = default;
  // What is registered with the server.
  virtual grpc::Service* service() = 0;
  // Begins to take calls. Once. Thread: main, when the server runs.
  virtual void Serve(const std::shared_ptr<Door>& door) = 0;
};

// What the hot calls of one server share; it lives as long as any of them.
struct Door {
  Door(BrokerApi& broker, GrpcServer::Options options, std::shared_ptr<DrainSignal> drain,
       std::unique_ptr<grpc::ServerCompletionQueue> queue);
  ~Door();

  // Looks after calls every so often, from now on. Thread: main, once the queue runs.
  void Watch();

  BrokerApi& broker;  // until the queue is closed
  const GrpcServer::Options options;
  const std::unique_ptr<Metrics> own_metrics;  // where nobody gave some
  Metrics& metrics;
  const std::shared_ptr<DrainSignal> drain;
  // Those that calls belong to.
  std::vector<std::unique_ptr<DoorService>> services;
  CallQueue queue;
  ByteGate produce_gate;  // frames of produce streams
  Budget slot_memory;     // partitions that streams read

  // What was read for the peer's connection and has not left.
  std::shared_ptr<ByteGate> ConnectionOf(const std::string& peer);
  // Runs `work`, which takes its time, on a thread that has no other work; dropped once the queue
  // is closed.
  void Decode(Task work);
  // Runs `work` on the thread of what is no matter of microseconds: control methods, watches of
  // metadata. At once where the caller is there already, else after what was posted before; dropped
  // once the queue is closed. Thread: any.
  void OnControl(Task work);
  // Ends all calls that are open, as nobody will answer them any more. Thread: the queue's.
  void BreakOff();
  // Thread: main, after the queue was closed.
  void StopLoops();

  // Of the queue's thread: open unary calls without a deadline, oldest first; those with one, and
  // those whose time is up; streams.
  std::list<std::weak_ptr<HotUnary>> endless;
  std::list<std::weak_ptr<HotUnary>> bounded;
  std::unordered_map<HotStream*, std::weak_ptr<HotStream>> streams;

 private:
  void Tick();
  std::vector<std::shared_ptr<HotUnary>> LivingCalls();
  // Some may have gone without an end: the broker dropped what they waited for.
  std::vector<std::shared_ptr<HotStream>> LivingStreams();

  std::unique_ptr<EventLoop> decode_loop_;
  std::unique_ptr<EventLoop> control_loop_;
  Mutex connections_mutex_;
  std::unordered_map<std::string, std::weak_ptr<ByteGate>> connections_
      TS_GUARDED_BY(connections_mutex_);
  size_t connections_sweep_ TS_GUARDED_BY(connections_mutex_) = 64;  // swept when it has so many
};

}  // namespace gregor

#endif  // GREGOR_BROKER_GRPC_DOOR_H_
