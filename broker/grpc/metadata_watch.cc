#include "broker/grpc/metadata_watch.h"

#include <optional>
#include <set>
#include <string>
#include <utility>

#include "base/thread_annotations.h"
#include "broker/grpc/byte_buffer.h"
#include "broker/grpc/convert.h"
#include "broker/grpc/metadata_diff.h"
#include "gregor/v1/cluster.pb.h"

namespace gregor {
namespace {

using WatchMessage = v1::WatchMetadataResponse;

// Beyond so many changed topics a stream compares all of them instead.
constexpr size_t kChangedMax = 1000;
// What is charged for a message of state, of which one at a time is built or sent.
constexpr size_t kState = 1;

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

// One stream. What it says is made on the control loop, one message at a time.
class WatchStream final : public HotServerStream {
 public:
  WatchStream(std::shared_ptr<Door> door, MetadataWatches::Shared& shared)
      : HotServerStream(std::move(door), shared.metrics), shared_(shared) {
    SetSignsOfLife(this->door().options.heartbeat_interval);
    SetStalledAfter(this->door().options.watch_stalled_after);
  }

 private:
  void Ask(void* tag) override {
    shared_.ask(&context(), request(), rpc(), door().queue.get(), tag);
  }
  std::shared_ptr<HotStream> Another() override {
    return std::make_shared<WatchStream>(shared_door(), shared_);
  }
  void OnRequest(const Bytes& message) override {
    door().OnControl([self = Self(), message] { self->Begin(message); });
  }
  void OnSent(size_t charge) override {
    if (charge == kState) door().OnControl([self = Self()] { self->Advance(); });
  }
  void OnEnded() override;
  void OnDrain(Duration close_in) override {
    {
      const MutexLock lock(mutex_);
      drain_in_ = close_in;
    }
    Wake();
  }
  // Not amid a state that takes several messages: it would say that it is complete.
  grpc::ByteBuffer SignOfLife() override {
    const MutexLock lock(mutex_);
    if (busy_) return {};
    WatchMessage message;
    message.set_complete(true);
    return SerializeMessage(message);
  }

  void OnMetadata(const MetadataDelta& delta);  // Thread: the controller loop
  void Wake();                                  // Thread: any

  // Thread: the control loop, for all below.
  void Begin(const Bytes& message);
  Result<void> Take(const Bytes& message);
  // Says what there is to say.
  void Advance();
  void SayDraining(Duration close_in);
  bool BuildMetadata(WatchMessage& message);
  bool TakeChanges();

  std::shared_ptr<WatchStream> Self() {
    return std::static_pointer_cast<WatchStream>(shared_from_this());
  }

  MetadataWatches::Shared& shared_;

  // The control loop's.
  std::unique_ptr<TopicFilter> filter_;
  std::unique_ptr<MetadataDiff> diff_;
  ImagePtr told_;  // nullptr: not everything yet
  bool first_ = true;

  Mutex mutex_;
  // Begin() or Advance() is to come, or a message of state is on its way.
  bool busy_ TS_GUARDED_BY(mutex_) = true;
  bool counted_ TS_GUARDED_BY(mutex_) = false;  // among the open ones
  bool ended_ TS_GUARDED_BY(mutex_) = false;
  std::shared_ptr<void> watch_ TS_GUARDED_BY(mutex_);
  std::optional<Duration> drain_in_ TS_GUARDED_BY(mutex_);
  Changes changes_ TS_GUARDED_BY(mutex_);
  ImagePtr latest_ TS_GUARDED_BY(mutex_);  // of the last change; nullptr: none came yet
};

void WatchStream::Begin(const Bytes& message) {
  if (auto taken = Take(message); !taken.ok()) return End(taken.error());
  // Watching comes first, so that nothing falls between the first state and the changes.
  auto watch = door().broker.Watch([weak = weak_from_this()](const MetadataDelta& delta) {
    if (const auto self = weak.lock()) static_cast<WatchStream&>(*self).OnMetadata(delta);
  });
  {
    const MutexLock lock(mutex_);
    if (ended_) return;
    watch_ = std::move(watch);
  }
  Advance();
}

Result<void> WatchStream::Take(const Bytes& message) {
  v1::WatchMetadataRequest request;
  RETURN_IF_ERROR(ParseMessage(message, request));
  RETURN_IF_ERROR(ImageOf(door().broker));
  ASSIGN_OR_RETURN(filter_, TopicFilter::Parse(request));
  if (door().drain->begun())
    return Error(Reason::kServerDraining, "the broker is stopping: try another one");
  const MutexLock lock(mutex_);
  if (ended_) return {};
  const int max = door().options.watches_max;
  if (shared_.open.fetch_add(1) < max) {
    counted_ = true;
    return {};
  }
  shared_.open.fetch_sub(1);
  return Error(Reason::kQuotaExceeded, "the broker serves at most " + std::to_string(max) +
                                           " WatchMetadata streams: share one");
}

void WatchStream::OnEnded() {
  std::shared_ptr<void> watch;
  const MutexLock lock(mutex_);
  ended_ = true;
  watch.swap(watch_);
  if (counted_) shared_.open.fetch_sub(1);
}

void WatchStream::OnMetadata(const MetadataDelta& delta) {
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
  Wake();
}

void WatchStream::Wake() {
  {
    const MutexLock lock(mutex_);
    if (std::exchange(busy_, true)) return;
  }
  door().OnControl([self = Self()] { self->Advance(); });
}

void WatchStream::Advance() {
  for (;;) {
    std::optional<Duration> drain_in;
    {
      const MutexLock lock(mutex_);
      if (ended_) return;
      drain_in = drain_in_;
    }
    if (drain_in.has_value()) return SayDraining(*drain_in);
    if (WatchMessage message; BuildMetadata(message)) {
      Queue(SerializeMessage(message), kState);
      return Flush();
    }
    const MutexLock lock(mutex_);
    busy_ = drain_in_.has_value() || !changes_.empty();
    if (!busy_) return;
  }
}

void WatchStream::SayDraining(Duration close_in) {
  WatchMessage message;
  message.set_complete(true);
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(close_in).count();
  message.mutable_draining()->set_close_in_ms(static_cast<int32_t>(ms));
  Send(SerializeMessage(message));
  End();
}

// False: there is nothing to say.
bool WatchStream::BuildMetadata(WatchMessage& message) {
  while (diff_ != nullptr || TakeChanges()) {
    auto& metadata = *message.mutable_metadata();
    const bool found = diff_->Next(metadata);
    const bool last = diff_->done();
    if (found) FillCluster(door(), /*with_capabilities=*/told_ == nullptr && first_, metadata);
    first_ = false;
    if (last) {
      told_ = diff_->after();
      diff_.reset();
    }
    message.set_complete(last);
    if (found) return true;
    message.clear_metadata();
  }
  return false;
}

// Begins with what has changed since the last time; false: nothing.
bool WatchStream::TakeChanges() {
  Changes changes;
  ImagePtr latest;
  {
    // Together: an image that has more than these changes would make the rest look told.
    const MutexLock lock(mutex_);
    std::swap(changes, changes_);
    latest = latest_;
  }
  if (told_ == nullptr) {
    latest = door().broker.image();
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

}  // namespace

void MetadataWatches::Serve(const std::shared_ptr<Door>& door) {
  for (int i = 0; i < kControlStreamsListening; ++i)
    std::make_shared<WatchStream>(door, shared_)->Listen();
}

}  // namespace gregor
