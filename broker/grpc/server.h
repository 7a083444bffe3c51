#ifndef GREGOR_BROKER_GRPC_SERVER_H_
#define GREGOR_BROKER_GRPC_SERVER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "base/metrics.h"
#include "base/result.h"
#include "broker/api.h"
#include "controller/image/quorum_api.h"

namespace gregor {

// The public gRPC API of a broker (proto/gregor/v1): one port, all services, with health
// (grpc.health.v1), reflection and channelz. All calls come by one completion queue, whose one
// thread ("grpc-hot") serves Produce and Fetch in all their forms; the others are handled on a
// thread of their own ("grpc-control"). Thread: main.
class GrpcServer {
 public:
  struct Options {
    std::string host = "127.0.0.1";
    uint16_t port = 9094;  // 0: a free one
    // Connections that come while so many files are open are closed; 0: no bound.
    uint64_t files_max = 0;
    // What gRPC may hold of messages that are read or written (its resource quota).
    size_t memory_bytes_max = 512u << 20;
    // Frames of produce streams from their arrival to their acknowledgement, over all streams; what
    // comes beyond waits unread. Has to lie below what the broker takes.
    size_t produce_bytes_max = 128u << 20;
    // Answers to fetches of one connection that its client has not read yet; beyond it the
    // connection's fetches wait.
    size_t connection_unsent_bytes_max = 64u << 20;
    // Where little of the broker's memory for answers is left: fetches with an answer that has not
    // left within this time are cut off, and what they hold of it is free. Long enough for a slow
    // client to take all that its connection may hold.
    Duration fetch_stalled_after = std::chrono::seconds(90);
    // Streams that were silent for so long get a sign of life.
    Duration heartbeat_interval = std::chrono::seconds(10);
    // A call without deadline is answered after this time at the latest.
    Duration call_timeout = std::chrono::seconds(30);
    // WatchMetadata: a stream whose client has not taken a message for so long ends; more than so
    // many are refused (QUOTA_EXCEEDED).
    Duration watch_stalled_after = std::chrono::seconds(60);
    int watches_max = 1000;
    Metrics* metrics = nullptr;  // outlives the server; nullptr: nobody looks
    // Who keeps the metadata; outlives all that it was asked. nullptr: the broker's node alone.
    QuorumApi* quorum = nullptr;
  };

  // Listens; calls wait for Serve(). Fails with kInvalidConfig where the address cannot be listened
  // on. REQUIRES: `broker` lives until all that it was asked is answered.
  static Result<std::unique_ptr<GrpcServer>> Start(BrokerApi& broker, Options options);
  // Shuts down without grace if that was not done.
  virtual ~GrpcServer() = default;

  // The port that was really bound.
  virtual uint16_t port() const = 0;
  // Begins to answer. Once.
  virtual void Serve() = 0;
  // Health says NOT_SERVING, streams are told to close, and calls that would change something are
  // refused with kServerDraining.
  virtual void Drain() = 0;
  // Waits up to `grace` for running calls to end; those that have not after three quarters of it
  // end with kServerDraining. Returns when no call is left. What the broker answers after that is
  // dropped.
  virtual void Shutdown(Duration grace) = 0;
};

}  // namespace gregor

#endif  // GREGOR_BROKER_GRPC_SERVER_H_
