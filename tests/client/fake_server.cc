#include "tests/client/fake_server.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <set>
#include <thread>

#include "gregor/v1/cluster.grpc.pb.h"
#include "gregor/v1/config.grpc.pb.h"
#include "gregor/v1/fetch.grpc.pb.h"
#include "gregor/v1/produce.grpc.pb.h"
#include "gregor/v1/topic.grpc.pb.h"
#include "tests/client/fake_status.h"

namespace gregor {
namespace {

struct Log {
  std::vector<RecordBatch> batches;
  int64_t log_start = 0;
  int64_t end = 0;
  std::map<int64_t, std::deque<BatchHeader>> producers;  // the last five batches of each
};
using Place = std::pair<std::string, int32_t>;

}  // namespace

struct FakeServer::State {
  mutable std::mutex mutex;
  std::condition_variable changed;
  FakeServer* owner = nullptr;
  std::map<std::string, int32_t> topics;
  std::map<std::string, std::string> ids;  // of topics
  int topics_made = 0;
  std::map<std::string, size_t> limits;
  std::map<Place, Log> logs;
  std::map<std::string, std::pair<google::rpc::Status, int>> failures;
  std::map<grpc::ServerContext*, int32_t> streams;  // and their brokers
  std::map<int32_t, std::string> nodes;             // addresses
  struct Leader {
    int32_t node = 1;
    int32_t epoch = 0;
  };
  std::map<Place, Leader> leaders;
  bool gives_hints = true;
  int64_t version = 1;
  int32_t controller = 0;
  std::vector<int32_t> creators;  // of topics: the nodes that were asked
  std::map<std::string, int> calls;
  std::vector<FrameSeen> frames;
  int sessions = 0;
  int stream_count = 0;
  int64_t window_bytes = 0;
  int32_t window_frames = 0;
  int64_t fetched_credit = 0;
  int32_t fetch_message_bytes = 0;

  // Of a topic that exists, save its name.
  void Describe(const std::string& name, v1::TopicMetadata& topic) {
    topic.set_topic_id(ids[name]);
    topic.set_partition_count(topics[name]);
    for (int32_t i = 0; i < topics[name]; ++i) {
      const Leader& leader = leaders[{name, i}];
      v1::PartitionMetadata& partition = *topic.add_partitions();
      partition.set_partition(i);
      partition.set_leader_epoch(leader.epoch);
      if (leader.node > 0) partition.set_leader_id(leader.node);
    }
  }
  // nullopt: the broker leads the partition.
  std::optional<google::rpc::Status> Refusal(int32_t node, const Place& place) {
    const Leader& leader = leaders[place];
    if (leader.node == node) return std::nullopt;
    std::map<std::string, std::string> details;
    if (gives_hints && leader.node > 0) {
      const std::string& address = nodes[leader.node];
      details = {{"leader_id", std::to_string(leader.node)},
                 {"leader_epoch", std::to_string(leader.epoch)},
                 {"leader_host", address.substr(0, address.rfind(':'))},
                 {"leader_port", address.substr(address.rfind(':') + 1)}};
    }
    return MakeStatus(Reason::kNotLeader, "not here", v1::WriteOutcome::OUTCOME_NOT_APPLIED,
                      details);
  }

  // The scripted error of a call, or the one of a topic that is not there.
  grpc::Status Check(const std::string& method, const std::string& topic) {
    ++calls[method];
    const auto failure = failures.find(method);
    if (failure != failures.end() && failure->second.second > 0) {
      --failure->second.second;
      return ToGrpcStatus(failure->second.first);
    }
    if (!topic.empty() && topics.count(topic) == 0) return ToGrpcStatus(NotFound(topic));
    return grpc::Status::OK;
  }

  void Make(const std::string& topic, int32_t partitions, size_t limit) {
    if (topics.count(topic) == 0) {
      std::string id = std::to_string(++topics_made);
      id.resize(16);
      ids[topic] = id;
      std::erase_if(logs, [&](const auto& log) { return log.first.first == topic; });
      std::erase_if(leaders, [&](const auto& leader) { return leader.first.first == topic; });
    }
    topics[topic] = partitions;
    limits[topic] = limit;
  }

  // Appends as a broker does; the base offset, or an error.
  std::variant<int64_t, google::rpc::Status> Append(Log& log, const RecordBatch& batch,
                                                    bool* duplicate) {
    const BatchHeader& header = batch.header;
    auto& known = log.producers[header.producer_id.value];
    if (header.has_producer()) {
      for (const BatchHeader& old : known) {
        if (old.base_sequence == header.base_sequence && old.record_count == header.record_count &&
            old.producer_epoch == header.producer_epoch) {
          *duplicate = true;
          return old.base_offset.value;
        }
      }
      const int32_t expected = known.empty() ? 0 : Advance(known.back().last_sequence(), 1).value;
      if (header.base_sequence.value != expected) {
        return MakeStatus(Reason::kOutOfOrderSequence,
                          "expected sequence " + std::to_string(expected) + ", got " +
                              std::to_string(header.base_sequence.value),
                          v1::WriteOutcome::OUTCOME_NOT_APPLIED);
      }
    }
    RecordBatch stored = batch;
    StampBatch(stored, Offset{log.end}, LeaderEpoch{0}, TimestampType::kCreateTime, Timestamp{0});
    log.end += header.record_count;
    if (header.has_producer()) {
      known.push_back(stored.header);
      if (known.size() > 5) known.pop_front();
    }
    log.batches.push_back(std::move(stored));
    changed.notify_all();
    return log.end - header.record_count;
  }
};

namespace {

using State = FakeServer::State;

class Produce final : public v1::ProduceService::Service {
 public:
  Produce(State& state, int32_t node) : state_(state), node_(node) {}

  grpc::Status InitProducer(grpc::ServerContext*, const v1::InitProducerRequest*,
                            v1::InitProducerResponse* response) override {
    const std::lock_guard lock(state_.mutex);
    if (auto status = state_.Check("InitProducer", ""); !status.ok()) return status;
    response->set_producer_id(1000 + ++state_.sessions);
    response->set_producer_epoch(0);
    return grpc::Status::OK;
  }

  grpc::Status ProduceStream(grpc::ServerContext* context,
                             grpc::ServerReaderWriter<v1::ProduceStreamResponse,
                                                      v1::ProduceStreamRequest>* stream) override {
    int number = 0;
    {
      const std::lock_guard lock(state_.mutex);
      number = ++state_.stream_count;
      if (auto status = state_.Check("ProduceStream", ""); !status.ok()) return status;
      state_.streams[context] = node_;
    }
    Serve(*stream, number);
    const std::lock_guard lock(state_.mutex);
    state_.streams.erase(context);
    return context->IsCancelled() ? grpc::Status(grpc::StatusCode::UNAVAILABLE, "broken")
                                  : grpc::Status::OK;
  }

 private:
  using Stream = grpc::ServerReaderWriter<v1::ProduceStreamResponse, v1::ProduceStreamRequest>;

  void Serve(Stream& stream, int number) {
    v1::ProduceStreamRequest request;
    if (!stream.Read(&request) || !request.has_open()) return;
    v1::ProduceStreamResponse opened;
    {
      const std::lock_guard lock(state_.mutex);
      auto& window = *opened.mutable_opened()->mutable_window();
      window.set_max_in_flight_bytes(state_.window_bytes);
      window.set_max_in_flight_frames(state_.window_frames);
    }
    stream.Write(opened);
    std::map<Place, int32_t> failed_attempts;
    while (stream.Read(&request)) {
      if (!request.has_frame()) continue;
      v1::ProduceStreamResponse response;
      const FrameAction::Kind kind = OnFrame(request.frame(), number, failed_attempts, &response);
      if (kind == FrameAction::Kind::kBreak || kind == FrameAction::Kind::kAppendAndBreak) {
        const std::lock_guard lock(state_.mutex);
        for (const auto& [context, node] : state_.streams) {
          if (node == node_) context->TryCancel();
        }
        return;
      }
      if (kind != FrameAction::Kind::kSwallow) stream.Write(response);
    }
  }

  FrameAction::Kind OnFrame(const v1::ProduceFrame& frame, int stream,
                            std::map<Place, int32_t>& failed_attempts,
                            v1::ProduceStreamResponse* response) {
    const auto checked = CheckBatch(Slice::Copy(frame.record_batch()));
    CHECK(checked.ok()) << checked.error();
    const Place place(frame.topic(), frame.partition());
    FrameSeen seen{.topic = frame.topic(),
                   .partition = frame.partition(),
                   .attempt = frame.attempt(),
                   .stream = stream,
                   .node = node_,
                   .header = checked->header};
    {
      const std::lock_guard lock(state_.mutex);
      state_.frames.push_back(seen);
      seen.number = static_cast<int>(state_.frames.size());
      state_.frames.back().number = seen.number;
    }
    const auto refuse = [&](const google::rpc::Status& status) {
      response->mutable_error()->set_frame_id(frame.frame_id());
      *response->mutable_error()->mutable_status() = status;
      failed_attempts[place] = std::max(failed_attempts[place], frame.attempt() + 1);
    };
    if (frame.attempt() < failed_attempts[place]) {
      response->mutable_error()->set_frame_id(frame.frame_id());
      *response->mutable_error()->mutable_status() =
          MakeStatus(Reason::kPriorRequestFailed, "a frame before this one failed",
                     v1::WriteOutcome::OUTCOME_NOT_APPLIED);
      return FrameAction::Kind::kAppend;
    }
    const FrameAction action =
        state_.owner->on_frame ? state_.owner->on_frame(seen) : FrameAction();
    if (action.kind == FrameAction::Kind::kRefuse) refuse(action.status);
    if (action.kind == FrameAction::Kind::kRefuse || action.kind == FrameAction::Kind::kBreak ||
        action.kind == FrameAction::Kind::kSwallow)
      return action.kind;
    Append(frame, *checked, action, refuse, response);
    return action.kind;
  }

  // What the log says of a frame that is to be appended.
  void Append(const v1::ProduceFrame& frame, const RecordBatch& batch, const FrameAction& action,
              const std::function<void(const google::rpc::Status&)>& refuse,
              v1::ProduceStreamResponse* response) {
    const Place place(frame.topic(), frame.partition());
    const std::lock_guard lock(state_.mutex);
    if (state_.topics.count(frame.topic()) == 0) {
      refuse(NotFound(frame.topic()));
      return;
    }
    if (batch.bytes.size() > state_.limits[frame.topic()]) {
      refuse(
          MakeStatus(Reason::kBatchTooLarge, "too large", v1::WriteOutcome::OUTCOME_NOT_APPLIED));
      return;
    }
    if (const auto refusal = state_.Refusal(node_, place)) {
      refuse(*refusal);
      return;
    }
    bool duplicate = false;
    const auto appended = state_.Append(state_.logs[place], batch, &duplicate);
    if (const auto* const status = std::get_if<google::rpc::Status>(&appended)) {
      refuse(*status);
    } else if (action.kind == FrameAction::Kind::kAppendAndRefuse) {
      refuse(action.status);
    } else {
      v1::ProduceAck& ack = *response->mutable_ack();
      ack.set_frame_id(frame.frame_id());
      ack.set_base_offset(std::get<int64_t>(appended));
      ack.set_partition(frame.partition());
      ack.set_duplicate(duplicate);
    }
  }

  State& state_;
  const int32_t node_;
};

class Topics final : public v1::TopicService::Service {
 public:
  Topics(State& state, int32_t node) : state_(state), node_(node) {}
  grpc::Status GetTopic(grpc::ServerContext*, const v1::GetTopicRequest* request,
                        v1::GetTopicResponse* response) override {
    const std::lock_guard lock(state_.mutex);
    if (auto status = state_.Check("GetTopic", request->topic()); !status.ok()) return status;
    response->mutable_topic()->set_topic(request->topic());
    state_.Describe(request->topic(), *response->mutable_topic());
    return grpc::Status::OK;
  }
  grpc::Status CreateTopic(grpc::ServerContext*, const v1::CreateTopicRequest* request,
                           v1::CreateTopicResponse* response) override {
    const std::lock_guard lock(state_.mutex);
    if (auto status = state_.Check("CreateTopic", ""); !status.ok()) return status;
    state_.creators.push_back(node_);
    state_.Make(request->topic(), request->partitions(), 1048588);
    response->mutable_topic()->set_topic(request->topic());
    response->mutable_topic()->set_partition_count(request->partitions());
    return grpc::Status::OK;
  }
  grpc::Status DeleteRecords(grpc::ServerContext*, const v1::DeleteRecordsRequest* request,
                             v1::DeleteRecordsResponse* response) override {
    auto status = Delete(*request, *response);
    if (!status.ok() || !state_.owner->on_deleted) return status;
    const auto instead = state_.owner->on_deleted();
    return instead.has_value() ? ToGrpcStatus(*instead) : status;
  }
  grpc::Status ListTopics(grpc::ServerContext*, const v1::ListTopicsRequest* request,
                          v1::ListTopicsResponse* response) override {
    const std::lock_guard lock(state_.mutex);
    // A page has one topic; the token is the name of the last one.
    for (const auto& [name, count] : state_.topics) {
      if (name <= request->page().page_token() || !name.starts_with(request->prefix())) continue;
      if (response->topics_size() > 0) {
        response->set_next_page_token(response->topics(0).topic());
        break;
      }
      response->add_topics()->set_topic(name);
      response->mutable_topics(0)->set_partition_count(count);
    }
    return grpc::Status::OK;
  }

 private:
  grpc::Status Delete(const v1::DeleteRecordsRequest& request,
                      v1::DeleteRecordsResponse& response) {
    const std::lock_guard lock(state_.mutex);
    if (request.items_size() > 1000 || request.items_size() == 0) {
      return ToGrpcStatus(MakeStatus(Reason::kInvalidArgument, "1 to 1000 items, please",
                                     v1::WriteOutcome::OUTCOME_NOT_APPLIED));
    }
    for (const auto& item : request.items()) {
      if (auto status = state_.Check("DeleteRecords", item.partition().topic()); !status.ok())
        return status;
      Log& log = state_.logs[{item.partition().topic(), item.partition().partition()}];
      log.log_start = item.before_offset() < 0 ? log.end : item.before_offset();
      response.add_results()->set_log_start_offset(log.log_start);
    }
    return grpc::Status::OK;
  }
  State& state_;
  const int32_t node_;
};

class Configs final : public v1::ConfigService::Service {
 public:
  explicit Configs(State& state) : state_(state) {}
  grpc::Status DescribeConfigs(grpc::ServerContext*, const v1::DescribeConfigsRequest* request,
                               v1::DescribeConfigsResponse* response) override {
    const std::lock_guard lock(state_.mutex);
    if (auto status = state_.Check("DescribeConfigs", ""); !status.ok()) return status;
    auto& entry = *response->add_results()->add_entries();
    entry.set_name("max.message.bytes");
    entry.set_value(std::to_string(state_.limits[request->resources(0).name()]));
    return grpc::Status::OK;
  }

 private:
  State& state_;
};

class Cluster final : public v1::ClusterService::Service {
 public:
  explicit Cluster(State& state) : state_(state) {}

  // A page has the partitions of one topic; the token is the index of the topic.
  grpc::Status GetMetadata(grpc::ServerContext*, const v1::GetMetadataRequest* request,
                           v1::GetMetadataResponse* response) override {
    const std::lock_guard lock(state_.mutex);
    if (auto status = state_.Check("GetMetadata", ""); !status.ok()) return status;
    response->set_metadata_version(state_.version);
    response->set_controller_id(state_.controller);
    for (const auto& [node, address] : state_.nodes) {
      v1::Broker& broker = *response->add_brokers();
      broker.set_broker_id(node);
      broker.mutable_endpoint()->set_host(address.substr(0, address.rfind(':')));
      broker.mutable_endpoint()->set_port(std::stoi(address.substr(address.rfind(':') + 1)));
    }
    const std::string& token = request->page().page_token();
    const int index = token.empty() ? 0 : std::stoi(token);
    if (index >= request->topics_size()) return grpc::Status::OK;
    const std::string& name = request->topics(index);
    if (index + 1 < request->topics_size())
      response->set_next_page_token(std::to_string(index + 1));
    v1::TopicMetadata& topic = *response->add_topics();
    topic.set_topic(name);
    if (state_.topics.count(name) == 0) {
      *topic.mutable_error() = NotFound(name);
      return grpc::Status::OK;
    }
    state_.Describe(name, topic);
    return grpc::Status::OK;
  }

 private:
  State& state_;
};

class Fetch final : public v1::FetchService::Service {
 public:
  Fetch(State& state, int32_t node) : state_(state), node_(node) {}

  grpc::Status ListOffsets(grpc::ServerContext*, const v1::ListOffsetsRequest* request,
                           v1::ListOffsetsResponse* response) override {
    const std::lock_guard lock(state_.mutex);
    if (auto status = state_.Check("ListOffsets", ""); !status.ok()) return status;
    for (const auto& query : request->queries()) {
      auto& result = *response->add_results();
      const std::string& topic = query.partition().topic();
      if (state_.topics.count(topic) == 0) {
        *result.mutable_error() = NotFound(topic);
        continue;
      }
      if (!query.topic_id().empty() && query.topic_id() != state_.ids[topic]) {
        *result.mutable_error() = Unknown();
        continue;
      }
      const Place place(topic, query.partition().partition());
      if (const auto refusal = state_.Refusal(node_, place)) {
        *result.mutable_error() = *refusal;
        continue;
      }
      result.set_offset(
          Find(state_.logs[{topic, query.partition().partition()}], query.position()));
    }
    return grpc::Status::OK;
  }

  grpc::Status FetchStream(
      grpc::ServerContext* context,
      grpc::ServerReaderWriter<v1::FetchStreamResponse, v1::FetchStreamRequest>* stream) override {
    v1::FetchStreamRequest request;
    if (!stream->Read(&request) || !request.has_open()) return grpc::Status::OK;
    Session session;
    session.bytes_max = request.open().max_batch_bytes();
    {
      const std::lock_guard lock(state_.mutex);
      if (auto status = state_.Check("FetchStream", ""); !status.ok()) return status;
      state_.streams[context] = node_;
      ++state_.stream_count;
      state_.fetched_credit = 0;
      state_.fetch_message_bytes = session.bytes_max;
    }
    std::thread reader([&] {
      v1::FetchStreamRequest next;
      while (stream->Read(&next)) OnRequest(next, session);
      const std::lock_guard lock(state_.mutex);
      session.ended = true;
      state_.changed.notify_all();
    });
    v1::FetchStreamResponse opened;
    opened.mutable_opened();
    stream->Write(opened);
    Serve(*stream, session);
    context->TryCancel();
    reader.join();
    const std::lock_guard lock(state_.mutex);
    state_.streams.erase(context);
    return {grpc::StatusCode::UNAVAILABLE, "broken"};
  }

 private:
  struct Slot {
    std::string topic_id;
    Place place;
    int64_t next = 0;
    int64_t caught_up_at = -1;
  };
  struct Session {
    std::map<int32_t, Slot> slots;
    int64_t credit = 0;
    int32_t bytes_max = 0;
    bool ended = false;
  };

  static int64_t Find(const Log& log, const v1::Position& position) {
    if (position.anchor() == v1::Position::ANCHOR_EARLIEST) return log.log_start;
    if (position.anchor() == v1::Position::ANCHOR_LATEST) return log.end;
    if (position.at_case() == v1::Position::kTail)
      return std::max(log.log_start, log.end - position.tail());
    for (const RecordBatch& batch : log.batches) {
      if (batch.header.max_timestamp.value >= position.timestamp_ms())
        return batch.header.base_offset.value;
    }
    return -1;
  }

  void OnRequest(const v1::FetchStreamRequest& request, Session& session) {
    const std::lock_guard lock(state_.mutex);
    if (request.message_case() == v1::FetchStreamRequest::kCreditBytes) {
      session.credit += request.credit_bytes();
      state_.fetched_credit += request.credit_bytes();
    }
    if (request.has_remove()) session.slots.erase(request.remove().slot());
    if (request.has_add()) {
      session.slots[request.add().slot()] = {
          request.add().topic_id(),
          {request.add().partition().topic(), request.add().partition().partition()},
          request.add().position().offset(),
          -1};
    }
    state_.changed.notify_all();
  }

  void Serve(grpc::ServerReaderWriter<v1::FetchStreamResponse, v1::FetchStreamRequest>& stream,
             Session& session) {
    while (true) {
      v1::FetchStreamResponse response;
      {
        std::unique_lock lock(state_.mutex);
        state_.changed.wait(lock, [&] { return session.ended || Next(session, &response); });
        if (session.ended) return;
      }
      if (!stream.Write(response)) return;
    }
  }

  // The next message, if there is one.
  bool Next(Session& session, v1::FetchStreamResponse* response) {
    for (auto& [number, slot] : session.slots) {
      if (state_.topics.count(slot.place.first) == 0) {
        return Fail(session, number, slot.topic_id.empty() ? NotFound(slot.place.first) : Unknown(),
                    response);
      }
      if (!slot.topic_id.empty() && slot.topic_id != state_.ids[slot.place.first])
        return Fail(session, number, Unknown(), response);
      if (const auto failure = state_.failures.find("slot");
          failure != state_.failures.end() && failure->second.second > 0) {
        --failure->second.second;
        return Fail(session, number, failure->second.first, response);
      }
      if (const auto refusal = state_.Refusal(node_, slot.place))
        return Fail(session, number, *refusal, response);
      Log& log = state_.logs[slot.place];
      if (slot.next < log.log_start || slot.next > log.end) {
        return Fail(session, number,
                    MakeStatus(Reason::kOffsetOutOfRange, "out of range",
                               v1::WriteOutcome::OUTCOME_UNSPECIFIED),
                    response);
      }
      if (slot.next == log.end) {
        if (slot.caught_up_at == slot.next) continue;
        slot.caught_up_at = slot.next;
        response->mutable_event()->set_slot(number);
        response->mutable_event()->set_caught_up_at(slot.next);
        return true;
      }
      if (session.credit <= 0) continue;
      return Send(session, number, slot, log, response);
    }
    return false;
  }

  bool Send(Session& session, int32_t number, Slot& slot, const Log& log,
            v1::FetchStreamResponse* response) {
    std::string bytes;
    int64_t next = slot.next;
    for (const RecordBatch& batch : log.batches) {
      if (batch.header.next_offset().value <= next) continue;
      if (bytes.size() + batch.bytes.size() > static_cast<size_t>(session.bytes_max)) {
        if (!bytes.empty()) break;
        return Fail(
            session, number,
            MakeStatus(Reason::kFetchTooSmall, "too small", v1::WriteOutcome::OUTCOME_UNSPECIFIED,
                       {{"needed_bytes", std::to_string(batch.bytes.size())}}),
            response);
      }
      bytes += batch.bytes.ToString();
      next = batch.header.next_offset().value;
    }
    v1::FetchData& data = *response->mutable_data();
    data.set_slot(number);
    data.set_next_offset(next);
    data.set_high_watermark(log.end);
    data.set_log_start_offset(log.log_start);
    data.set_charged_bytes(static_cast<int32_t>(bytes.size()));
    data.set_record_batches(bytes);
    session.credit -= data.charged_bytes();
    slot.next = next;
    return true;
  }

  static bool Fail(Session& session, int32_t number, const google::rpc::Status& status,
                   v1::FetchStreamResponse* response) {
    response->mutable_event()->set_slot(number);
    *response->mutable_event()->mutable_error() = status;
    session.slots.erase(number);
    return true;
  }

  State& state_;
  const int32_t node_;
};

}  // namespace

// The services of one start, and the server.
struct Running {
  Running(FakeServer::State& state, int32_t node)
      : produce(state, node),
        topics(state, node),
        configs(state),
        cluster(state),
        fetch(state, node) {}
  Produce produce;
  Topics topics;
  Configs configs;
  Cluster cluster;
  Fetch fetch;
  std::unique_ptr<grpc::Server> server;
};

FakeServer::FakeServer() : state_(std::make_shared<State>()), node_(1), address_("127.0.0.1:0") {
  state_->owner = this;
  Start();
}

FakeServer::FakeServer(FakeServer& other)
    : state_(other.state_),
      node_(static_cast<int32_t>(state_->nodes.size()) + 1),
      address_("127.0.0.1:0") {
  Start();
}

FakeServer::~FakeServer() { Stop(); }

void FakeServer::Start() {
  running_ = std::make_unique<Running>(*state_, node_);
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort(address_, grpc::InsecureServerCredentials(), &port);
  builder.SetMaxReceiveMessageSize(8 << 20);
  builder.RegisterService(&running_->produce);
  builder.RegisterService(&running_->topics);
  builder.RegisterService(&running_->configs);
  builder.RegisterService(&running_->cluster);
  builder.RegisterService(&running_->fetch);
  running_->server = builder.BuildAndStart();
  CHECK(running_->server != nullptr);
  address_ = "127.0.0.1:" + std::to_string(port);
  Advertise(address_);
}

void FakeServer::Stop() {
  if (running_ == nullptr) return;
  BreakStreams();
  running_->server->Shutdown(std::chrono::system_clock::time_point());
  running_.reset();
}

void FakeServer::BreakStreams() {
  const std::lock_guard lock(state_->mutex);
  for (const auto& [context, node] : state_->streams) {
    if (node == node_) context->TryCancel();
  }
}

void FakeServer::Lead(const std::string& topic, int32_t partition) {
  const std::lock_guard lock(state_->mutex);
  State::Leader& leader = state_->leaders[{topic, partition}];
  leader = {node_, leader.epoch + 1};
  ++state_->version;
  state_->changed.notify_all();
}

void FakeServer::SetController(int32_t node) {
  const std::lock_guard lock(state_->mutex);
  state_->controller = node;
  ++state_->version;
}

std::vector<int32_t> FakeServer::creators() const {
  const std::lock_guard lock(state_->mutex);
  return state_->creators;
}

void FakeServer::LeaveWithoutLeader(const std::string& topic, int32_t partition) {
  const std::lock_guard lock(state_->mutex);
  State::Leader& leader = state_->leaders[{topic, partition}];
  leader = {-1, leader.epoch + 1};
  ++state_->version;
  state_->changed.notify_all();
}

void FakeServer::set_gives_hints(bool gives) {
  const std::lock_guard lock(state_->mutex);
  state_->gives_hints = gives;
}

void FakeServer::Advertise(const std::string& address) {
  const std::lock_guard lock(state_->mutex);
  state_->nodes[node_] = address;
  ++state_->version;
}

int FakeServer::CallCount(const std::string& method) const {
  const std::lock_guard lock(state_->mutex);
  const auto count = state_->calls.find(method);
  return count == state_->calls.end() ? 0 : count->second;
}

void FakeServer::CreateTopic(const std::string& name, int32_t partitions, size_t limit) {
  const std::lock_guard lock(state_->mutex);
  state_->Make(name, partitions, limit);
}

void FakeServer::DeleteTopic(const std::string& name) {
  const std::lock_guard lock(state_->mutex);
  state_->topics.erase(name);
  state_->changed.notify_all();
}

void FakeServer::ForgetProducers() {
  const std::lock_guard lock(state_->mutex);
  for (auto& [place, log] : state_->logs) log.producers.clear();
}

void FakeServer::Append(const std::string& topic, int32_t partition, const RecordBatch& batch) {
  const std::lock_guard lock(state_->mutex);
  bool duplicate = false;
  CHECK(std::holds_alternative<int64_t>(
      state_->Append(state_->logs[{topic, partition}], batch, &duplicate)));
}

void FakeServer::SetLogStart(const std::string& topic, int32_t partition, int64_t offset) {
  const std::lock_guard lock(state_->mutex);
  state_->logs[{topic, partition}].log_start = offset;
}

void FakeServer::FailCalls(const std::string& method, const google::rpc::Status& status,
                           int times) {
  const std::lock_guard lock(state_->mutex);
  state_->failures[method] = {status, times};
}

void FakeServer::set_window(int64_t bytes, int32_t frames) {
  const std::lock_guard lock(state_->mutex);
  state_->window_bytes = bytes;
  state_->window_frames = frames;
}

std::vector<std::string> FakeServer::Values(const std::string& topic, int32_t partition) const {
  std::vector<std::string> values;
  for (const RecordBatch& batch : Batches(topic, partition)) {
    auto reader = RecordReader::Open(batch, SIZE_MAX);
    CHECK(reader.ok());
    for (int32_t i = 0; i < batch.header.record_count; ++i)
      values.emplace_back((**reader->Next()).value.value_or("(null)"));
  }
  return values;
}

std::vector<RecordBatch> FakeServer::Batches(const std::string& topic, int32_t partition) const {
  const std::lock_guard lock(state_->mutex);
  return state_->logs[{topic, partition}].batches;
}

std::vector<FrameSeen> FakeServer::frames() const {
  const std::lock_guard lock(state_->mutex);
  return state_->frames;
}

int FakeServer::session_count() const {
  const std::lock_guard lock(state_->mutex);
  return state_->sessions;
}

int FakeServer::stream_count() const {
  const std::lock_guard lock(state_->mutex);
  return state_->stream_count;
}

int64_t FakeServer::fetched_credit() const {
  const std::lock_guard lock(state_->mutex);
  return state_->fetched_credit;
}

int32_t FakeServer::fetch_message_bytes() const {
  const std::lock_guard lock(state_->mutex);
  return state_->fetch_message_bytes;
}

}  // namespace gregor
