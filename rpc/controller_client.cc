#include "rpc/controller_client.h"

#include <grpc/support/time.h>

#include <algorithm>
#include <utility>

#include "gregor/internal/v1/controller.grpc.pb.h"
#include "gregor/internal/v1/quorum.grpc.pb.h"
#include "rpc/node_channel.h"
#include "rpc/queue/client_call.h"

namespace gregor {
namespace {

// More than a topic's records in an answer take.
constexpr int kAnswerBytesMax = 32 << 20;

// One that is cut off while calls are on their way: the quorum has another leader then.
constexpr Duration kKeepaliveTimeout = std::chrono::seconds(2);
// What has not come about in this time is begun anew: the node may be somewhere else by now.
constexpr Duration kConnectTimeout = std::chrono::seconds(2);

MonotonicTime Now() { return SystemClock().Now(); }

Error NotSent(const std::string& why) {
  return Error(Reason::kNotController, why).With("outcome", "NOT_APPLIED");
}

// There was no connection any more when the call was to be sent, and a new one did not come about.
bool WasNotSent(const grpc::Status& status) {
  return status.error_code() == grpc::StatusCode::UNAVAILABLE &&
         status.error_message().find("failed to connect to all addresses") != std::string::npos;
}

Error Failed(NodeId node, const grpc::Status& status) {
  const std::string name = "node " + std::to_string(node.value);
  if (WasNotSent(status)) {
    return NotSent(name + ", the active controller, cannot be reached (" + status.error_message() +
                   ")");
  }
  switch (status.error_code()) {
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      return Error(Reason::kCommitTimedOut,
                   name +
                       ", the active controller, has not answered in time; whether the "
                       "operation took place is not known: look, then retry")
          .With("outcome", "UNKNOWN");
    case grpc::StatusCode::UNIMPLEMENTED:
      return Error(Reason::kUnsupportedVersion,
                   name +
                       ", the active controller, takes no operations of other nodes: run the "
                       "same version everywhere")
          .With("outcome", "NOT_APPLIED");
    default:
      return Error(Reason::kNotController,
                   name + ", the active controller, was lost before it answered (" +
                       status.error_message() +
                       "); whether the operation took place is not "
                       "known: look, then retry")
          .With("outcome", "UNKNOWN");
  }
}

}  // namespace

struct ControllerClient::Peer {
  Peer(NodeId node, const std::string& address, NodeCredentials& credentials)
      : address(address),
        made(Now()),
        channel(CreateNodeChannel(
            address, node, credentials,
            {.receive_bytes_max = kAnswerBytesMax, .keepalive_timeout = kKeepaliveTimeout})),
        stub(internal::v1::ControllerService::NewStub(channel)),
        quorum(internal::v1::QuorumService::NewStub(channel)) {
    channel->GetState(/*try_to_connect=*/true);
  }

  std::string address;
  MonotonicTime made;
  // There is no retry policy: who asks knows what may be repeated. gRPC itself begins a call anew
  // where it knows that no server has seen it, as when the connection was about to be closed.
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<internal::v1::ControllerService::Stub> stub;
  std::unique_ptr<internal::v1::QuorumService::Stub> quorum;
};

ControllerClient::ControllerClient(std::shared_ptr<NodeCredentials> credentials, CallQueue& queue)
    : credentials_(std::move(credentials)), queue_(queue) {}

ControllerClient::~ControllerClient() { Shutdown(); }

void ControllerClient::SetAddresses(const std::map<NodeId, std::string>& addresses) {
  const MutexLock lock(mutex_);
  if (is_shut_down_) return;
  std::erase_if(peers_, [&](const auto& known) {
    const auto now = addresses.find(known.first);
    return now == addresses.end() || now->second != known.second->address;
  });
  for (const auto& [node, address] : addresses) {
    std::shared_ptr<Peer>& peer = peers_[node];
    if (peer != nullptr) continue;
    peer = std::make_shared<Peer>(node, address, *credentials_);
  }
}

std::shared_ptr<ControllerClient::Peer> ControllerClient::ConnectedPeer(NodeId node,
                                                                        std::string& why) {
  const std::string name = "node " + std::to_string(node.value);
  const MutexLock lock(mutex_);
  const auto known = peers_.find(node);
  if (known == peers_.end()) {
    why = "the address of " + name + ", the active controller, is not known";
    return nullptr;
  }
  std::shared_ptr<Peer>& peer = known->second;
  if (peer->channel->GetState(/*try_to_connect=*/false) == GRPC_CHANNEL_READY) return peer;
  if (Now() - peer->made >= kConnectTimeout) {
    peer = std::make_shared<Peer>(node, peer->address, *credentials_);
  } else {
    peer->channel->GetState(/*try_to_connect=*/true);
  }
  why = name + ", the active controller, cannot be reached at " + peer->address;
  return nullptr;
}

void ControllerClient::Execute(NodeId node, const internal::v1::OperationRequest& request,
                               Duration timeout, Done done) {
  internal::v1::OperationRequest timed = request;
  timed.set_timeout_ms(
      std::max<int64_t>(1, std::chrono::duration_cast<std::chrono::milliseconds>(timeout).count()));
  Start<internal::v1::OperationResponse>(
      node, timeout,
      [&](Peer& peer, grpc::ClientContext* context, grpc::CompletionQueue* queue) {
        return peer.stub->AsyncExecute(context, timed, queue);
      },
      std::move(done));
}

void ControllerClient::AskQuorum(NodeId node, const internal::v1::QuorumRequest& request,
                                 Duration timeout, QuorumDone done) {
  Start<internal::v1::QuorumResponse>(
      node, timeout,
      [&](Peer& peer, grpc::ClientContext* context, grpc::CompletionQueue* queue) {
        return peer.quorum->AsyncExecute(context, request, queue);
      },
      std::move(done));
}

template <typename Response, typename Begin>
void ControllerClient::Start(NodeId node, Duration timeout, Begin begin,
                             UniqueFunction<void(Result<Response>)> done) {
  std::string why;
  const std::shared_ptr<Peer> peer = ConnectedPeer(node, why);
  if (peer == nullptr) return done(NotSent(why));
  const auto call = std::make_shared<UnaryCall<Response>>();
  call->context().set_deadline(gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                                            gpr_time_from_nanos(timeout.count(), GPR_TIMESPAN)));
  bool is_late = false;
  {
    const MutexLock lock(mutex_);
    is_late = is_shut_down_;
    if (!is_late) calls_[call] = &call->context();
  }
  if (is_late) return done(NotSent("this node stops: try another one"));
  call->Start(
      queue_,
      [&](grpc::ClientContext* context, grpc::CompletionQueue* queue) {
        return begin(*peer, context, queue);
      },
      [this, node, peer, id = std::weak_ptr<void>(call), done = std::move(done)](
          const grpc::Status& status, Response response) mutable {
        if (status.ok()) {
          done(std::move(response));
        } else {
          done(Failed(node, status));
        }
        // Before Shutdown() returns.
        done = nullptr;
        End(id.lock());
      });
}

void ControllerClient::End(const std::shared_ptr<void>& call) {
  const MutexLock lock(mutex_);
  calls_.erase(call);
  idle_.notify_all();
}

void ControllerClient::Shutdown() {
  {
    const MutexLock lock(mutex_);
    is_shut_down_ = true;
    // Safe for one that has yet to begin: it ends when it does.
    for (const auto& [call, context] : calls_) context->TryCancel();
  }
  WaitUntilIdle();
  const MutexLock lock(mutex_);
  peers_.clear();
}

void ControllerClient::WaitUntilIdle() TS_NO_ANALYSIS {
  std::unique_lock<std::mutex> lock(mutex_.native());
  while (!calls_.empty()) idle_.wait(lock);
}

}  // namespace gregor
