// Operations on their way between nodes: ControllerClient and ControllerService over loopback.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <future>
#include <memory>

#include "controller/operation_codec.h"
#include "controller/operation_router.h"
#include "controller/operation_server.h"
#include "rpc/controller_client.h"
#include "rpc/controller_service.h"
#include "rpc/internal_server.h"
#include "tests/controller/fake_controller.h"

namespace gregor {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

constexpr seconds kLongEnough(60);

// What comes to `done`, on whichever thread.
template <typename T>
class Later {
 public:
  ControllerApi::Done<T> done() {
    return [promise = promise_](Result<T> result) { promise->set_value(std::move(result)); };
  }
  Result<T> Wait() {
    auto future = promise_->get_future();
    if (future.wait_for(kLongEnough) != std::future_status::ready)
      return Error(Reason::kUnspecified, "no answer");
    return future.get();
  }

 private:
  std::shared_ptr<std::promise<Result<T>>> promise_ = std::make_shared<std::promise<Result<T>>>();
};

// A node: its controller on a loop of its own, and its internal listener.
class Node {
 public:
  explicit Node(int32_t id, int port = 0)
      : loop_(NewThreadLoop("controller")), controller_(*loop_, id) {
    const auto started = server_.Start({.host = "127.0.0.1",
                                        .port = static_cast<uint16_t>(port),
                                        .credentials = grpc::InsecureServerCredentials(),
                                        .services = {&service_}});
    CHECK(started.ok()) << started.error();
    service_.Serve(operations_);
  }

  // As a node that is gone.
  void Stop() { server_.Shutdown(); }
  void InLoop(std::function<void()> call) {
    std::promise<void> ran;
    loop_->Post("test", [&] {
      call();
      ran.set_value();
    });
    ran.get_future().wait();
  }
  // Takes operations, and keeps them.
  void Hold() {
    InLoop([this] {
      controller_.holds = true;
      controller_.on_held = [this] { held_.set_value(); };
    });
  }
  // Until one is held. Once.
  bool WaitUntilHeld() {
    return held_.get_future().wait_for(kLongEnough) == std::future_status::ready;
  }
  ControllerService& service() { return service_; }
  OperationServer& operations() { return operations_; }
  EventLoop& loop() { return *loop_; }
  FakeController& controller() { return controller_; }
  std::string address() const { return "127.0.0.1:" + std::to_string(server_.port()); }
  int asked() {
    int asked = 0;
    InLoop([&] { asked = controller_.asked; });
    return asked;
  }

 private:
  std::unique_ptr<EventLoop> loop_;
  FakeController controller_;
  OperationServer operations_{controller_, FakeCluster()};
  ControllerService service_{FakeCluster()};
  std::promise<void> held_;
  InternalServer server_;
};

TEST(InternalServer, APortThatIsTakenIsToldAsThat) {
  const Node first(1);
  InternalServer second;
  const auto refused = second.Start({.host = "127.0.0.1",
                                     .port = static_cast<uint16_t>(std::stoi(
                                         first.address().substr(first.address().rfind(':') + 1))),
                                     .credentials = grpc::InsecureServerCredentials(),
                                     .services = {}});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().reason, Reason::kInvalidConfig);
  EXPECT_EQ(refused.error().message,
            "cannot listen on " + first.address() +
                " for the cluster's other nodes: another process listens there. Stop it, or choose "
                "another port with --internal-listen HOST:PORT (the setting listen.internal; where "
                "`controllers` names this node, change it there on every node)");
}

internal::v1::OperationRequest CreateRequest(const std::string& name) {
  internal::v1::OperationRequest request;
  request.set_cluster_id(ToBytes(FakeCluster().bytes));
  request.set_hop_count(1);
  request.mutable_create_topic()->set_name(name);
  return request;
}

class ControllerRpc : public testing::Test {
 protected:
  using Response = internal::v1::OperationResponse;

  Result<Response> Execute(ControllerClient& client, int32_t node,
                           const internal::v1::OperationRequest& request,
                           Duration timeout = kLongEnough) {
    Later<Response> later;
    client.Execute(NodeId{node}, request, timeout, later.done());
    return later.Wait();
  }
  // Until the connection stands.
  Result<Response> ExecuteOnceConnected(ControllerClient& client, int32_t node,
                                        const internal::v1::OperationRequest& request,
                                        Duration timeout = kLongEnough) {
    const auto loop = NewThreadLoop("patience");
    const MonotonicTime end = loop->clock().Now() + kLongEnough;
    while (true) {
      auto response = Execute(client, node, request, timeout);
      const bool is_connected = response.ok() ||
                                OperationOutcome(response.error()) != "NOT_APPLIED" ||
                                response.error().reason != Reason::kNotController;
      if (is_connected || loop->clock().Now() > end) return response;
      std::promise<void> later;
      loop->After(milliseconds(5), "again", [&] { later.set_value(); });
      later.get_future().wait();
    }
  }

  InternalServer calls_;  // which is not called itself
  ControllerClient client_{NodeCredentials::Insecure(), calls_.queue()};
};

TEST_F(ControllerRpc, AnOperationIsRunByTheNodeThatIsAsked) {
  Node node(2);
  node.controller().SetLeader(2, 5);
  client_.SetAddresses({{NodeId{2}, node.address()}});
  const auto response = ExecuteOnceConnected(client_, 2, CreateRequest("orders"));
  ASSERT_TRUE(response.ok()) << response.error();
  ASSERT_TRUE(response->has_topic()) << response->ShortDebugString();
  EXPECT_EQ(response->visible_offset(), node.controller().image()->version.value);
  Duration timeout{};
  node.InLoop([&] { timeout = node.controller().last_context.timeout; });
  EXPECT_EQ(timeout, kLongEnough);
}

TEST_F(ControllerRpc, NothingIsSentToANodeWhoseAddressIsNotKnownOrDoesNotAnswer) {
  auto response = Execute(client_, 2, CreateRequest("orders"));
  ASSERT_FALSE(response.ok());
  EXPECT_EQ(response.error().reason, Reason::kNotController);
  EXPECT_EQ(OperationOutcome(response.error()), "NOT_APPLIED");
  std::string address;
  {
    const Node gone(2);
    address = gone.address();
  }
  client_.SetAddresses({{NodeId{2}, address}});
  response = Execute(client_, 2, CreateRequest("orders"));
  ASSERT_FALSE(response.ok());
  EXPECT_EQ(OperationOutcome(response.error()), "NOT_APPLIED");
  EXPECT_THAT(response.error().message, HasSubstr(address));
}

TEST_F(ControllerRpc, ANodeThatMovesIsFoundAtItsNewAddress) {
  Node before(2), after(2);
  before.controller().SetLeader(2, 5);
  after.controller().SetLeader(2, 6);
  client_.SetAddresses({{NodeId{2}, before.address()}});
  ASSERT_TRUE(ExecuteOnceConnected(client_, 2, CreateRequest("orders")).ok());
  client_.SetAddresses({{NodeId{2}, after.address()}});
  ASSERT_TRUE(ExecuteOnceConnected(client_, 2, CreateRequest("orders")).ok());
  EXPECT_EQ(before.asked(), 1);
  EXPECT_EQ(after.asked(), 1);
  client_.SetAddresses({});
  EXPECT_FALSE(Execute(client_, 2, CreateRequest("orders")).ok());
}

TEST_F(ControllerRpc, TheOutcomeIsUnknownWhereNoAnswerComesInTime) {
  Node node(2);
  node.controller().SetLeader(2, 5);
  client_.SetAddresses({{NodeId{2}, node.address()}});
  ASSERT_TRUE(ExecuteOnceConnected(client_, 2, CreateRequest("first")).ok());
  node.Hold();
  const auto response = Execute(client_, 2, CreateRequest("orders"), milliseconds(100));
  ASSERT_FALSE(response.ok());
  EXPECT_EQ(response.error().reason, Reason::kCommitTimedOut);
  EXPECT_EQ(OperationOutcome(response.error()), "UNKNOWN");
  // The operation takes its course, and its answer finds nobody.
  node.InLoop([&] { node.controller().Release(); });
  EXPECT_NE(node.controller().image()->Topic("orders"), nullptr);
  EXPECT_TRUE(Execute(client_, 2, CreateRequest("last")).ok());
}

TEST_F(ControllerRpc, TheOutcomeIsUnknownWhereTheNodeIsLostInBetween) {
  Node node(2);
  node.controller().SetLeader(2, 5);
  client_.SetAddresses({{NodeId{2}, node.address()}});
  ASSERT_TRUE(ExecuteOnceConnected(client_, 2, CreateRequest("first")).ok());
  node.Hold();
  Later<Response> later;
  client_.Execute(NodeId{2}, CreateRequest("orders"), kLongEnough, later.done());
  ASSERT_TRUE(node.WaitUntilHeld());
  node.Stop();
  const auto response = later.Wait();
  ASSERT_FALSE(response.ok());
  EXPECT_EQ(response.error().reason, Reason::kNotController);
  EXPECT_EQ(OperationOutcome(response.error()), "UNKNOWN");
  node.InLoop([&] { node.controller().Release(); });
}

// Calls are begun while the connection is lost: some are sent, some begun anew, some refused.
TEST_F(ControllerRpc, WhatIsSaidNotToHaveHappenedHasNotAndNothingHappensTwice) {
  auto node = std::make_unique<Node>(2);
  const std::string address = node->address();
  const int port = std::stoi(address.substr(address.find(':') + 1));
  client_.SetAddresses({{NodeId{2}, address}});
  int refused = 0;
  for (int round = 0; round < 20; ++round) {
    node->controller().SetLeader(2, 5);
    ASSERT_TRUE(ExecuteOnceConnected(client_, 2, CreateRequest("first")).ok());
    const int asked_before = node->asked();
    std::vector<Later<Response>> answers(30);
    for (size_t i = 0; i < answers.size(); ++i) {
      if (i == 10) node->Stop();
      client_.Execute(NodeId{2}, CreateRequest("orders-" + std::to_string(i)), kLongEnough,
                      answers[i].done());
    }
    int may_have_happened = 0;
    for (size_t i = 0; i < answers.size(); ++i) {
      const auto response = answers[i].Wait();
      if (response.ok() || OperationOutcome(response.error()) != "NOT_APPLIED") {
        ++may_have_happened;
        continue;
      }
      ++refused;
      node->InLoop([&] {
        EXPECT_EQ(node->controller().image()->Topic("orders-" + std::to_string(i)), nullptr) << i;
      });
    }
    EXPECT_LE(node->asked() - asked_before, may_have_happened);
    node = nullptr;
    node = std::make_unique<Node>(2, port);
  }
  EXPECT_GT(refused, 0);
}

TEST_F(ControllerRpc, ANodeThatDoesNotKnowOperationsHasNotRunThem) {
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  grpc::CallbackGenericService none;  // answers UNIMPLEMENTED
  builder.RegisterCallbackGenericService(&none);
  const auto server = builder.BuildAndStart();
  client_.SetAddresses({{NodeId{2}, "127.0.0.1:" + std::to_string(port)}});
  const auto response = ExecuteOnceConnected(client_, 2, CreateRequest("orders"));
  ASSERT_FALSE(response.ok());
  EXPECT_EQ(response.error().reason, Reason::kUnsupportedVersion);
  EXPECT_EQ(OperationOutcome(response.error()), "NOT_APPLIED");
}

TEST_F(ControllerRpc, ShutDownItAnswersWhatRunsAndTakesNothingMore) {
  Node node(2);
  node.controller().SetLeader(2, 5);
  client_.SetAddresses({{NodeId{2}, node.address()}});
  ASSERT_TRUE(ExecuteOnceConnected(client_, 2, CreateRequest("first")).ok());
  node.Hold();
  Later<Response> running;
  client_.Execute(NodeId{2}, CreateRequest("orders"), kLongEnough, running.done());
  ASSERT_TRUE(node.WaitUntilHeld());
  client_.Shutdown();
  auto response = running.Wait();
  ASSERT_FALSE(response.ok());
  EXPECT_EQ(OperationOutcome(response.error()), "UNKNOWN");
  response = Execute(client_, 2, CreateRequest("more"));
  ASSERT_FALSE(response.ok());
  EXPECT_EQ(OperationOutcome(response.error()), "NOT_APPLIED");
}

TEST_F(ControllerRpc, AnAnswerThatTheControllerDropsEndsTheCall) {
  Node node(2);
  node.controller().SetLeader(2, 5);
  client_.SetAddresses({{NodeId{2}, node.address()}});
  ASSERT_TRUE(ExecuteOnceConnected(client_, 2, CreateRequest("first")).ok());
  node.Hold();
  Later<Response> later;
  client_.Execute(NodeId{2}, CreateRequest("orders"), kLongEnough, later.done());
  ASSERT_TRUE(node.WaitUntilHeld());
  node.InLoop([&] { node.controller().Drop(); });
  const auto response = later.Wait();
  ASSERT_FALSE(response.ok());
  EXPECT_EQ(OperationOutcome(response.error()), "UNKNOWN");
}

TEST_F(ControllerRpc, ANodeWithoutAControllerRefusesAsOneThatDoesNotLead) {
  Node node(2);
  node.controller().SetLeader(2, 5);
  client_.SetAddresses({{NodeId{2}, node.address()}});
  ASSERT_TRUE(ExecuteOnceConnected(client_, 2, CreateRequest("first")).ok());
  node.service().Stop();
  const auto response = Execute(client_, 2, CreateRequest("orders"));
  ASSERT_TRUE(response.ok()) << response.error();
  const Error error = DecodeError(response->error());
  EXPECT_EQ(error.reason, Reason::kNotController);
  EXPECT_EQ(OperationOutcome(error), "NOT_APPLIED");
  node.service().Serve(node.operations());
  EXPECT_TRUE(Execute(client_, 2, CreateRequest("orders"))->has_topic());
}

// Two nodes, each with a router: what clients see.
TEST_F(ControllerRpc, EitherOfTwoNodesTakesOperationsForTheOneThatLeads) {
  Node one(1), two(2);
  const auto watch = two.controller().Watch([&](const MetadataDelta&) {
    one.loop().Post("follow", [&one, batches = two.controller().batches] {
      while (one.controller().batches.size() < batches.size())
        one.controller().Apply(batches[one.controller().batches.size()]);
    });
  });
  client_.SetAddresses({{NodeId{1}, one.address()}, {NodeId{2}, two.address()}});
  for (Node* node : {&one, &two}) node->controller().SetLeader(2, 5);
  const auto metrics = Metrics::Create();
  OperationRouter::Options options;
  options.loop = &one.loop();
  options.controller = &one.controller();
  options.remote = &client_;
  options.node_id = NodeId{1};
  options.cluster = FakeCluster();
  options.metrics = metrics.get();
  OperationRouter first(options);
  options.loop = &two.loop();
  options.controller = &two.controller();
  options.node_id = NodeId{2};
  OperationRouter second(options);
  std::vector<Later<TopicPtr>> answers(100);
  for (size_t i = 0; i < answers.size(); ++i) {
    CreateTopic operation;
    operation.name = "orders-" + std::to_string(i);
    operation.partitions = 3;
    (i % 2 == 0 ? first : second)
        .Run(operation, answers[i].done(), {.principal = "User:a", .timeout = kLongEnough});
  }
  for (size_t i = 0; i < answers.size(); ++i) {
    const auto topic = answers[i].Wait();
    ASSERT_TRUE(topic.ok()) << topic.error();
    Node& asked = i % 2 == 0 ? one : two;
    EXPECT_EQ((*topic)->partition_count(), 3);
    EXPECT_NE(asked.controller().image()->Topic((*topic)->id), nullptr);
  }
  EXPECT_EQ(one.asked(), 0);
  EXPECT_EQ(two.asked(), 100);
  for (OperationRouter* router : {&first, &second}) {
    std::promise<void> closed;
    router->Close([&] { closed.set_value(); });
    closed.get_future().wait();
  }
  client_.Shutdown();
}

}  // namespace
}  // namespace gregor
