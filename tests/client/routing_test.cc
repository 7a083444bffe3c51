#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <set>

#include "client/admin.h"
#include "client/consumer.h"
#include "client/producer.h"
#include "client/record_cursor.h"
#include "client/router.h"
#include "tests/client/fake_server.h"

namespace gregor {
namespace {

constexpr Duration kPatience = std::chrono::seconds(20);

// Three brokers; topic "orders" has six partitions, two for each broker.
class Routing : public testing::Test {
 protected:
  Routing() : second_(first_), third_(first_) {
    first_.CreateTopic("orders", 6);
    for (int32_t partition = 0; partition < 6; ++partition)
      Broker(1 + partition % 3).Lead("orders", partition);
  }

  FakeServer& Broker(int32_t node) { return node == 1 ? first_ : node == 2 ? second_ : third_; }
  std::string AllAddresses() {
    return first_.address() + "," + second_.address() + "," + third_.address();
  }

  std::unique_ptr<Producer> NewProducer(const std::string& server) {
    ProducerOptions options;
    options.server = server;
    auto producer = Producer::Create(options, [this](const Delivery& delivery) {
      const std::lock_guard lock(mutex_);
      if (delivery.error == nullptr) acknowledged_ += delivery.record_count;
    });
    CHECK(producer.ok()) << producer.error();
    return *std::move(producer);
  }
  // Records "0", "1" ... one after the other to all partitions.
  void Send(Producer& producer, int from, int to) {
    for (int i = from; i < to; ++i) {
      const std::string value = std::to_string(i);
      NewRecord record;
      record.value = value;
      const auto sent = producer.Send("orders", PartitionIndex{i % 6}, record);
      ASSERT_TRUE(sent.ok()) << sent.error();
    }
  }
  // Waits until it holds.
  static bool Eventually(const std::function<bool()>& condition) {
    const MonotonicTime end = SystemClock().Now() + kPatience;
    std::mutex mutex;
    std::condition_variable never;
    std::unique_lock lock(mutex);
    while (!condition()) {
      if (SystemClock().Now() > end) return false;
      never.wait_for(lock, std::chrono::milliseconds(5));
    }
    return true;
  }
  int64_t acknowledged() {
    const std::lock_guard lock(mutex_);
    return acknowledged_;
  }
  // Every partition has its records of 0 .. `count`, each once and in order.
  void ExpectAllWritten(int count) {
    for (int32_t partition = 0; partition < 6; ++partition) {
      std::vector<std::string> expected;
      for (int i = partition; i < count; i += 6) expected.push_back(std::to_string(i));
      EXPECT_EQ(first_.Values("orders", partition), expected) << "partition " << partition;
    }
    EXPECT_EQ(acknowledged(), count);
  }
  // The brokers that took frames of the partition, in the order in which they did.
  std::vector<int32_t> TakersOf(int32_t partition) {
    std::vector<int32_t> nodes;
    for (const FrameSeen& frame : first_.frames()) {
      if (frame.partition == partition && (nodes.empty() || nodes.back() != frame.node))
        nodes.push_back(frame.node);
    }
    return nodes;
  }

  static std::unique_ptr<Consumer> NewConsumer(const std::string& server) {
    ConsumerOptions options;
    options.server = server;
    return Consumer::Create(std::move(options));
  }
  // Reads until `count` records are there; the values by partition.
  static std::map<int32_t, std::vector<std::string>> Read(Consumer& consumer, size_t count) {
    std::map<int32_t, std::vector<std::string>> values;
    for (size_t got = 0; got < count;) {
      auto consumed = consumer.Poll(kPatience);
      CHECK(consumed.ok()) << consumed.error();
      CHECK(consumed->has_value()) << "nothing came";
      RecordCursor cursor(**consumed);
      for (auto record = cursor.Next(); record->has_value(); record = cursor.Next(), ++got)
        values[(*consumed)->partition.value].emplace_back(*(*record)->value);
    }
    return values;
  }
  static std::map<int32_t, std::vector<std::string>> Expected(int from, int to) {
    std::map<int32_t, std::vector<std::string>> values;
    for (int i = from; i < to; ++i) values[i % 6].push_back(std::to_string(i));
    return values;
  }
  static void AssignAll(Consumer& consumer, StartPosition start) {
    for (int32_t i = 0; i < 6; ++i) consumer.Assign("orders", PartitionIndex{i}, start);
  }

  FakeServer first_;
  FakeServer second_;
  FakeServer third_;
  std::mutex mutex_;
  int64_t acknowledged_ = 0;
};

TEST_F(Routing, AProducerSendsToTheLeadersFromTheFirstFrameOn) {
  const auto producer = NewProducer(second_.address());
  Send(*producer, 0, 60);
  producer->Flush();
  ExpectAllWritten(60);
  for (int32_t partition = 0; partition < 6; ++partition)
    EXPECT_EQ(TakersOf(partition), (std::vector<int32_t>{1 + partition % 3}));
}

TEST_F(Routing, AProducerFollowsTheHintOfABrokerThatDoesNotLeadAnyMore) {
  const auto producer = NewProducer(first_.address());
  Send(*producer, 0, 12);
  producer->Flush();
  const int questions = first_.CallCount("GetMetadata");
  third_.Lead("orders", 0);
  Send(*producer, 12, 24);
  producer->Flush();
  ExpectAllWritten(24);
  EXPECT_EQ(TakersOf(0), (std::vector<int32_t>{1, 3}));
  EXPECT_EQ(first_.CallCount("GetMetadata"), questions) << "the hint was enough";
}

TEST_F(Routing, AProducerAsksWhereABrokerDoesNotSayWhoLeads) {
  const auto producer = NewProducer(first_.address());
  first_.set_gives_hints(false);
  Send(*producer, 0, 12);
  producer->Flush();
  second_.Lead("orders", 0);
  Send(*producer, 12, 24);
  producer->Flush();
  ExpectAllWritten(24);
  EXPECT_EQ(TakersOf(0), (std::vector<int32_t>{1, 2}));
}

TEST_F(Routing, LeadersThatMoveAllTheTimeLeaveNoGapNoDoubleAndNoDisorder) {
  int seen = 0;
  first_.on_frame = [&, mutex = std::make_shared<std::mutex>()](const FrameSeen& frame) {
    const std::lock_guard lock(*mutex);
    // Some are in the log although their stream breaks, and the next leader has them then.
    if (++seen % 23 == 0) return FrameAction{FrameAction::Kind::kAppendAndBreak, {}};
    if (seen % 7 == 0) Broker(1 + seen % 3).Lead("orders", frame.partition);
    return FrameAction();
  };
  const auto producer = NewProducer(AllAddresses());
  for (int i = 0; i < 3000; i += 30) {
    Send(*producer, i, i + 30);
    if (i % 90 == 0) producer->Flush();
  }
  producer->Flush();
  ExpectAllWritten(3000);
}

TEST_F(Routing, ADeadBrokerDelaysNobodyElse) {
  const auto producer = NewProducer(first_.address());
  Send(*producer, 0, 6);
  producer->Flush();
  third_.Stop();
  Send(*producer, 6, 60);
  // Four of six partitions are led elsewhere.
  EXPECT_TRUE(Eventually([&] { return acknowledged() == 6 + 36; }));
  EXPECT_TRUE(Eventually([&] { return producer->trouble().has_value(); }));
  third_.Start();
  producer->Flush();
  ExpectAllWritten(60);
}

TEST_F(Routing, PartitionsOfADeadBrokerGoToTheNextLeader) {
  const auto producer = NewProducer(AllAddresses());
  Send(*producer, 0, 12);
  producer->Flush();
  first_.Stop();  // which was asked first, too
  Send(*producer, 12, 24);
  second_.Lead("orders", 0);
  third_.Lead("orders", 3);
  producer->Flush();
  ExpectAllWritten(24);
  EXPECT_EQ(TakersOf(0).back(), 2);
  EXPECT_EQ(TakersOf(3).back(), 3);
}

TEST_F(Routing, APartitionWithoutLeaderIsWrittenOnceItHasOne) {
  second_.LeaveWithoutLeader("orders", 1);
  const auto producer = NewProducer(first_.address());
  Send(*producer, 0, 6);
  ASSERT_TRUE(Eventually([&] { return producer->trouble().has_value(); }));
  EXPECT_NE(producer->trouble()->message.find("no leader"), std::string::npos);
  second_.Lead("orders", 1);
  producer->Flush();
  ExpectAllWritten(6);
}

TEST_F(Routing, AConsumerReadsEachPartitionFromItsLeader) {
  const auto producer = NewProducer(first_.address());
  Send(*producer, 0, 600);
  producer->Flush();
  const auto consumer = NewConsumer(third_.address());
  AssignAll(*consumer, {StartPosition::Kind::kEarliest, 0});
  EXPECT_EQ(Read(*consumer, 600), Expected(0, 600));
}

TEST_F(Routing, AConsumerGoesOnWhereItWasWhenLeadersMove) {
  const auto producer = NewProducer(first_.address());
  const auto consumer = NewConsumer(first_.address());
  AssignAll(*consumer, {StartPosition::Kind::kEarliest, 0});
  for (int round = 0; round < 10; ++round) {
    first_.set_gives_hints(round % 2 == 0);
    Send(*producer, round * 60, round * 60 + 60);
    producer->Flush();
    EXPECT_EQ(Read(*consumer, 60), Expected(round * 60, round * 60 + 60)) << "round " << round;
    for (int32_t partition = 0; partition < 6; ++partition)
      Broker(1 + (partition + round) % 3).Lead("orders", partition);
  }
}

TEST_F(Routing, AConsumerGoesOnWithTheNextLeaderOfADeadBroker) {
  const auto producer = NewProducer(AllAddresses());
  const auto consumer = NewConsumer(AllAddresses());
  Send(*producer, 0, 60);
  producer->Flush();
  AssignAll(*consumer, {StartPosition::Kind::kTail, 100});
  EXPECT_EQ(Read(*consumer, 60), Expected(0, 60));
  first_.Stop();
  second_.Lead("orders", 0);
  third_.Lead("orders", 3);
  Send(*producer, 60, 120);
  producer->Flush();
  EXPECT_EQ(Read(*consumer, 60), Expected(60, 120));
}

TEST_F(Routing, ABrokerMayComeBackAtAnotherAddress) {
  const auto producer = NewProducer(first_.address());
  const auto consumer = NewConsumer(first_.address());
  AssignAll(*consumer, {StartPosition::Kind::kEarliest, 0});
  Send(*producer, 0, 60);
  producer->Flush();
  EXPECT_EQ(Read(*consumer, 60), Expected(0, 60));
  third_.Stop();
  FakeServer moved(first_);
  for (const int32_t partition : {2, 5}) moved.Lead("orders", partition);
  Send(*producer, 60, 120);
  producer->Flush();
  ExpectAllWritten(120);
  EXPECT_EQ(Read(*consumer, 60), Expected(60, 120));
}

TEST_F(Routing, AdminCallsPassOverNodesThatDoNotAnswer) {
  const std::string addresses = AllAddresses();
  first_.Stop();
  second_.Stop();
  const Admin admin(addresses);
  EXPECT_EQ(*admin.PartitionCount("orders"), 6);
  // Nothing was sent to the others, so that this could be repeated, too.
  v1::CreateTopicRequest request;
  request.set_topic("new");
  request.set_partitions(1);
  EXPECT_TRUE(Admin(addresses).CreateTopic(request).ok());
}

// What was certainly not begun is asked of the next node, what may have been is the caller's
// matter.
TEST_F(Routing, ANodeThatStopsIsPassedOverWhereThatIsSafe) {
  const Admin admin(AllAddresses());
  v1::CreateTopicRequest request;
  request.set_topic("new");
  request.set_partitions(1);
  const auto stops = [](v1::WriteOutcome::Outcome outcome) {
    return MakeStatus(Reason::kServerDraining, "the broker stops", outcome);
  };
  first_.FailCalls("CreateTopic", stops(v1::WriteOutcome::OUTCOME_UNKNOWN), 1);
  const auto unknown = admin.CreateTopic(request);
  ASSERT_FALSE(unknown.ok());
  EXPECT_EQ(unknown.error().reason, Reason::kServerDraining);
  EXPECT_TRUE(IsRetriable(unknown.error()));
  EXPECT_EQ(DetailOf(unknown.error(), "outcome"), "UNKNOWN");
  EXPECT_EQ(first_.CallCount("CreateTopic"), 1);
  first_.FailCalls("CreateTopic", stops(v1::WriteOutcome::OUTCOME_NOT_APPLIED), 1);
  EXPECT_TRUE(admin.CreateTopic(request).ok());
  EXPECT_EQ(first_.CallCount("CreateTopic"), 3);
  // Reads, and items that may be sent again.
  first_.FailCalls("GetTopic", stops(v1::WriteOutcome::OUTCOME_UNKNOWN), 1);
  EXPECT_EQ(*admin.PartitionCount("orders"), 6);
  first_.FailCalls("ListOffsets", stops(v1::WriteOutcome::OUTCOME_UNKNOWN), 1);
  EXPECT_TRUE(admin.FindOffsets("orders", {0, 1}, AtAnchor(v1::Position::ANCHOR_LATEST)).ok());
}

TEST_F(Routing, OffsetsAndDeletionsAreAskedOfTheLeaders) {
  const auto producer = NewProducer(first_.address());
  Send(*producer, 0, 63);
  producer->Flush();
  const Admin admin(second_.address());
  const auto ends =
      admin.FindOffsets("orders", {5, 0, 1, 2, 3, 4}, AtAnchor(v1::Position::ANCHOR_LATEST));
  ASSERT_TRUE(ends.ok()) << ends.error();
  EXPECT_EQ(*ends, (std::vector<int64_t>{10, 11, 11, 11, 10, 10}));
  const auto missing = admin.FindOffsets("missing", {0}, AtAnchor(v1::Position::ANCHOR_LATEST));
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().reason, Reason::kTopicNotFound);
}

TEST_F(Routing, ARouterIgnoresWhatIsOlderThanWhatItKnows) {
  const auto router = Router::Create(first_.address());
  ASSERT_TRUE(router->AskForTopic("orders", kPatience).ok());
  const PartitionIndex partition{0};
  EXPECT_EQ(router->LeaderOf("orders", partition), NodeId{1});
  const auto hint = [](int32_t node, int32_t epoch) {
    return Error(Reason::kNotLeader, "not here")
        .With("leader_id", std::to_string(node))
        .With("leader_epoch", std::to_string(epoch));
  };
  const Channel& from = *router->AnyNode();
  EXPECT_TRUE(router->LearnFrom(hint(2, 5), "orders", partition, from));
  EXPECT_FALSE(router->LearnFrom(hint(3, 4), "orders", partition, from));
  EXPECT_FALSE(router->LearnFrom(hint(2, 5), "orders", partition, from)) << "no news";
  EXPECT_EQ(router->LeaderOf("orders", partition), NodeId{2});
  ASSERT_TRUE(router->AskForTopic("orders", kPatience).ok());
  EXPECT_EQ(router->LeaderOf("orders", partition), NodeId{2}) << "the metadata are older";
}

class Changing : public Routing {
 protected:
  // The broker that was asked to create it.
  int32_t Create(const std::string& topic) {
    const auto created = TryCreate(topic);
    EXPECT_TRUE(created.ok()) << created.error();
    return first_.creators().empty() ? 0 : first_.creators().back();
  }
  // ... just after one was stopped: a call on its connection may end without an answer.
  int32_t CreateAfterStop(const std::string& topic) {
    if (const auto created = TryCreate(topic); created.ok()) return first_.creators().back();
    return Create(topic);
  }
  Result<v1::TopicMetadata> TryCreate(const std::string& topic) {
    v1::CreateTopicRequest request;
    request.set_topic(topic);
    request.set_partitions(1);
    return admin_.CreateTopic(request);
  }

  const std::shared_ptr<Router> router_ = Router::Create(first_.address());
  const Admin admin_{router_};
};

TEST_F(Changing, OneChangeAsksForNothing) {
  first_.SetController(2);
  EXPECT_EQ(Create("a"), 1);
  EXPECT_EQ(first_.CallCount("GetMetadata"), 0);
}

TEST_F(Changing, WhoChangesMoreGoesToTheController) {
  first_.SetController(2);
  Create("a");
  EXPECT_EQ(Create("b"), 2);
  EXPECT_EQ(Create("c"), 2);
  EXPECT_EQ(first_.CallCount("GetMetadata"), 2)
      << "the node at hand, and whether the controller answers";
  EXPECT_EQ(router_->AnyNode()->address(), second_.address()) << "what was changed is seen there";
}

TEST_F(Changing, AControllerThatServesNoClientsIsNotSought) {
  first_.SetController(9);
  Create("a");
  EXPECT_EQ(Create("b"), 1);
}

// As where ports are forwarded, or names are those of containers.
TEST_F(Changing, AControllerWhoseAddressIsNoneForThisClientIsNotGoneTo) {
  first_.SetController(2);
  second_.Advertise("nosuch.invalid:9094");
  for (const char* const topic : {"a", "b", "c", "d"}) EXPECT_EQ(Create(topic), 1) << topic;
}

// Connections are made there, and nobody takes them.
TEST_F(Changing, AControllerThatSaysNothingCostsOneQuestion) {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ASSERT_EQ(bind(listener, reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(listen(listener, 8), 0);
  ASSERT_EQ(getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size), 0);
  first_.SetController(2);
  second_.Advertise("127.0.0.1:" + std::to_string(ntohs(address.sin_port)));
  const MonotonicTime begin = SystemClock().Now();
  for (const char* const topic : {"a", "b", "c", "d"}) EXPECT_EQ(Create(topic), 1) << topic;
  EXPECT_LT(SystemClock().Now() - begin, std::chrono::seconds(4))
      << "less than a connection may take";
  EXPECT_EQ(first_.CallCount("GetMetadata"), 1);
  close(listener);
}

TEST_F(Changing, AControllerThatIsGoneIsPassedOverUntilItIsElsewhere) {
  first_.SetController(2);
  Create("a");
  ASSERT_EQ(Create("b"), 2);
  second_.Stop();
  EXPECT_NE(CreateAfterStop("c"), 2);
  // It is said to be there still: nobody goes there again.
  const int asked = first_.CallCount("GetMetadata");
  EXPECT_NE(Create("d"), 2);
  // Asked once more at most: none where the first call had found that nobody answers there.
  EXPECT_LE(first_.CallCount("GetMetadata"), asked + 1);
  EXPECT_NE(router_->AnyNode()->address(), second_.address());
}

TEST_F(Changing, ANewControllerIsFoundWhenTheOldOneIsGone) {
  first_.SetController(2);
  Create("a");
  ASSERT_EQ(Create("b"), 2);
  second_.Stop();
  first_.SetController(1);
  CreateAfterStop("c");
  EXPECT_EQ(Create("d"), 1);
  first_.SetController(3);
  first_.Stop();
  CreateAfterStop("e");
  EXPECT_EQ(Create("f"), 3);
}

TEST(Router, TheOnlyBrokerOfAClusterIsWhereItAnswered) {
  FakeServer server;
  server.CreateTopic("orders", 1);
  server.Advertise("127.0.0.1:1");
  server.SetController(1);
  const auto router = Router::Create(server.address());
  ASSERT_TRUE(router->AskForTopic("orders", kPatience).ok());
  EXPECT_EQ(router->ChannelTo(*router->LeaderOf("orders", PartitionIndex{0}))->address(),
            server.address());
}

// The broker's node, another one that is a controller only, and what any of them says of who the
// brokers are.
class OnlyBroker : public testing::Test {
 protected:
  OnlyBroker() {
    answer_.set_cluster_id("cluster");
    answer_.add_brokers()->set_broker_id(11);
    answer_.mutable_brokers(0)->mutable_endpoint()->set_host("127.0.0.1");
    const std::string port = broker_.address().substr(broker_.address().rfind(':') + 1);
    answer_.mutable_brokers(0)->mutable_endpoint()->set_port(std::stoi(port));
    auto& topic = *answer_.add_topics();
    topic.set_topic("orders");
    topic.set_partition_count(1);
    topic.add_partitions()->set_leader_id(11);
  }
  // Where the broker is after an answer that calls `controller` the active one.
  std::string Learn(int32_t controller) {
    answer_.set_controller_id(controller);
    router_->Learn(answer_, *router_->AnyNode());
    return router_->ChannelTo(NodeId{11})->address();
  }
  // The node that was asked says who leads.
  bool LearnFrom(Reason reason) {
    const auto& endpoint = answer_.brokers(0).endpoint();
    Error error(reason, "not here");
    error.With("leader_id", "11").With("leader_epoch", "0").With("leader_host", endpoint.host());
    error.With("leader_port", std::to_string(endpoint.port()));
    return router_->LearnFrom(error, "orders", PartitionIndex{0}, *router_->AnyNode());
  }

  FakeServer broker_;
  FakeServer controller_;
  v1::GetMetadataResponse answer_;
  const std::shared_ptr<Router> router_ = Router::Create(controller_.address());
};

TEST_F(OnlyBroker, IsNotWhereAnswersComeFromThatNameAnotherController) {
  EXPECT_EQ(Learn(3), broker_.address());
  EXPECT_EQ(Learn(-1), broker_.address()) << "the cluster has others still";
  answer_.set_cluster_id("another cluster");
  EXPECT_EQ(Learn(-1), controller_.address());
}

TEST_F(OnlyBroker, IsWhereItIsSaidToBeOnceWhoAnswersIsNotIt) {
  EXPECT_EQ(Learn(11), controller_.address());
  EXPECT_FALSE(LearnFrom(Reason::kFencedLeaderEpoch)) << "it may lead all the same";
  EXPECT_EQ(Learn(11), controller_.address());
  EXPECT_TRUE(LearnFrom(Reason::kNotLeader));
  EXPECT_EQ(Learn(11), broker_.address()) << "also after the next answer";
}

}  // namespace
}  // namespace gregor
