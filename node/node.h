#ifndef GREGOR_NODE_NODE_H_
#define GREGOR_NODE_NODE_H_

#include <functional>
#include <memory>
#include <optional>

#include "base/result.h"
#include "node/settings.h"

namespace gregor {

// A running node: everything wired together, in the order of docs/architecture.md ("Start and
// stop"). Thread: main; blocks while it starts and stops.
class Node {
 public:
  // Opens or formats the directories, recovers the metadata, takes part in the cluster and serves.
  // Returns once the gRPC API answers; logs that are still recovered answer as soon as they are
  // (GET /ready tells). Fails with what an operator must know and do: folder locked or of another
  // node, newer format, port taken, damaged metadata ...
  static Result<std::unique_ptr<Node>> Start(Settings settings,
                                             std::function<bool()> is_stopping = {});
  virtual ~Node() = default;

  // Where it listens, with the ports that were really bound.
  virtual HostPort grpc() const = 0;
  virtual HostPort http() const = 0;
  virtual std::optional<HostPort> internal() const = 0;  // in a cluster

  // Why the node asked for its end (RequestStop), where it is to be started again: its metadata log
  // failed, and other nodes can mend it. Thread: any.
  virtual std::optional<Error> failure() const = 0;

  // Refuses new calls, answers what waits, closes the logs, and marks the directories as cleanly
  // closed. Where that takes longer than `timeout` (a disk that hangs) the process ends at once
  // with exit code 1: nothing that was acknowledged is lost then, the next start recovers. Once,
  // before the destructor.
  virtual void Stop(Duration timeout) = 0;
};

}  // namespace gregor

#endif  // GREGOR_NODE_NODE_H_
