#ifndef GREGOR_CLIENT_PRODUCER_CORE_H_
#define GREGOR_CLIENT_PRODUCER_CORE_H_

#include <algorithm>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "client/accumulator.h"
#include "client/frame_window.h"
#include "client/refusals.h"

namespace gregor {

// What became of a batch.
struct ProducerOutcome {
  const ProducerPartition* partition = nullptr;
  int32_t record_count = 0;
  size_t bytes = 0;
  MonotonicTime since;
  int64_t first_number = 0;
  int64_t last_number = 0;
  Offset base_offset{-1};
  std::optional<Error> error;
  // What it gives back. A batch that was split does so with its last part.
  bool releases = true;
  size_t memory_bytes = 0;
  uint64_t generation = 0;
};

// Decides what a producer sends, and in which order it sends again (api-study: "ordering and
// idempotency over retries"). Pure: the host gives it batches, answers and the time, writes the
// frames that it asks for, and reports its outcomes.
//
// Frames of a partition are sent in order. When one is refused the broker refuses those behind it,
// too, until all are sent again from there on, with a higher attempt. When the stream breaks all
// that is unanswered is sent again. With idempotence every batch has a sequence, given when it is
// sent for the first time, so that the broker knows what it has already. Where a sequence can no
// longer be completed (a batch was given up and nobody knows whether it was written) a new session
// begins: first everything whose fate is open is settled, then a new producer id starts at 0.
//
// Frames travel on links, each of them a stream to one broker with frame ids and a window of its
// own, and a partition's all on one: where its leader is another one now, those on their way are
// answered, or lost with their stream, before others go to the new leader. Partitions begin on link
// 0. Thread: its owner's.
class ProducerCore {
 public:
  struct Options {
    bool idempotent = true;
    bool retry_unknown = true;
    Duration delivery_timeout{0};
    size_t in_flight_bytes_max = 0;  // 0: as the server says
    // Whether a broker that does not know the topic may only be behind; none: no.
    std::function<bool(const std::string& topic)> is_new_topic;
  };
  struct Session {
    ProducerId id = kNoProducerId;
    ProducerEpoch epoch = kNoProducerEpoch;
  };
  using Outcomes = std::vector<ProducerOutcome>;

  ProducerCore(Options options, Session session);
  ~ProducerCore();

  // --- links ---

  using Link = size_t;  // 0, 1, 2 ...
  // Where the partition's frames go from now on; what waits for its retry goes at once.
  void SetLink(const ProducerPartition& partition, Link link);
  Link LinkOf(const ProducerPartition& partition) const;
  // Whether frames are on the link that belong elsewhere.
  bool HasStrays(Link link) const;
  // All partitions that were written to, or have a link.
  Accumulator::Partitions partitions() const;

  // --- batches ---

  // Whether a new batch of the partition could be sent now. If not, TakeUnblocked() has it later.
  bool CanTake(const ProducerPartition& partition);
  void Add(FilledBatch batch);
  // The next message to write; nullopt: none, or the window is full. REQUIRES: OnOpened() was the
  // last event about the stream as a whole.
  std::optional<Bytes> NextFrame(MonotonicTime now, Link link = 0);
  bool HasRoom(Link link = 0) const {
    return link >= wires_.size() || wires_[link].frames.HasRoom();
  }
  bool InFlight() const {
    return std::any_of(wires_.begin(), wires_.end(),
                       [](const Wire& wire) { return wire.frames.count() > 0; });
  }
  bool InFlight(Link link) const { return link < wires_.size() && wires_[link].frames.count() > 0; }
  bool HasBatches() const { return batch_count_ > 0; }

  // --- answers ---

  void OnOpened() { trouble_.reset(); }
  // 0: no bound.
  void OnWindow(int64_t bytes_max, int32_t frames_max, Link link = 0);
  // Fails with kUnspecified on an answer that breaks the protocol: the stream is to be broken.
  Result<void> OnAck(int64_t frame_id, Offset base_offset, Link link = 0);
  // Returns the partition of the frame; nullptr: its answer does not count any more.
  const ProducerPartition* OnError(int64_t frame_id, Error error, MonotonicTime now, Link link = 0);
  // The stream is gone. `error`: nullptr if it was closed on purpose.
  void OnBroken(const Error* error, Link link = 0);

  // --- sessions ---

  const Session& session() const { return session_; }
  // Whether a new session has to begin.
  bool IsRestarting() const { return restarting_; }
  // ... and everything of the old one is settled.
  bool NeedsSession() const;
  void BeginSession(Session session);

  // --- time ---

  // Gives up what is too old of the link's partitions. True: something too old is on its way, so
  // the stream has to be broken before it can be given up.
  bool Expire(MonotonicTime now, Link link = 0);
  // When a frame that waits for its retry may be sent; max: none waits.
  MonotonicTime RetryTime(Link link = 0) const;
  // Gives everything up.
  void FailAll(const Error& error);
  // A batch that never got here is given up: for that, or since it is too old (`trouble`: what may
  // have kept it, if trouble() does not say). REQUIRES: Expire() of its link was false.
  void Fail(FilledBatch batch, const Error& error);
  void FailUnsent(FilledBatch batch, const std::optional<Error>& trouble, MonotonicTime now);

  // --- results, to be fetched after every call ---

  Outcomes TakeOutcomes();
  // Partitions for which CanTake() may have become true.
  Accumulator::Partitions TakeUnblocked();
  // Topics whose metadata turned out to be old.
  std::vector<std::string> TakeOutdatedTopics();
  // Set once the server refuses the producer as a whole.
  const std::optional<Error>& fatal() const { return fatal_; }
  // Why the last frame was refused and will be sent again; nullopt once something was acknowledged.
  const std::optional<Error>& trouble() const { return trouble_; }

 private:
  struct Batch;
  struct Lane;
  // What goes to one broker.
  struct Wire {
    std::deque<Lane*> sendable;  // lanes with something to send, each once
    FrameWindow<Lane> frames;
  };

  const Lane* FindLane(const ProducerPartition& partition) const;
  Lane& LaneOf(const ProducerPartition& partition);
  Wire& WireOf(Link link);
  // Takes the lane to where it belongs, once nothing of it is on its way.
  void Move(Lane& lane);
  void Queue(Lane& lane);
  bool CanSendNext(const Lane& lane) const;
  // Gives the batch its bytes and sequence; false: it is too large, and was dealt with.
  bool Prepare(Lane& lane, Batch& batch);
  void TakeBack(Lane& lane, size_t index);
  // Whether what may have been written may be sent again.
  bool MayRepeat() const { return options_.idempotent || options_.retry_unknown; }
  bool MayRetry(const Batch& batch, const Error& error) const;
  // The batch at `index`, which is not in flight, failed for good.
  void GiveUp(Lane& lane, size_t index, const Error& error);
  void Split(Lane& lane, size_t index);
  // Why a partition's batch was not written in time.
  Error NotInTime(const Lane& lane, const char* done, const std::optional<Error>& trouble,
                  MonotonicTime now, bool maybe_written) const;
  void Report(const Lane& lane, const Batch& batch, Offset base_offset, const Error* error);

  const Options options_;
  Session session_;
  uint64_t session_number_ = 1;
  bool restarting_ = false;                   // a new session is needed
  std::vector<std::unique_ptr<Lane>> lanes_;  // by the partition's id
  std::deque<Wire> wires_;                    // by link
  size_t batch_count_ = 0;
  Outcomes outcomes_;
  Accumulator::Partitions unblocked_;
  Accumulator::Partitions sessionless_;  // without a lane, and refused while `restarting_`
  std::vector<std::string> outdated_topics_;
  std::optional<Error> fatal_;
  std::optional<Error> trouble_;
  Refusals refusals_;
};

}  // namespace gregor

#endif  // GREGOR_CLIENT_PRODUCER_CORE_H_
