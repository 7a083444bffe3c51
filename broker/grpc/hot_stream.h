#ifndef GREGOR_BROKER_GRPC_HOT_STREAM_H_
#define GREGOR_BROKER_GRPC_HOT_STREAM_H_

#include <grpcpp/grpcpp.h>
#include <grpcpp/support/async_stream.h>

#include <atomic>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"
#include "base/thread_annotations.h"
#include "broker/grpc/door.h"

namespace gregor {

// What one streaming method counts.
struct StreamMetrics {
  StreamMetrics(Metrics& metrics, const std::string& method);
  MethodMetrics calls;
  Gauge& open;
  Counter& received_bytes;
  Counter& sent_bytes;
};

// One call of a method that streams answers, which are raw messages: they leave one after another,
// in the order of Send(). Lives as long as an operation or the broker holds it. Thread: the hot
// queue's, unless said otherwise.
class HotStream : public std::enable_shared_from_this<HotStream> {
 public:
  virtual ~HotStream() = default;
  // Takes the next call of the method when it comes. Once. Thread: any.
  void Listen();
  // Called every so often: sends a sign of life where nothing was sent for long, and cuts off a
  // peer that takes nothing.
  void OnTick(MonotonicTime now, bool fetch_memory_is_short);
  // The broker stops, and will not answer any more.
  void BreakOff();

 protected:
  HotStream(std::shared_ptr<Door> door, StreamMetrics& metrics)
      : door_(std::move(door)), metrics_(metrics) {}

  // --- of the method ---

  // Asks the service for a call of the method.
  virtual void Ask(void* tag) = 0;
  // Another one of the kind, to take the call after this one.
  virtual std::shared_ptr<HotStream> Another() = 0;
  // The call is there.
  virtual void OnBegin() = 0;
  // The broker is about to stop. Thread: any.
  virtual void OnDrain(Duration close_in) = 0;
  // What says that the stream is alive; empty: nothing.
  virtual grpc::ByteBuffer SignOfLife() = 0;
  // A message has left, or the stream is broken: there is room for another one. `charge` is what
  // Queue() was given with it.
  virtual void OnSent(size_t charge) {}
  // The peer waits no longer; the call has to be ended. Only where `notify_gone` was set.
  virtual void OnGone() {}
  // It is over: nothing will be sent or received. Once.
  virtual void OnEnded() {}

  virtual void BeginWrite(const grpc::ByteBuffer& message, grpc::WriteOptions options,
                          void* tag) = 0;
  virtual void BeginFinish(const grpc::Status& status, void* tag) = 0;

  // --- for the method ---

  // REQUIRES: called by the constructor.
  void SetNotifyGone() { notify_gone_ = true; }
  // Dropped once the stream ends or is broken. Thread: any.
  void Send(grpc::ByteBuffer message) {
    Queue(std::move(message));
    Flush();
  }
  // The two halves of Send(), for several messages at a time, or to fix their order under a lock.
  void Queue(grpc::ByteBuffer message, size_t charge = 0);
  void Flush();
  // Messages that wait to be sent. Thread: any.
  size_t unsent_count() const;
  // Ends the call once all that was sent has left. The first counts. Thread: any.
  void End();
  void End(const Error& error);
  // By what a log line names the stream where it ends with an error; without it there is none.
  void SetName(std::string stream_id, std::string_view client_id);
  void SetSignsOfLife(Duration interval) { sign_of_life_interval_ = interval; }
  // A peer that has not taken a message for so long is cut off. Without it never: it may have
  // reasons.
  void SetStalledAfter(Duration limit) { stalled_after_ = limit; }
  // Its messages hold memory for answers: a peer that takes none is cut off where that is short.
  void SetHoldsFetchMemory() { holds_fetch_memory_ = true; }

  Door& door() { return *door_; }
  const std::shared_ptr<Door>& shared_door() const { return door_; }
  grpc::ServerContext& context() { return context_; }
  StreamMetrics& metrics() { return metrics_; }

 private:
  void OnAccepted(bool ok);
  void OnWritten(bool ok);
  void OnFinished(bool ok);
  void OnDone(bool ok) { OnGone(); }
  void EndWith(const grpc::Status& status, const Error* error);
  void LogEnd(const std::string& name, const Error& error) const;
  struct Message {
    grpc::ByteBuffer bytes;
    size_t charge = 0;
  };
  grpc::ByteBuffer TakeNext(bool* more) TS_REQUIRES(mutex_);
  void Write(const grpc::ByteBuffer& message, bool more);
  void Finish(const grpc::Status& status);

  const std::shared_ptr<Door> door_;  // first: goes last
  StreamMetrics& metrics_;
  grpc::ServerContext context_;
  bool notify_gone_ = false;
  Duration sign_of_life_interval_{0};  // 0: none
  Duration stalled_after_{0};          // 0: never
  bool holds_fetch_memory_ = false;
  std::shared_ptr<void> drain_watch_;
  std::atomic<MonotonicTime> last_sent_{};

  mutable Mutex mutex_;
  std::deque<Message> unsent_ TS_GUARDED_BY(mutex_);
  bool writing_ TS_GUARDED_BY(mutex_) = false;
  size_t writing_charge_ TS_GUARDED_BY(mutex_) = 0;
  bool broken_ TS_GUARDED_BY(mutex_) = false;
  std::optional<grpc::Status> end_ TS_GUARDED_BY(mutex_);
  std::string name_ TS_GUARDED_BY(mutex_);

  Operation<HotStream> accept_{&HotStream::OnAccepted};
  Operation<HotStream> done_{&HotStream::OnDone};
  Operation<HotStream> write_{&HotStream::OnWritten};
  Operation<HotStream> finish_{&HotStream::OnFinished};
};

// One whose request is a single message. Ends when its peer is gone. Thread: the hot queue's.
class HotServerStream : public HotStream {
 protected:
  using Rpc = grpc::ServerAsyncWriter<grpc::ByteBuffer>;

  HotServerStream(std::shared_ptr<Door> door, StreamMetrics& metrics)
      : HotStream(std::move(door), metrics), rpc_(&context()) {
    SetNotifyGone();
  }

  virtual void OnRequest(const Bytes& message) = 0;

  grpc::ByteBuffer* request() { return &request_; }
  Rpc* rpc() { return &rpc_; }

  void OnBegin() final;
  void OnGone() override { End(); }
  void BeginWrite(const grpc::ByteBuffer& message, grpc::WriteOptions options, void* tag) final {
    rpc_.Write(message, options, tag);
  }
  void BeginFinish(const grpc::Status& status, void* tag) final { rpc_.Finish(status, tag); }

 private:
  Rpc rpc_;
  grpc::ByteBuffer request_;
};

// One that also streams requests. Thread: the hot queue's.
class HotBidiStream : public HotStream {
 protected:
  using Rpc = grpc::ServerAsyncReaderWriter<grpc::ByteBuffer, grpc::ByteBuffer>;

  HotBidiStream(std::shared_ptr<Door> door, StreamMetrics& metrics)
      : HotStream(std::move(door), metrics), rpc_(&context()) {}

  virtual void OnMessage(const Bytes& message) = 0;
  // No more messages come: the peer has said so, or is gone.
  virtual void OnReadEnd() = 0;

  // Takes the next message. REQUIRES: none is being waited for. Thread: any.
  void BeginRead();
  Rpc* rpc() { return &rpc_; }

  void BeginWrite(const grpc::ByteBuffer& message, grpc::WriteOptions options, void* tag) final {
    rpc_.Write(message, options, tag);
  }
  void BeginFinish(const grpc::Status& status, void* tag) final { rpc_.Finish(status, tag); }

 private:
  void OnRead(bool ok);

  Rpc rpc_;
  grpc::ByteBuffer message_;
  Operation<HotBidiStream> read_{&HotBidiStream::OnRead};
};

}  // namespace gregor

#endif  // GREGOR_BROKER_GRPC_HOT_STREAM_H_
