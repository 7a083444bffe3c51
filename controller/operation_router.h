#ifndef GREGOR_CONTROLLER_OPERATION_ROUTER_H_
#define GREGOR_CONTROLLER_OPERATION_ROUTER_H_

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/event_loop.h"
#include "base/metrics.h"
#include "controller/controller.h"
#include "controller/image/controller_api.h"
#include "controller/remote_controller.h"

namespace gregor {

// Takes the operations that this node is asked for to the active controller: to its own where that
// leads, else, once, to the node that does; and answers when this node's image has what came of it.
// While nobody is known to lead, or whoever is asked has certainly not begun, it tries again until
// the time is up. What may have begun is never tried again: its caller learns that the outcome is
// UNKNOWN, also where the node that was asked stays silent, and another one leads since a second.
// Thread: as ControllerApi; what has no note belongs to the controller loop.
class OperationRouter final : public ControllerApi {
 public:
  struct Options {
    EventLoop* loop = nullptr;           // the controller loop
    Controller* controller = nullptr;    // of this node
    RemoteController* remote = nullptr;  // the others
    NodeId node_id{-1};
    ClusterId cluster;
    // Further ones fail with kQuotaExceeded, NOT_APPLIED, unless IsUrgent() has them taken.
    size_t operations_queued_max = 10'000;
    Metrics* metrics = nullptr;
  };
  // Thread: any. REQUIRES: all that the options name outlives it; the loop outlives whatever
  // `remote` has yet to answer.
  explicit OperationRouter(Options options);
  // REQUIRES: closed, or the loop has stopped.
  ~OperationRouter() override;

  void Execute(MetadataOperation operation, const OperationContext& context,
               OperationDone done) override;

  // Answers what waits, and what is asked afterwards, with kNotController. `done` runs on the loop.
  // Thread: any.
  void Close(Task done);

 private:
  enum class State {
    kWaiting,  // for somebody to ask
    kAsked,    // the own controller, or another node
    kCatching  // up: answered, by what this node's image has yet to reach
  };
  struct Entry {
    MetadataOperation operation;
    std::string principal;
    MonotonicTime deadline;
    OperationDone done;
    bool is_counted = true;  // in the metrics: what brokers live by would drown the rest

    State state = State::kWaiting;
    std::unique_ptr<internal::v1::OperationRequest> request;    // once it was to be sent
    std::unique_ptr<internal::v1::OperationResponse> response;  // while it is kCatching
    Offset visible{0};                                          // with `response`
    // Of the last try that came to nothing.
    QuorumLeader tried;
    std::optional<Error> refused;
    Duration backoff{0};
    MonotonicTime retry_at;
    // While another node is asked: who, and since when another one is known to lead.
    QuorumLeader asked;
    std::optional<MonotonicTime> replaced_at;
  };
  using Id = uint64_t;  // of an entry; in the order of the calls

  void Take(Entry entry, bool is_full);

  QuorumLeader Leader() const;
  // Whether somebody can be asked, given who leads.
  bool CanTry(const QuorumLeader& leader) const;
  void Try(Id id);
  void AskOwn(Id id, const QuorumLeader& leader);
  void Send(Id id, const QuorumLeader& leader);
  Result<void> Encode(Entry& entry) const;
  void OnOwnAnswer(Id id, const QuorumLeader& leader, Result<OperationAnswer> answer);
  void OnResponse(Id id, const QuorumLeader& leader,
                  Result<internal::v1::OperationResponse> response);
  void TryLater(Id id, const QuorumLeader& leader, const Error& refused);
  void OnImage(Offset version);
  void AnswerCaughtUp();
  void AnswerFromImage(Id id);
  void Finish(Id id, Result<OperationAnswer> answer);
  void StartTimer();
  void OnTimer();
  // Whether another node leads, and whoever was asked has had time to answer since. REQUIRES: that
  // was in an earlier term.
  bool IsForsaken(Entry& entry, const QuorumLeader& leader, MonotonicTime now) const;
  static Error TimeIsUp(const Entry& entry);
  static Error Forsaken(const Entry& entry, const QuorumLeader& leader);

  const Options options_;
  Gauge& waiting_count_;
  Counter& forwarded_;
  Counter& unknown_;
  std::map<Id, Entry> entries_;
  Id last_id_ = 0;
  std::set<Id> waiting_;                      // those that are kWaiting
  std::set<std::pair<Term, Id>> sent_;        // those of which another node is asked, by its term
  std::set<std::pair<Offset, Id>> catching_;  // those that are kCatching, by `visible`
  QuorumLeader told_;                         // the newest leader that other nodes spoke of
  std::optional<TimerId> timer_;
  std::shared_ptr<void> watch_;
  std::atomic<size_t> queued_count_{0};  // between call and answer; any thread
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace gregor

#endif  // GREGOR_CONTROLLER_OPERATION_ROUTER_H_
