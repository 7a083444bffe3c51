#ifndef GREGOR_CLIENT_FETCH_LINK_H_
#define GREGOR_CLIENT_FETCH_LINK_H_

#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "client/io_loop.h"
#include "client/slot_table.h"
#include "client/topic_watch.h"
#include "gregor/v1/fetch.pb.h"

namespace gregor {

// A consumer's way to one broker: a fetch stream that is opened again, after growing pauses, when
// it ends, and what is to be said on it. Thread: the stream is the loop's; what is to be said is
// under the consumer's lock.
class FetchLink final : private IoStream::Events {
 public:
  // Whom it tells. Thread: the loop's.
  class Host {
   public:
    virtual void OnData(FetchLink& link, const v1::FetchData& data, Bytes payload) = 0;
    // Anything else.
    virtual void OnResponse(FetchLink& link, const v1::FetchStreamResponse& response) = 0;
    // The stream is gone. On purpose, or in peace: no error.
    virtual void OnClosed(FetchLink& link, const Result<void>& end) = 0;

   protected:
    ~Host() = default;
  };

  FetchLink(Host& host, NodeId node) : host_(host), node_(node) {}
  NodeId node() const { return node_; }

  // --- the stream ---

  bool IsOpen() const { return stream_ != nullptr; }
  // When it may be opened.
  MonotonicTime open_at() const { return open_at_; }
  // Not before another pause.
  void Delay();
  // REQUIRES: !IsOpen().
  void Open(IoLoop& loop, std::shared_ptr<Channel> channel);
  // Of the last stream, or of the last question.
  const std::shared_ptr<Channel>& channel() const { return channel_; }
  void SetChannel(std::shared_ptr<Channel> channel) { channel_ = std::move(channel); }
  bool CanWrite() const { return IsOpen() && !writing_ && !reopening_; }
  // REQUIRES: CanWrite(), or that it was opened just now.
  void Write(const v1::FetchStreamRequest& request);
  // We are done with this stream; another one is opened once it has ended.
  void Reopen();
  void Cancel();
  // Something came: pauses begin anew.
  void ResetBackoff() { backoff_ = Duration(0); }

  // --- what is to be said ---

  struct Terms {
    int64_t credit_bytes = 0;
    int64_t credit_step = 1;   // it is returned in messages of so many bytes or more
    size_t message_bytes = 0;  // the largest batch
  };
  // A new stream begins, with the slots that are to be read here.
  void Begin(const Terms& terms, const SlotTable& slots, const TopicWatch& topics);
  // Of the last stream.
  const Terms& terms() const { return terms_; }
  // The next message; nullopt: there is none.
  std::optional<v1::FetchStreamRequest> NextRequest(SlotTable& slots, const TopicWatch& topics);

  std::deque<int32_t> to_add;
  std::deque<int32_t> to_remove;
  int64_t credit_due = 0;  // to be returned to the server
  std::optional<Error> trouble;

  // Slots whose offsets are to be asked for, and whether a question is on its way.
  std::deque<int32_t> to_resolve;
  bool resolving = false;
  MonotonicTime resolve_at = MonotonicTime::min();

  // A question for where slots begin that were not given an offset.
  struct Lookup {
    v1::ListOffsetsRequest request;
    std::vector<int32_t> numbers;  // the slots
  };
  std::optional<Lookup> NextLookup(SlotTable& slots, const TopicWatch& topics);

 private:
  void OnMessage(Bytes message) override;
  void OnWritten() override;
  void OnClosed(Result<void> end) override;

  Host& host_;
  const NodeId node_;
  std::shared_ptr<Channel> channel_;
  IoStream* stream_ = nullptr;
  bool writing_ = false;
  bool reopening_ = false;
  Duration backoff_{0};
  MonotonicTime open_at_ = MonotonicTime::min();
  Terms terms_;
  bool credit_wanted_ = false;  // however little it is
};

// The first message of a stream. Thread: any.
v1::FetchStreamRequest OpenFetch(const ConsumerOptions& options, size_t message_bytes);

// How large messages have to be for the batch that did not fit, where `error` says that; 0: it does
// not, or it would take more than `bytes_max`. Thread: any.
size_t MessageBytesFor(const Error& error, size_t bytes_max);

// The answer to a Lookup of so many slots. Fails with what failed, and with kUnspecified where the
// answer is none.
Result<v1::ListOffsetsResponse> ParseOffsets(const Result<Bytes>& answer, size_t slot_count);

}  // namespace gregor

#endif  // GREGOR_CLIENT_FETCH_LINK_H_
