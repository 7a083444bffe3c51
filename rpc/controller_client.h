#ifndef GREGOR_RPC_CONTROLLER_CLIENT_H_
#define GREGOR_RPC_CONTROLLER_CLIENT_H_

#include <grpcpp/grpcpp.h>

#include <condition_variable>
#include <map>
#include <memory>
#include <string>

#include "base/thread_annotations.h"
#include "controller/remote_controller.h"
#include "controller/remote_quorum.h"
#include "rpc/node_credentials.h"
#include "rpc/queue/call_queue.h"

namespace gregor {

// Other nodes' controllers over their internal listeners, with one connection to each, which is
// made when its address becomes known, and kept. A call is begun on a connection that stands, and
// never repeated: so where there is none it is certain that nothing was sent.
// Thread: any; what is called back runs on the queue's, or at once.
class ControllerClient final : public RemoteController, public RemoteQuorum {
 public:
  // By `queue`, which outlives it.
  ControllerClient(std::shared_ptr<NodeCredentials> credentials, CallQueue& queue);
  // As Shutdown().
  ~ControllerClient() override;

  // Where nodes listen for each other: "host:port". Takes the place of all that was known before;
  // calls that run go on.
  void SetAddresses(const std::map<NodeId, std::string>& addresses);

  void Execute(NodeId node, const internal::v1::OperationRequest& request, Duration timeout,
               Done done) override;
  void AskQuorum(NodeId node, const internal::v1::QuorumRequest& request, Duration timeout,
                 QuorumDone done) override;

  // Breaks calls off (UNKNOWN), refuses further ones, and returns when all `done` have run.
  // REQUIRES: not called by one of them.
  void Shutdown();

 private:
  struct Peer;

  // nullptr with the reason in `why` where nothing can be sent.
  std::shared_ptr<Peer> ConnectedPeer(NodeId node, std::string& why);
  // Begins a call of the node, if it is connected, by begin(peer, context, queue).
  template <typename Response, typename Begin>
  void Start(NodeId node, Duration timeout, Begin begin,
             UniqueFunction<void(Result<Response>)> done);
  void End(const std::shared_ptr<void>& call);
  void WaitUntilIdle();

  const std::shared_ptr<NodeCredentials> credentials_;
  CallQueue& queue_;
  Mutex mutex_;
  std::condition_variable idle_;
  std::map<NodeId, std::shared_ptr<Peer>> peers_ TS_GUARDED_BY(mutex_);
  // Those that run, and what breaks them off.
  std::map<std::shared_ptr<void>, grpc::ClientContext*> calls_ TS_GUARDED_BY(mutex_);
  bool is_shut_down_ TS_GUARDED_BY(mutex_) = false;
};

}  // namespace gregor

#endif  // GREGOR_RPC_CONTROLLER_CLIENT_H_
