#include "client/io_loop.h"

#include <grpc/support/time.h>
#include <grpcpp/alarm.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <pthread.h>

#include <atomic>
#include <thread>
#include <unordered_set>
#include <utility>

#include "base/check.h"
#include "client/grpc_adapter.h"

namespace gregor {
namespace {

using grpc::ByteBuffer;

constexpr int kEventsPerTurn = 64;
constexpr Duration kWaitMax = std::chrono::hours(1);
// How long a server has to end the streams of a loop that ends.
constexpr Duration kLeaveMax = std::chrono::seconds(1);

gpr_timespec InGrpcTime(Duration from_now) {
  return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                      gpr_time_from_nanos(from_now.count(), GPR_TIMESPAN));
}

// From now until `time`, which may be the first or the last there is.
Duration WaitUntil(MonotonicTime time) {
  const MonotonicTime now = SystemClock().Now();
  if (time <= now) return Duration(0);
  return time - now < kWaitMax ? time - now : kWaitMax;
}

// A unary call's answer.
class Answer final : public IoStream::Events {
 public:
  explicit Answer(std::function<void(Result<Bytes>)> done) : done_(std::move(done)) {}
  void OnMessage(Bytes message) override { message_ = std::move(message); }
  void OnClosed(Result<void> end) override {
    if (!end.ok()) return done_(std::move(end).error());
    done_(std::move(message_));
  }

 private:
  const std::function<void(Result<Bytes>)> done_;
  Bytes message_;
};

// One call. It lives until the completion queue has given back all of its tags.
class StreamCall final : public IoStream {
 public:
  StreamCall(const Channel& channel, const std::string& method, Events& events,
             std::optional<Duration> timeout, grpc::CompletionQueue& queue)
      : address_(channel.address()), events_(&events) {
    if (timeout.has_value()) context_.set_deadline(InGrpcTime(*timeout));
    grpc::GenericStub stub(GrpcOf(channel));
    stream_ = stub.PrepareCall(&context_, method, &queue);
    Begin(start_);
    stream_->StartCall(&start_);
  }

  // What the queue gives back: which operation of which call is done.
  struct Tag {
    StreamCall* call;
    void (StreamCall::*done)(bool ok);
    bool pending = false;
  };

  void Write(const Bytes& message) override {
    CHECK(!waiting_.has_value() && !write_.pending);
    if (start_.pending) {
      waiting_ = ToGrpc(message);
      return;
    }
    Begin(write_);
    stream_->Write(ToGrpc(message), &write_);
  }
  void WritesDone() override {
    writes_done_ = true;
    if (start_.pending || waiting_.has_value()) {
      half_close_ = true;
      return;
    }
    Begin(half_closed_);
    stream_->WritesDone(&half_closed_);
  }
  void Cancel() override { context_.TryCancel(); }

  void Own(std::unique_ptr<Events> events) { owned_events_ = std::move(events); }

  // Says nothing more, and lets the server end it: it cannot tell a client that is done from one
  // that has failed where the call is cancelled. One that waits for an answer is cancelled.
  void Leave() {
    events_ = nullptr;
    if (writes_done_ || start_.pending) return context_.TryCancel();
    if (write_.pending) {
      half_close_ = true;  // after what is being written
    } else {
      WritesDone();
    }
  }
  // True: nothing of it is in the queue any more; it can be deleted.
  bool OnTag(Tag& tag, bool ok) {
    tag.pending = false;
    --pending_count_;
    (this->*tag.done)(ok);
    if (pending_count_ > 0) return false;
    if (events_ != nullptr) {
      events_->OnClosed(status_.ok() ? Result<void>() : ErrorOfCall(address_, status_));
    }
    return true;
  }

 private:
  void Begin(Tag& tag) {
    CHECK(!tag.pending);
    tag.pending = true;
    ++pending_count_;
  }
  void ReadNext() {
    Begin(read_);
    stream_->Read(&incoming_, &read_);
  }
  void Finish() {
    Begin(finish_);
    stream_->Finish(&status_, &finish_);
  }

  void OnStarted(bool ok) {
    if (!ok) return Finish();
    ReadNext();
    if (waiting_.has_value()) {
      Begin(write_);
      stream_->Write(*waiting_, &write_);
    } else if (half_close_) {
      WritesDone();
    }
  }
  void OnWritten(bool ok) {
    waiting_.reset();
    if (half_close_ && ok) {
      Begin(half_closed_);
      stream_->WritesDone(&half_closed_);
      half_close_ = false;
    }
    // Where it failed the read fails, too, and tells why.
    if (events_ != nullptr) events_->OnWritten();
  }
  void OnRead(bool ok) {
    if (!ok) return Finish();
    Bytes message = FromGrpc(incoming_);
    ReadNext();
    if (events_ != nullptr) events_->OnMessage(std::move(message));
  }
  void OnHalfClosed(bool) {}
  void OnFinished(bool) {}

  const std::string address_;
  Events* events_;  // nullptr: nobody listens any more
  std::unique_ptr<Events> owned_events_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> stream_;
  grpc::Status status_;
  ByteBuffer incoming_;
  std::optional<ByteBuffer> waiting_;  // the first message, until the call has started
  bool half_close_ = false;            // after `waiting_`, or what is being written
  bool writes_done_ = false;
  int pending_count_ = 0;
  Tag start_{this, &StreamCall::OnStarted};
  Tag read_{this, &StreamCall::OnRead};
  Tag write_{this, &StreamCall::OnWritten};
  Tag half_closed_{this, &StreamCall::OnHalfClosed};
  Tag finish_{this, &StreamCall::OnFinished};
};

class GrpcLoop final : public IoLoop {
 public:
  GrpcLoop(std::string thread_name, Turn turn) : turn_(std::move(turn)) {
    thread_ = std::thread([this, name = std::move(thread_name)] {
      pthread_setname_np(pthread_self(), name.c_str());
      Run();
    });
  }
  ~GrpcLoop() override {
    Wake();
    thread_.join();
  }

  void Wake() override {
    // One alarm at a time: it may be set again once its tag was given back. A time long past makes
    // it go off here and now; the present is rounded up to the next millisecond.
    if (!woken_.exchange(true)) alarm_.Set(&queue_, gpr_inf_past(GPR_CLOCK_MONOTONIC), nullptr);
  }

  IoStream& Open(const Channel& channel, const std::string& method, IoStream::Events& events,
                 std::optional<Duration> timeout) override {
    return *Add(new StreamCall(channel, method, events, timeout, queue_));
  }
  void Call(const Channel& channel, const std::string& method, const Bytes& request,
            Duration timeout, std::function<void(Result<Bytes>)> done) override {
    auto answer = std::make_unique<Answer>(std::move(done));
    StreamCall* const call = Add(new StreamCall(channel, method, *answer, timeout, queue_));
    call->Own(std::move(answer));
    call->Write(request);
    call->WritesDone();
  }

 private:
  StreamCall* Add(StreamCall* call) {
    calls_.insert(call);
    return call;
  }

  void Run() {
    while (const auto next = turn_(*this)) {
      const Duration wait = WaitUntil(*next);
      void* tag = nullptr;
      bool ok = false;
      auto got = queue_.AsyncNext(&tag, &ok, InGrpcTime(wait));
      for (int i = 0; got == grpc::CompletionQueue::GOT_EVENT; ++i) {
        Dispatch(tag, ok);
        if (i == kEventsPerTurn) break;
        got = queue_.AsyncNext(&tag, &ok, gpr_time_0(GPR_CLOCK_MONOTONIC));
      }
    }
    for (StreamCall* const call : calls_) call->Leave();
    // Nobody sets the alarm any more; if somebody has, its tag is still to come.
    alarm_pending_ = woken_.exchange(true);
    stopped_ = true;
    void* tag = nullptr;
    bool ok = false;
    const gpr_timespec leave_until = InGrpcTime(kLeaveMax);
    while (!calls_.empty() &&
           queue_.AsyncNext(&tag, &ok, leave_until) == grpc::CompletionQueue::GOT_EVENT) {
      Dispatch(tag, ok);
    }
    for (StreamCall* const call : calls_) call->Cancel();
    while ((alarm_pending_ || !calls_.empty()) && queue_.Next(&tag, &ok)) Dispatch(tag, ok);
    queue_.Shutdown();
    CHECK(!queue_.Next(&tag, &ok));
  }

  void Dispatch(void* tag, bool ok) {
    if (tag == nullptr) {
      alarm_pending_ = false;
      if (!stopped_) woken_ = false;
      return;
    }
    auto& done = *static_cast<StreamCall::Tag*>(tag);
    StreamCall* const call = done.call;
    if (!call->OnTag(done, ok)) return;
    calls_.erase(call);
    delete call;
  }

  const Turn turn_;
  grpc::CompletionQueue queue_;
  grpc::Alarm alarm_;
  std::atomic<bool> woken_{false};  // the alarm is set, or was and its tag is still to come
  bool alarm_pending_ = false;
  bool stopped_ = false;
  std::unordered_set<StreamCall*> calls_;
  std::thread thread_;
};

}  // namespace

std::unique_ptr<IoLoop> IoLoop::Start(std::string thread_name, Turn turn) {
  return std::make_unique<GrpcLoop>(std::move(thread_name), std::move(turn));
}

}  // namespace gregor
