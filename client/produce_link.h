#ifndef GREGOR_CLIENT_PRODUCE_LINK_H_
#define GREGOR_CLIENT_PRODUCE_LINK_H_

#include <deque>
#include <memory>
#include <optional>
#include <unordered_set>

#include "client/io_loop.h"
#include "client/producer.h"
#include "client/producer_core.h"
#include "gregor/v1/produce.pb.h"

namespace gregor {

// A producer's way to one broker: a produce stream that is opened again, after growing pauses, when
// it ends. Thread: the loop's.
class ProduceLink final : private IoStream::Events {
 public:
  // Whom it tells. Thread: the loop's.
  class Host {
   public:
    // Everything but `draining`, which the link sees to.
    virtual void OnAnswer(ProduceLink& link, const v1::ProduceStreamResponse& response) = 0;
    // The stream is gone; nullptr: on purpose, or in peace.
    virtual void OnClosed(ProduceLink& link, const Error* error) = 0;

   protected:
    ~Host() = default;
  };

  ProduceLink(Host& host, size_t number, NodeId node) : host_(host), number_(number), node_(node) {}

  size_t number() const { return number_; }
  NodeId node() const { return node_; }
  // Of the last stream. REQUIRES: Open() was called.
  const std::shared_ptr<Channel>& channel() const { return channel_; }

  // --- whether there is a stream ---

  bool IsClosed() const { return state_ == State::kClosed; }
  // Whether it is to be opened now.
  bool IsDue(MonotonicTime now) const { return IsClosed() && now >= open_at_; }
  // When it will be; max: it is there, or rests.
  MonotonicTime DueAt() const { return IsClosed() ? open_at_ : MonotonicTime::max(); }
  // Nobody needs it at present: it is not opened until WakeUp().
  void Rest() { open_at_ = MonotonicTime::max(); }
  bool IsResting() const { return IsClosed() && open_at_ == MonotonicTime::max(); }
  void WakeUp();
  // REQUIRES: IsClosed().
  void Open(IoLoop& loop, std::shared_ptr<Channel> channel, v1::ProduceOpen open);
  // The stream is worth nothing any more.
  void Break(const Error& error);
  void CloseOnPurpose();

  // --- frames ---

  bool CanWrite() const { return state_ == State::kOpen && !writing_; }
  // REQUIRES: CanWrite().
  void Write(const Bytes& frame);
  // Whether there is a stream on which nothing came since `time`.
  bool IsSilentSince(MonotonicTime time) const { return stream_ != nullptr && heard_at_ < time; }

  // --- partitions that were passed over while it could not write ---

  void Block(const ProducerPartition& partition);
  // One of them, which is none any more; nullptr: there is none.
  const ProducerPartition* Unblock();
  bool IsBlocking() const { return !blocked_.empty(); }

 private:
  enum class State : uint8_t {
    kClosed,   // no stream; it is opened at open_at_
    kOpening,  // waits for the broker's `opened`
    kOpen,     // carries frames
    kEnding,   // carries answers only
  };

  void OnMessage(Bytes message) override;
  void OnWritten() override;
  void OnClosed(Result<void> end) override;

  Host& host_;
  const size_t number_;
  const NodeId node_;
  std::shared_ptr<Channel> channel_;
  State state_ = State::kClosed;
  std::deque<const ProducerPartition*> blocked_;  // the first one first, each once
  std::unordered_set<const ProducerPartition*> is_blocked_;
  IoStream* stream_ = nullptr;
  bool writing_ = false;
  std::optional<Error> broken_;  // why we broke the stream
  bool on_purpose_ = false;      // we ended it without a reason to complain
  Duration backoff_{0};
  MonotonicTime open_at_ = MonotonicTime::min();
  MonotonicTime heard_at_ = MonotonicTime::min();
};

// The first message of a stream. Thread: any.
v1::ProduceOpen OpenProduce(const ProducerOptions& options, const ProducerCore::Session& session);

}  // namespace gregor

#endif  // GREGOR_CLIENT_PRODUCE_LINK_H_
