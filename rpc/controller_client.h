#ifndef GREGOR_RPC_CONTROLLER_CLIENT_H_
#define GREGOR_RPC_CONTROLLER_CLIENT_H_

#include <grpcpp/grpcpp.h>

#include <condition_variable>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "base/thread_annotations.h"
#include "controller/remote_controller.h"
#include "controller/remote_quorum.h"
#include "rpc/node_credentials.h"

namespace gregor {

// Other nodes' controllers over their internal listeners, with one connection to each, which is
// made when its address becomes known, and kept. A call is begun on a connection that stands, and
// never repeated: so where there is none it is certain that nothing was sent.
// Thread: any; what is called back runs on gRPC's.
class ControllerClient final : public RemoteController, public RemoteQuorum {
 public:
  explicit ControllerClient(std::shared_ptr<NodeCredentials> credentials);
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
  struct Call;
  template <typename Request, typename Response>
  struct TypedCall;

  // nullptr with the reason in `why` where nothing can be sent.
  std::shared_ptr<Peer> ConnectedPeer(NodeId node, std::string& why);
  // Begins it, if its node is connected, by begin(peer, call, on_status).
  template <typename Request, typename Response, typename Begin>
  void Start(const std::shared_ptr<TypedCall<Request, Response>>& call, Duration timeout,
             Begin begin);
  void End(const std::shared_ptr<Call>& call);
  void WaitUntilIdle();

  const std::shared_ptr<NodeCredentials> credentials_;
  Mutex mutex_;
  std::condition_variable idle_;
  std::map<NodeId, std::shared_ptr<Peer>> peers_ TS_GUARDED_BY(mutex_);
  std::set<std::shared_ptr<Call>> calls_ TS_GUARDED_BY(mutex_);
  bool is_shut_down_ TS_GUARDED_BY(mutex_) = false;
};

}  // namespace gregor

#endif  // GREGOR_RPC_CONTROLLER_CLIENT_H_
