#ifndef GREGOR_BROKER_GRPC_HOT_CALL_H_
#define GREGOR_BROKER_GRPC_HOT_CALL_H_

#include <grpcpp/grpcpp.h>
#include <grpcpp/support/async_unary_call.h>

#include <atomic>
#include <list>
#include <memory>
#include <string>

#include "base/bytes.h"
#include "base/result.h"
#include "broker/grpc/door.h"

namespace gregor {

// What one unary method counts.
struct UnaryMetrics {
  UnaryMetrics(Metrics& metrics, const std::string& method);
  MethodMetrics calls;
  LatencyHistogram& latency;
  Counter& received_bytes;
  Counter& sent_bytes;
};

// One call of a unary method, whose request and answer are raw messages. Lives as long as an
// operation or the broker holds it. Thread: the hot queue's, except Reply(), Fail() and Drop():
// any, where only the first counts.
class HotUnary : public std::enable_shared_from_this<HotUnary> {
 public:
  using Responder = grpc::ServerAsyncResponseWriter<grpc::ByteBuffer>;

  virtual ~HotUnary() = default;
  // Takes the next call of the method when it comes. Once. Thread: any.
  void Listen();
  // The broker had its time to answer. REQUIRES: it is one of the door's `endless`; it is not
  // after.
  void Expire();
  // Cuts the caller off if the call's answer holds memory for fetches, was given before `time`, and
  // has not left yet.
  void CutIfUntaken(MonotonicTime time);
  // The broker stops, and will not answer any more.
  void BreakOff();
  MonotonicTime arrived() const { return arrived_; }

 protected:
  HotUnary(std::shared_ptr<Door> door, UnaryMetrics& metrics)
      : door_(std::move(door)), metrics_(metrics), responder_(&context_) {}

  // Asks the service for a call of the method.
  virtual void Ask(grpc::ServerContext* context, grpc::ByteBuffer* request, Responder* responder,
                   grpc::ServerCompletionQueue* queue, void* tag) = 0;
  // Another one of the kind, to take the call after this one.
  virtual std::shared_ptr<HotUnary> Another() = 0;
  virtual void OnRequest(const Bytes& message) = 0;
  // The caller waits no longer, whether answered or not. Only where `notify_gone` was set.
  virtual void OnGone() {}
  // Whether something may have been done where no answer comes.
  virtual bool MayHaveWritten() const { return true; }

  // Its answer holds memory for fetches: who does not take it is cut off where that is short.
  // REQUIRES: called by the constructor.
  void SetHoldsFetchMemory() { holds_fetch_memory_ = true; }
  // `notify_gone` costs an event per call. REQUIRES: called by the constructor.
  void SetNotifyGone() { notify_gone_ = true; }
  // The call after this one is taken by ListenAgain(), not when this one comes: as many calls wait
  // for that as were listening at first. REQUIRES: called by the constructor; OnRequest() sees to
  // it that ListenAgain() is called once.
  void SetListensLater() { listens_later_ = true; }
  // Thread: any.
  void ListenAgain() { Another()->Listen(); }
  // Until the caller's deadline; of those without one, until the server's. Thread: any.
  Duration TimeLeft() const { return deadline_ - SystemClock().Now(); }
  // Whether no answer is of use any more; where the time is up the call fails. REQUIRES: nothing
  // was done for it yet. Thread: any.
  bool IsOver();
  std::string peer() const { return context_.peer(); }

  void Reply(const grpc::ByteBuffer& answer);
  void Fail(const Error& error);
  // With a status made of `error` and more.
  void Fail(const Error& error, const grpc::Status& status);
  // The caller is gone.
  void Drop();
  // The answer has left, or nobody takes it.
  virtual void OnFinished() {}

  Door& door() { return *door_; }
  const std::shared_ptr<Door>& shared_door() const { return door_; }

 private:
  void OnAccepted(bool ok);
  void OnDone(bool ok);
  void OnFinished(bool ok);
  void LeaveList();
  void FailUnanswered(Reason reason, const std::string& message);
  void FinishWith(const grpc::Status& status);

  const std::shared_ptr<Door> door_;  // first: goes last
  UnaryMetrics& metrics_;
  grpc::ServerContext context_;
  grpc::ByteBuffer request_;
  Responder responder_;
  bool notify_gone_ = false;
  bool holds_fetch_memory_ = false;
  bool listens_later_ = false;
  MonotonicTime arrived_;
  MonotonicTime deadline_;
  std::list<std::weak_ptr<HotUnary>>* list_ = nullptr;  // of the door
  std::list<std::weak_ptr<HotUnary>>::iterator place_;
  std::atomic<bool> answered_{false};
  std::atomic<MonotonicTime> replied_{};
  grpc::StatusCode code_ = grpc::OK;
  Operation<HotUnary> accept_{&HotUnary::OnAccepted};
  Operation<HotUnary> done_{&HotUnary::OnDone};
  Operation<HotUnary> finish_{&HotUnary::OnFinished};
};

}  // namespace gregor

#endif  // GREGOR_BROKER_GRPC_HOT_CALL_H_
