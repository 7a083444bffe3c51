#include "broker/grpc/hot_stream.h"

#include <glog/logging.h>

#include <utility>

#include "broker/grpc/byte_buffer.h"
#include "broker/grpc/status.h"

namespace gregor {
namespace {

// Of what a client says of itself.
constexpr size_t kClientIdBytesMax = 64;
constexpr size_t kLogBytesMax = 512;

}  // namespace

StreamMetrics::StreamMetrics(Metrics& metrics, const std::string& method)
    : calls(metrics, method),
      open(calls.AddOpen()),
      received_bytes(
          calls.AddBytes("gregor_grpc_received_bytes_total", "Bytes of messages received.")),
      sent_bytes(calls.AddBytes("gregor_grpc_sent_bytes_total", "Bytes of messages sent.")) {}

void HotStream::Listen() {
  door_->queue.Begin([&] {
    if (notify_gone_) context_.AsyncNotifyWhenDone(done_.Begin(shared_from_this()));
    Ask(accept_.Begin(shared_from_this()));
  });
}

void HotStream::OnAccepted(bool ok) {
  if (!ok) return done_.Forget();  // the server shuts down; it says so of this tag only
  Another()->Listen();
  metrics_.open.Add(1);
  last_sent_.store(SystemClock().Now(), std::memory_order_relaxed);
  door_->streams.insert_or_assign(this, weak_from_this());
  drain_watch_ = door_->drain->Watch([weak = weak_from_this()](Duration close_in) {
    if (const auto stream = weak.lock()) stream->OnDrain(close_in);
  });
  OnBegin();
}

void HotStream::OnTick(MonotonicTime now, bool fetch_memory_is_short) {
  // In this order: what was queued meanwhile has set the time before it is counted.
  const bool is_sending = unsent_count() > 0;
  const Duration silent = now - last_sent_.load(std::memory_order_relaxed);
  if (is_sending) {
    const Duration limit = holds_fetch_memory_ && fetch_memory_is_short
                               ? door_->options.fetch_stalled_after
                               : stalled_after_;
    if (limit == Duration(0) || silent < limit) return;
    LOG_EVERY_T(INFO, 1) << "A client at " << context_.peer() << " takes no messages of "
                         << metrics_.calls.method() << ": its stream is cut off";
    return context_.TryCancel();
  }
  if (sign_of_life_interval_ == Duration(0) || silent < sign_of_life_interval_) return;
  if (auto sign = SignOfLife(); sign.Valid()) Send(std::move(sign));
}

void HotStream::BreakOff() {
  End(Error(Reason::kServerDraining,
            "the broker stops: go on at another one; what it has not answered may have been done"));
}

void HotStream::Queue(grpc::ByteBuffer message, size_t charge) {
  const MutexLock lock(mutex_);
  if (broken_ || end_.has_value()) return;
  if (unsent_.empty() && !writing_)
    last_sent_.store(SystemClock().Now(), std::memory_order_relaxed);
  unsent_.push_back({std::move(message), charge});
}

void HotStream::Flush() {
  grpc::ByteBuffer next;
  bool more;
  {
    const MutexLock lock(mutex_);
    if (writing_ || unsent_.empty()) return;
    writing_ = true;
    next = TakeNext(&more);
  }
  Write(next, more);
}

grpc::ByteBuffer HotStream::TakeNext(bool* more) {
  grpc::ByteBuffer next = std::move(unsent_.front().bytes);
  writing_charge_ = unsent_.front().charge;
  unsent_.pop_front();
  *more = !unsent_.empty();
  return next;
}

size_t HotStream::unsent_count() const {
  const MutexLock lock(mutex_);
  return unsent_.size() + (writing_ ? 1 : 0);
}

void HotStream::Write(const grpc::ByteBuffer& message, bool more) {
  last_sent_.store(SystemClock().Now(), std::memory_order_relaxed);
  metrics_.sent_bytes.Add(message.Length());
  grpc::WriteOptions options;
  // More follows at once, so several messages leave in one write to the socket.
  if (more) options.set_buffer_hint();
  door_->queue.Begin([&] { BeginWrite(message, options, write_.Begin(shared_from_this())); });
}

void HotStream::OnWritten(bool ok) {
  grpc::ByteBuffer next;
  std::optional<grpc::Status> end;
  bool more = false;
  size_t charge;
  {
    const MutexLock lock(mutex_);
    charge = writing_charge_;
    if (!ok) {
      broken_ = true;
      unsent_.clear();
      if (!end_.has_value()) end_ = grpc::Status::CANCELLED;
    }
    if (!unsent_.empty()) {
      next = TakeNext(&more);
    } else {
      writing_ = false;
      end = end_;
    }
  }
  if (next.Valid()) {
    Write(next, more);
  } else if (end.has_value()) {
    Finish(*end);
  }
  OnSent(charge);
}

void HotStream::End() { EndWith(grpc::Status::OK, nullptr); }

void HotStream::End(const Error& error) { EndWith(ToStatus(error), &error); }

void HotStream::SetName(std::string stream_id, std::string_view client_id) {
  const MutexLock lock(mutex_);
  name_ = std::move(stream_id);
  if (!client_id.empty()) name_ += " of \"" + Printable(client_id, kClientIdBytesMax) + "\"";
}

void HotStream::EndWith(const grpc::Status& status, const Error* error) {
  std::string name;
  bool sending;
  {
    const MutexLock lock(mutex_);
    if (end_.has_value()) return;
    end_ = status;
    name = name_;
    // Trailers are sent with the end, which nobody begins before the lock is released.
    if (error != nullptr) AddReasonTrailer(context_, *error);
    sending = writing_ || !unsent_.empty();  // finishes once they have left
  }
  if (error != nullptr && !name.empty()) LogEnd(name, *error);
  if (!sending) Finish(status);
}

void HotStream::LogEnd(const std::string& name, const Error& error) const {
  // Clients decide how often that happens.
  LOG_EVERY_T(INFO, 1) << "Stream " << name << " at " << context_.peer() << " ended with "
                       << Printable(error.ToString(), kLogBytesMax);
}

void HotStream::Finish(const grpc::Status& status) {
  door_->queue.Begin([&] { BeginFinish(status, finish_.Begin(shared_from_this())); });
}

void HotStream::OnFinished(bool ok) {
  grpc::StatusCode code = grpc::CANCELLED;
  {
    const MutexLock lock(mutex_);
    if (ok && !broken_) code = end_->error_code();
    unsent_.clear();
  }
  drain_watch_ = nullptr;
  door_->streams.erase(this);
  metrics_.open.Add(-1);
  metrics_.calls.Ended(code);
  OnEnded();
}

void HotServerStream::OnBegin() {
  metrics().received_bytes.Add(request_.Length());
  Bytes message;
  if (!TakeMessage(request_, &message))
    return End(Error(Reason::kInvalidArgument, "the request cannot be decompressed"));
  OnRequest(message);
}

void HotBidiStream::BeginRead() {
  door().queue.Begin([&] {
    rpc_.Read(&message_, read_.Begin(std::static_pointer_cast<HotBidiStream>(shared_from_this())));
  });
}

void HotBidiStream::OnRead(bool ok) {
  if (!ok) return OnReadEnd();
  metrics().received_bytes.Add(message_.Length());
  Bytes message;
  if (!TakeMessage(message_, &message)) {
    return End(Error(Reason::kInvalidArgument, "a message of the stream cannot be decompressed"));
  }
  OnMessage(message);
}

}  // namespace gregor
