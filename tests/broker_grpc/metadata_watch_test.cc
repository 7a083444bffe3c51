#include <future>
#include <map>
#include <set>

#include "gregor/v1/cluster.grpc.pb.h"
#include "tests/broker_grpc/control_harness.h"

namespace gregor {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::IsEmpty;

// What a client makes of the messages.
struct View {
  std::map<std::string, std::map<int32_t, v1::PartitionMetadata>> topics;  // by id
  std::map<std::string, std::string> ids;                                  // by name
  std::set<std::string> missing;
  int64_t version = -1;
  int brokers = 0;

  void Take(const v1::GetMetadataResponse& metadata) {
    version = metadata.metadata_version();
    if (metadata.brokers_size() > 0) brokers = metadata.brokers_size();
    for (const auto& topic : metadata.topics()) {
      if (topic.has_error()) {
        if (topic.topic_id().empty()) missing.insert(topic.topic());
        topics.erase(topic.topic_id());
        if (ids[topic.topic()] == topic.topic_id()) ids.erase(topic.topic());
        continue;
      }
      ids[topic.topic()] = topic.topic_id();
      for (const auto& each : topic.partitions()) topics[topic.topic_id()][each.partition()] = each;
    }
  }
  std::vector<std::string> names() const {
    std::vector<std::string> result;
    for (const auto& [name, id] : ids) result.push_back(name);
    return result;
  }
  const auto& of(const std::string& name) { return topics[ids[name]]; }
};

class MetadataWatchTest : public ControlTest {
 protected:
  using Stream = std::unique_ptr<grpc::ClientReader<v1::WatchMetadataResponse>>;

  void Start(GrpcServer::Options options = {}) {
    StartServer(options);
    stub_ = v1::ClusterService::NewStub(channel_);
  }
  Stream Watch(const v1::WatchMetadataRequest& request = {}) {
    context_ = NewContext();
    return stub_->WatchMetadata(context_.get(), request);
  }
  // Reads until the first state is complete; returns how many messages it took.
  int ReadAll(grpc::ClientReader<v1::WatchMetadataResponse>& stream, View& view) {
    for (int messages = 1;; ++messages) {
      if (!stream.Read(&message_)) {
        ADD_FAILURE() << "the stream ended";
        return messages;
      }
      largest_ = std::max(largest_, message_.SpaceUsedLong());
      view.Take(message_.metadata());
      if (message_.complete()) return messages;
    }
  }
  // Reads until the view is at the broker's version.
  void CatchUp(grpc::ClientReader<v1::WatchMetadataResponse>& stream, View& view) {
    do {
      ASSERT_TRUE(stream.Read(&message_));
      view.Take(message_.metadata());
    } while (!message_.complete() || view.version < broker_.image()->version.value);
  }

  std::unique_ptr<v1::ClusterService::Stub> stub_;
  std::unique_ptr<grpc::ClientContext> context_;
  v1::WatchMetadataResponse message_;
  size_t largest_ = 0;
};

TEST_F(MetadataWatchTest, AnEmptyClusterIsCompleteAtOnce) {
  Start();
  const auto stream = Watch();
  View view;
  EXPECT_EQ(ReadAll(*stream, view), 1);
  EXPECT_EQ(view.brokers, 1);
  EXPECT_THAT(view.names(), IsEmpty());
  EXPECT_EQ(message_.metadata().cluster_id(), broker_.image()->cluster_id.ToString());
  EXPECT_EQ(message_.metadata().controller_id(), 1);
  EXPECT_GT(message_.metadata().capabilities_size(), 0);
}

TEST_F(MetadataWatchTest, TheFirstStateComesInMessagesOfBoundedSize) {
  for (int i = 0; i < 700; ++i) broker_.AddTopic("t" + std::to_string(i), 3);
  broker_.AddTopic("big", 60'000);
  Start();
  const auto stream = Watch();
  View view;
  EXPECT_GT(ReadAll(*stream, view), 3);
  EXPECT_LT(largest_, 300u << 10);  // reused objects keep what they had
  EXPECT_EQ(view.topics.size(), 701u);
  EXPECT_EQ(view.of("big").size(), 60'000u);
  EXPECT_EQ(view.of("t699").size(), 3u);
}

TEST_F(MetadataWatchTest, LaterMessagesHaveOnlyWhatChanged) {
  broker_.AddTopic("orders", 100);
  broker_.AddTopic("other", 100);
  Start();
  const auto stream = Watch();
  View view;
  ReadAll(*stream, view);
  const auto read = [&]() -> const v1::GetMetadataResponse& {
    EXPECT_TRUE(stream->Read(&message_));
    EXPECT_TRUE(message_.complete());
    view.Take(message_.metadata());
    return message_.metadata();
  };
  broker_.SetPartition("orders", FakeBroker::MakePartition(42, -1, 9));
  const auto& change = read();
  EXPECT_EQ(change.brokers_size(), 0);
  ASSERT_EQ(change.topics_size(), 1);
  EXPECT_EQ(change.topics(0).topic(), "orders");
  EXPECT_EQ(change.topics(0).partition_count(), 100);
  ASSERT_EQ(change.topics(0).partitions_size(), 1);
  EXPECT_EQ(change.topics(0).partitions(0).partition(), 42);
  EXPECT_EQ(change.topics(0).partitions(0).leader_epoch(), 9);

  broker_.AddBroker(2, /*fenced=*/false);
  EXPECT_EQ(read().brokers_size(), 2);
  EXPECT_EQ(message_.metadata().topics_size(), 0);

  broker_.RemoveTopic("other");
  ASSERT_EQ(read().topics_size(), 1);
  EXPECT_EQ(ErrorOfStatus(message_.metadata().topics(0).error()).reason, Reason::kTopicNotFound);
  EXPECT_THAT(view.names(), ElementsAre("orders"));
}

TEST_F(MetadataWatchTest, ATopicThatWasCreatedAnewIsToldAsGoneAndNew) {
  const TopicPtr before = broker_.AddTopic("orders", 2);
  Start();
  const auto stream = Watch();
  View view;
  ReadAll(*stream, view);
  const TopicPtr after = broker_.AddTopic("orders", 3);
  ASSERT_TRUE(stream->Read(&message_));
  ASSERT_EQ(message_.metadata().topics_size(), 2);
  EXPECT_EQ(message_.metadata().topics(0).topic_id(),
            std::string(before->id.bytes.begin(), before->id.bytes.end()));
  EXPECT_TRUE(message_.metadata().topics(0).has_error());
  EXPECT_EQ(message_.metadata().topics(1).topic_id(),
            std::string(after->id.bytes.begin(), after->id.bytes.end()));
  EXPECT_EQ(message_.metadata().topics(1).partitions_size(), 3);
  view.Take(message_.metadata());
  EXPECT_EQ(view.topics.size(), 1u);
}

TEST_F(MetadataWatchTest, WatchesNamedTopicsBeforeTheyExist) {
  broker_.AddTopic("other", 1);
  Start();
  v1::WatchMetadataRequest request;
  request.add_topics("orders");
  const auto stream = Watch(request);
  View view;
  EXPECT_EQ(ReadAll(*stream, view), 1);
  EXPECT_THAT(view.missing, ElementsAre("orders"));
  broker_.AddTopic("another", 1);
  broker_.AddTopic("orders", 2);
  CatchUp(*stream, view);
  EXPECT_THAT(view.names(), ElementsAre("orders"));
  EXPECT_EQ(view.of("orders").size(), 2u);
}

TEST_F(MetadataWatchTest, WatchesTopicsByPatternAndName) {
  for (const char* name : {"a.1", "a.2", "a1", "b"}) broker_.AddTopic(name, 1);
  Start();
  v1::WatchMetadataRequest request;
  request.set_topic_regex("a\\.[0-9]+");
  {
    const auto stream = Watch(request);
    View view;
    ReadAll(*stream, view);
    EXPECT_THAT(view.names(), ElementsAre("a.1", "a.2"));
    broker_.AddTopic("b.3", 1);
    broker_.AddTopic("a.3", 1);
    CatchUp(*stream, view);
    EXPECT_THAT(view.names(), ElementsAre("a.1", "a.2", "a.3"));
    context_->TryCancel();
  }
  request.add_topics("b");
  request.add_topics("none");
  const auto stream = Watch(request);
  View view;
  ReadAll(*stream, view);
  EXPECT_THAT(view.names(), ElementsAre("a.1", "a.2", "a.3", "b"));
  EXPECT_THAT(view.missing, ElementsAre("none"));
}

TEST_F(MetadataWatchTest, RefusesWhatItCannotUnderstand) {
  Start();
  const auto reason = [&](const v1::WatchMetadataRequest& request) {
    const auto stream = Watch(request);
    EXPECT_FALSE(stream->Read(&message_));
    return ReasonOf(stream->Finish());
  };
  v1::WatchMetadataRequest request;
  request.set_topic_regex("a(");
  EXPECT_EQ(reason(request), Reason::kInvalidArgument);
  request.set_topic_regex(std::string(2000, 'a'));
  EXPECT_EQ(reason(request), Reason::kInvalidArgument);
  // Whatever backtracks elsewhere; and what would take much memory.
  request.set_topic_regex("((a{1,1000}){1,1000}){1,1000}");
  EXPECT_EQ(reason(request), Reason::kInvalidArgument);
  request.clear_topic_regex();
  for (int i = 0; i < 1001; ++i) request.add_topics("t" + std::to_string(i));
  EXPECT_EQ(reason(request), Reason::kInvalidArgument);
  broker_.ForgetImage();
  EXPECT_EQ(reason({}), Reason::kLeaderNotAvailable);
}

TEST_F(MetadataWatchTest, ManyChangesAtOnceAreToldAsTheLatestState) {
  Start();
  const auto stream = Watch();
  View view;
  ReadAll(*stream, view);
  for (int i = 0; i < 3000; ++i) broker_.AddTopic("t" + std::to_string(i), 1);
  for (int i = 0; i < 1500; ++i) broker_.RemoveTopic("t" + std::to_string(i));
  for (int i = 0; i < 700; ++i)
    broker_.SetPartition("t2999", FakeBroker::MakePartition(0, 1, 100 + i));
  CatchUp(*stream, view);
  EXPECT_EQ(view.topics.size(), 1500u);
  EXPECT_EQ(view.ids.size(), 1500u);
  EXPECT_EQ(view.of("t2999").at(0).leader_epoch(), 799);
}

TEST_F(MetadataWatchTest, ASilentStreamGetsSignsOfLife) {
  Start({.heartbeat_interval = milliseconds(40)});
  const auto stream = Watch();
  View view;
  ReadAll(*stream, view);
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(stream->Read(&message_));
    EXPECT_FALSE(message_.has_metadata());
    EXPECT_TRUE(message_.complete());
  }
}

TEST_F(MetadataWatchTest, EndsAsPlannedWhenTheServerDrains) {
  Start();
  const auto stream = Watch();
  View view;
  ReadAll(*stream, view);
  server_->Drain();
  ASSERT_TRUE(stream->Read(&message_));
  EXPECT_GT(message_.draining().close_in_ms(), 0);
  EXPECT_FALSE(stream->Read(&message_));
  EXPECT_TRUE(stream->Finish().ok());
  const auto late = Watch();
  EXPECT_FALSE(late->Read(&message_));
  EXPECT_EQ(ReasonOf(late->Finish()), Reason::kServerDraining);
}

TEST_F(MetadataWatchTest, AClientThatWentIsForgotten) {
  Start({.heartbeat_interval = milliseconds(20), .watches_max = 1});
  {
    const auto stream = Watch();
    View view;
    ReadAll(*stream, view);
    EXPECT_EQ(broker_.observer_count(), 1u);
    const auto context = NewContext();
    const auto second = stub_->WatchMetadata(context.get(), {});
    EXPECT_FALSE(second->Read(&message_));
    EXPECT_EQ(ReasonOf(second->Finish()), Reason::kQuotaExceeded);
    context_->TryCancel();
  }
  // Its place becomes free when the server has heard of it.
  for (;;) {
    const auto stream = Watch();
    if (stream->Read(&message_)) break;
    ASSERT_EQ(ReasonOf(stream->Finish()), Reason::kQuotaExceeded);
    context_ = nullptr;
  }
  EXPECT_EQ(broker_.observer_count(), 1u);
}

TEST_F(MetadataWatchTest, AClientThatTakesNothingIsCutOff) {
  for (int i = 0; i < 3; ++i) broker_.AddTopic("t" + std::to_string(i), 20'000);
  Start({.heartbeat_interval = milliseconds(20), .watch_stalled_after = milliseconds(100)});
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  arguments.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 65'536);
  channel_ = grpc::CreateCustomChannel(address_, grpc::InsecureChannelCredentials(), arguments);
  stub_ = v1::ClusterService::NewStub(channel_);
  const auto stream = Watch();
  stream->WaitForInitialMetadata();
  // Changes go on; the stream holds none of them.
  while (broker_.observer_count() > 0)
    broker_.SetPartition("t1", FakeBroker::MakePartition(7, 1, 50));
  View view;
  while (stream->Read(&message_)) EXPECT_FALSE(message_.complete());
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
}

TEST_F(MetadataWatchTest, StreamsAreCounted) {
  const auto has = [&](const std::string& line) {
    return metrics_->Render().find(line) != std::string::npos;
  };
  const std::string method = "method=\"gregor.v1.ClusterService/WatchMetadata\"}";
  Start();
  const auto stream = Watch();
  View view;
  ReadAll(*stream, view);
  EXPECT_TRUE(has("gregor_grpc_streams_open{" + method + " 1")) << metrics_->Render();
  server_->Drain();
  while (stream->Read(&message_)) {
  }
  EXPECT_TRUE(stream->Finish().ok());
  StopServer();
  EXPECT_TRUE(has("gregor_grpc_streams_open{" + method + " 0"));
  EXPECT_TRUE(has("gregor_grpc_calls_total{code=\"OK\"," + method + " 1"));
}

TEST_F(MetadataWatchTest, AServerThatShutsDownEndsItsStreams) {
  Start();
  const auto stream = Watch();
  View view;
  ReadAll(*stream, view);
  StopServer();
  EXPECT_FALSE(stream->Read(&message_));
  EXPECT_FALSE(stream->Finish().ok());
  EXPECT_EQ(broker_.observer_count(), 0u);
}

}  // namespace
}  // namespace gregor
