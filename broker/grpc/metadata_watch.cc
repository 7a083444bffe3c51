#include "broker/grpc/metadata_watch.h"

#include <grpc/support/time.h>
#include <grpcpp/alarm.h>

#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/thread_annotations.h"
#include "broker/grpc/convert.h"
#include "broker/grpc/metadata_diff.h"
#include "broker/grpc/status.h"
#include "broker/grpc/unary_call.h"
#include "gregor/v1/cluster.pb.h"

namespace gregor {
namespace {

using Message = v1::WatchMetadataResponse;
using Reactor = grpc::ServerWriteReactor<grpc::ByteBuffer>;

// Beyond so many changed topics a stream compares all of them instead.
constexpr size_t kChangedMax = 1000;

gpr_timespec InThe(Duration future) {
  const auto ns = std::chrono::duration_cast<std::chrono::nanoseconds>(future).count();
  return gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_nanos(ns, GPR_TIMESPAN));
}

// A stream that could not begin.
class FailedStream final : public Reactor {
 public:
  FailedStream(grpc::CallbackServerContext& context, WatchNumbers& numbers, const Error& error) {
    AddReasonTrailer(context, error);
    const grpc::Status status = ToStatus(error);
    numbers.Ended(status.error_code());
    Finish(status);
  }
  void OnDone() override { delete this; }
};

// What a stream is told, until it gets round to it.
struct Changes {
  bool all = false;
  std::set<std::string> topics;
  bool brokers = false;

  bool empty() const { return !all && topics.empty() && !brokers; }
  void Add(const std::string& topic) {
    if (all) return;
    topics.insert(topic);
    if (topics.size() <= kChangedMax) return;
    all = true;
    topics.clear();
  }
};

// One stream. At any time at most one message is being built or written; who does it is the writer,
// and owns what says so. Everything else is under the lock. gRPC holds it until OnDone(); observers
// and alarms, which may outlive that, hold it weakly.
class Stream final : public Reactor, public std::enable_shared_from_this<Stream> {
 public:
  Stream(BrokerApi& broker, grpc::CallbackServerContext& context, const ControlOptions& options,
         std::unique_ptr<TopicFilter> filter, std::shared_ptr<WatchNumbers> numbers)
      : broker_(broker),
        options_(options),
        filter_(std::move(filter)),
        numbers_(std::move(numbers)),
        context_(&context),
        last_progress_(SystemClock().Now()) {}

  void Begin(DrainSignal& drain) {
    self_ = shared_from_this();
    // Watching comes first, so that nothing falls between the first state and the changes.
    watch_ = broker_.Watch([weak = weak_from_this()](const MetadataDelta& delta) {
      if (const auto self = weak.lock()) self->OnMetadata(delta);
    });
    drain_watch_ = drain.Watch([weak = weak_from_this()](Duration close_in) {
      if (const auto self = weak.lock()) self->OnDrain(close_in);
    });
    Tick();
    Advance();
  }

 private:
  void OnWriteDone(bool ok) override {
    {
      const MutexLock lock(mutex_);
      writing_ = false;
      last_progress_ = SystemClock().Now();
      if (!ok && !end_.has_value()) end_ = grpc::Status::CANCELLED;
      if (message_.has_draining()) end_ = grpc::Status::OK;
    }
    Advance();
  }
  void OnCancel() override {
    {
      const MutexLock lock(mutex_);
      if (!end_.has_value()) end_ = grpc::Status::CANCELLED;
    }
    Advance();
  }
  void OnDone() override {
    {
      const MutexLock lock(context_mutex_);
      context_ = nullptr;
    }
    watch_.reset();
    drain_watch_.reset();
    numbers_->Gone();
    self_.reset();
  }

  // Thread: the controller loop.
  void OnMetadata(const MetadataDelta& delta) {
    {
      const MutexLock lock(mutex_);
      for (const auto* list : {&delta.created, &delta.deleted, &delta.changed}) {
        for (const TopicPtr& topic : *list) {
          if (filter_->Takes(topic->name)) changes_.Add(topic->name);
        }
      }
      changes_.brokers |= delta.brokers_changed;
      latest_ = delta.after;
      if (changes_.empty()) return;
    }
    WakeSoon();
  }
  void OnDrain(Duration close_in) {
    {
      const MutexLock lock(mutex_);
      drain_in_ = close_in;
    }
    WakeSoon();
  }

  // Goes on with Advance() on a thread of gRPC's, because the caller's has other things to do.
  void WakeSoon() {
    {
      const MutexLock lock(mutex_);
      if (writing_ || waking_ || finished_) return;
      waking_ = true;
      wake_ = NewAlarm(Duration{0}, &Stream::Wake);
    }
  }
  void Wake() {
    {
      const MutexLock lock(mutex_);
      waking_ = false;
    }
    Advance();
  }
  std::unique_ptr<grpc::Alarm> NewAlarm(Duration in, void (Stream::*then)()) {
    auto alarm = std::make_unique<grpc::Alarm>();
    alarm->Set(InThe(in), [weak = weak_from_this(), then](bool expired) {
      const auto self = expired ? weak.lock() : nullptr;
      if (self != nullptr) (self.get()->*then)();
    });
    return alarm;
  }

  // Twice in each interval: looks for silence and for a client that takes nothing.
  void Tick() {
    bool stalled = false;
    {
      const MutexLock lock(mutex_);
      if (finished_) return;
      const Duration silent = SystemClock().Now() - last_progress_;
      stalled = writing_ && silent >= options_.stalled_after;
      heartbeat_due_ = !writing_ && silent >= options_.heartbeat_interval / 2;
      tick_ = NewAlarm(options_.heartbeat_interval / 2, &Stream::Tick);
    }
    if (stalled) {
      LOG(INFO) << "A client of WatchMetadata takes no messages: its stream is cut off";
      const MutexLock lock(context_mutex_);
      if (context_ != nullptr) context_->TryCancel();
    }
    Advance();
  }

  // Writes what there is to say, or ends the stream. Thread: any of gRPC's.
  void Advance() {
    for (;;) {
      std::optional<grpc::Status> end;
      {
        const MutexLock lock(mutex_);
        if (writing_ || finished_) return;
        end = end_;
        finished_ = end.has_value();
        writing_ = !finished_;
      }
      if (end.has_value()) {
        numbers_->Ended(end->error_code());
        return Finish(*end);
      }
      if (Build()) {
        written_ = SerializeMessage(message_);
        return StartWrite(&written_);
      }
      const MutexLock lock(mutex_);
      writing_ = false;
      const bool more =
          end_.has_value() || drain_in_.has_value() || heartbeat_due_ || !changes_.empty();
      if (!more) return;
    }
  }

  // Makes the next message; false: there is none. REQUIRES: the caller is the writer.
  bool Build() {
    message_.Clear();
    message_.set_complete(true);
    if (const auto close_in = TakeDrain()) {
      const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(*close_in).count();
      message_.mutable_draining()->set_close_in_ms(static_cast<int32_t>(ms));
    } else if (!BuildMetadata()) {
      const MutexLock lock(mutex_);
      if (!std::exchange(heartbeat_due_, false)) return false;
    }
    return true;
  }
  bool BuildMetadata() {
    while (diff_ != nullptr || TakeChanges()) {
      auto& metadata = *message_.mutable_metadata();
      const bool found = diff_->Next(metadata);
      const bool last = diff_->done();
      if (found) FillCluster(broker_, /*with_capabilities=*/told_ == nullptr && first_, metadata);
      first_ = false;
      if (last) {
        told_ = diff_->after();
        diff_.reset();
      }
      message_.set_complete(last);
      if (found) return true;
      message_.clear_metadata();
    }
    return false;
  }

  // Begins with what has changed since the last time; false: nothing.
  bool TakeChanges() {
    Changes changes;
    ImagePtr latest;
    {
      // Together: an image that has more than these changes would make the rest look told.
      const MutexLock lock(mutex_);
      std::swap(changes, changes_);
      latest = latest_;
    }
    if (told_ == nullptr) {
      latest = broker_.image();
    } else if (changes.empty() || latest->version.value <= told_->version.value) {
      return false;
    }
    MetadataDiff::Options options;
    options.before = told_;
    options.after = std::move(latest);
    options.brokers = told_ == nullptr || changes.brokers;
    if (told_ != nullptr && !changes.all)
      options.topics.emplace(changes.topics.begin(), changes.topics.end());
    diff_ = std::make_unique<MetadataDiff>(std::move(options), *filter_);
    return true;
  }
  std::optional<Duration> TakeDrain() {
    const MutexLock lock(mutex_);
    return std::exchange(drain_in_, std::nullopt);
  }

  BrokerApi& broker_;
  const ControlOptions& options_;
  const std::unique_ptr<TopicFilter> filter_;
  const std::shared_ptr<WatchNumbers> numbers_;
  std::shared_ptr<Stream> self_;  // until OnDone()
  std::shared_ptr<void> watch_;
  std::shared_ptr<void> drain_watch_;

  // The writer's.
  Message message_;
  grpc::ByteBuffer written_;
  std::unique_ptr<MetadataDiff> diff_;
  ImagePtr told_;  // nullptr: not everything yet
  bool first_ = true;

  Mutex mutex_;
  bool writing_ TS_GUARDED_BY(mutex_) = false;
  bool waking_ TS_GUARDED_BY(mutex_) = false;
  bool finished_ TS_GUARDED_BY(mutex_) = false;
  bool heartbeat_due_ TS_GUARDED_BY(mutex_) = false;
  std::optional<grpc::Status> end_ TS_GUARDED_BY(mutex_);
  std::optional<Duration> drain_in_ TS_GUARDED_BY(mutex_);
  Changes changes_ TS_GUARDED_BY(mutex_);
  ImagePtr latest_ TS_GUARDED_BY(mutex_);  // of the last change; nullptr: none came yet
  std::unique_ptr<grpc::Alarm> wake_ TS_GUARDED_BY(mutex_);
  std::unique_ptr<grpc::Alarm> tick_ TS_GUARDED_BY(mutex_);

  // A lock of its own: cancelling may call back.
  Mutex context_mutex_;
  grpc::CallbackServerContext* context_ TS_GUARDED_BY(context_mutex_);
  MonotonicTime last_progress_ TS_GUARDED_BY(mutex_);
};

}  // namespace

WatchNumbers::WatchNumbers(Metrics* metrics) {
  if (metrics == nullptr) return;
  metrics_.emplace(*metrics, "gregor.v1.ClusterService/WatchMetadata");
  gauge_ = &metrics_->AddOpen();
}

bool WatchNumbers::Begin(int max) {
  if (open_.fetch_add(1) >= max) {
    open_.fetch_sub(1);
    return false;
  }
  if (gauge_ != nullptr) gauge_->Add(1);
  return true;
}

void WatchNumbers::Ended(grpc::StatusCode code) {
  if (metrics_.has_value()) metrics_->Ended(code);
}

void WatchNumbers::Gone() {
  open_.fetch_sub(1);
  if (gauge_ != nullptr) gauge_->Add(-1);
}

MetadataWatches::MetadataWatches(BrokerApi& broker, std::shared_ptr<DrainSignal> drain,
                                 const ControlOptions& options)
    : broker_(broker),
      drain_(std::move(drain)),
      options_(options),
      numbers_(std::make_shared<WatchNumbers>(options.metrics)) {}

Reactor* MetadataWatches::Start(grpc::CallbackServerContext& context,
                                const grpc::ByteBuffer& bytes) {
  const auto fail = [&](const Error& error) { return new FailedStream(context, *numbers_, error); };
  v1::WatchMetadataRequest request;
  if (const auto parsed = ParseMessage(bytes, request); !parsed.ok()) return fail(parsed.error());
  if (const auto image = ImageOf(broker_); !image.ok()) return fail(image.error());
  auto filter = TopicFilter::Parse(request);
  if (!filter.ok()) return fail(filter.error());
  if (drain_->begun())
    return fail(Error(Reason::kServerDraining, "the broker is stopping: try another one"));
  if (!numbers_->Begin(options_.watches_max)) {
    return fail(Error(Reason::kQuotaExceeded, "the broker serves at most " +
                                                  std::to_string(options_.watches_max) +
                                                  " WatchMetadata streams: share one"));
  }
  const auto stream =
      std::make_shared<Stream>(broker_, context, options_, *std::move(filter), numbers_);
  stream->Begin(*drain_);
  return stream.get();
}

}  // namespace gregor
