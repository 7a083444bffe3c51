#ifndef GREGOR_TESTS_CLIENT_FAKE_SERVER_H_
#define GREGOR_TESTS_CLIENT_FAKE_SERVER_H_

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/record_batch.h"
#include "google/rpc/status.pb.h"
#include "tests/client/fake_status.h"

namespace gregor {

struct Running;

// What happens to a frame of a produce stream.
struct FrameAction {
  enum class Kind {
    kAppend,
    kRefuse,           // with `status`
    kBreak,            // the stream ends, the frame is lost
    kAppendAndBreak,   // the stream ends before the acknowledgement
    kAppendAndRefuse,  // with `status`: it is in the log nevertheless
    kSwallow,          // no answer
  };
  Kind kind = Kind::kAppend;
  google::rpc::Status status;
};
struct FrameSeen {
  std::string topic;
  int32_t partition = 0;
  int32_t attempt = 0;
  int stream = 0;    // 1, 2 ...
  int number = 0;    // of all frames, 1, 2 ...
  int32_t node = 0;  // the broker that got it
  BatchHeader header;
};

// A real gRPC server that keeps logs in memory, as the broker does: sequences, fail-stop, windows,
// credits. What goes wrong is said by the test. Thread: any; hooks are called without a lock.
class FakeServer {
 public:
  FakeServer();
  // Another broker of the cluster of `other`, which goes on by itself, with the same topics and
  // logs: as if everything was replicated at once. A broker takes and gives what it leads only.
  explicit FakeServer(FakeServer& other);
  ~FakeServer();
  const std::string& address() const { return address_; }

  // Connections break, none is taken; and again on the same address.
  void Stop();
  void Start();
  // Streams of produce and fetch of this broker break.
  void BreakStreams();

  // Its id: 1 and up.
  int32_t node() const { return node_; }
  // The broker leads the partition from now on (all of them are led by broker 1 at first).
  void Lead(const std::string& topic, int32_t partition);
  // Nobody does.
  void LeaveWithoutLeader(const std::string& topic, int32_t partition);
  // Whether refusals say who leads (they do at first).
  void set_gives_hints(bool gives);
  // What GetMetadata says of where the broker is, other than address().
  void Advertise(const std::string& address);
  // Broker `node` is the active controller from now on; 0: none is known, as at first.
  void SetController(int32_t node);
  // The brokers that were asked to create topics, in the order of the calls.
  std::vector<int32_t> creators() const;
  // How many calls of a method ("GetMetadata") came to the cluster.
  int CallCount(const std::string& method) const;

  void CreateTopic(const std::string& name, int32_t partitions, size_t max_message_bytes = 1048588);
  void DeleteTopic(const std::string& name);
  // Whoever produced so far is unknown.
  void ForgetProducers();
  void Append(const std::string& topic, int32_t partition, const RecordBatch& batch);
  void SetLogStart(const std::string& topic, int32_t partition, int64_t offset);

  // Hooks; set before they can be called.
  std::function<FrameAction(const FrameSeen&)> on_frame;
  // After records were deleted: what the call ends with instead.
  std::function<std::optional<google::rpc::Status>()> on_deleted;
  // The error of the next calls of a method, by name ("GetTopic").
  void FailCalls(const std::string& method, const google::rpc::Status& status, int times);
  void set_window(int64_t bytes, int32_t frames);

  // What is in the log.
  std::vector<std::string> Values(const std::string& topic, int32_t partition) const;
  std::vector<RecordBatch> Batches(const std::string& topic, int32_t partition) const;
  std::vector<FrameSeen> frames() const;
  int session_count() const;
  int stream_count() const;
  int64_t fetched_credit() const;       // credit given on the last fetch stream
  int32_t fetch_message_bytes() const;  // max_batch_bytes of the last fetch stream

  struct State;

 private:
  const std::shared_ptr<State> state_;
  const int32_t node_;
  std::unique_ptr<Running> running_;
  std::string address_;
};

}  // namespace gregor

#endif  // GREGOR_TESTS_CLIENT_FAKE_SERVER_H_
