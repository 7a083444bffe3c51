#ifndef GREGOR_CONTROLLER_QUORUM_ROUTER_H_
#define GREGOR_CONTROLLER_QUORUM_ROUTER_H_

#include <memory>
#include <optional>
#include <set>
#include <string>

#include "base/event_loop.h"
#include "controller/controller.h"
#include "controller/image/quorum_api.h"
#include "controller/quorum_server.h"
#include "controller/remote_quorum.h"

namespace gregor {

// Takes what this node is asked of the metadata quorum to whoever leads it: its own controller, or
// another node. While nobody leads, or whoever was asked has certainly done nothing, it tries again
// until the time is up. Thread: as QuorumApi; the rest belongs to the controller loop.
class QuorumRouter final : public QuorumApi {
 public:
  struct Options {
    EventLoop* loop = nullptr;         // the controller loop
    Controller* controller = nullptr;  // of this node
    RemoteQuorum* remote = nullptr;    // nullptr: there are no others
    NodeId node_id{-1};
    ClusterId cluster;
  };
  // REQUIRES: all that the options name outlives it; the loop outlives whatever `remote` has yet to
  // answer.
  explicit QuorumRouter(Options options);
  // REQUIRES: closed, or the loop has stopped.
  ~QuorumRouter() override;

  NodeId leader() const override { return options_.controller->leader().leader; }
  void Describe(Done<DescribedQuorum> done, const OperationContext& context) override;
  void AddVoter(ChangeVoter change, Done<void> done, const OperationContext& context) override;
  void RemoveVoter(ChangeVoter change, Done<void> done, const OperationContext& context) override;
  void Transfer(std::optional<NodeId> to, Done<NodeId> done,
                const OperationContext& context) override;

  // Answers what waits; nothing may be asked afterwards. `done` runs on the loop. Thread: any.
  void Close(Task done);

 private:
  using Request = internal::v1::QuorumRequest;
  using Response = internal::v1::QuorumResponse;
  struct Call {
    Request request;
    MonotonicTime deadline;
    Done<Response> done;
    bool is_asked = false;         // somebody was, and has not answered
    std::optional<Error> refused;  // of the last try
  };
  using CallPtr = std::shared_ptr<Call>;

  void Submit(Request request, const OperationContext& context, Done<Response> done);
  void Try(const CallPtr& call);
  void OnResponse(const CallPtr& call, Result<Response> response);
  void Finish(const CallPtr& call, Result<Response> response);

  const Options options_;
  QuorumServer own_;
  std::set<CallPtr> calls_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace gregor

#endif  // GREGOR_CONTROLLER_QUORUM_ROUTER_H_
