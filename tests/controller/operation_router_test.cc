#include "controller/operation_router.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "controller/operation_codec.h"
#include "controller/operation_server.h"
#include "tests/controller/fake_controller.h"
#include "tests/sim/scheduler.h"

namespace gregor {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

// The way to other nodes, as a test has it.
class FakeRemote final : public RemoteController {
 public:
  enum class Fault { kNone, kUnreachable, kLostBefore, kLostAfter, kSilent };

  explicit FakeRemote(SimLoop& loop) : loop_(loop) {}

  std::map<int32_t, OperationServer*> servers;
  std::map<int32_t, Fault> faults;
  std::vector<int32_t> asked;  // nodes that were tried
  internal::v1::OperationRequest last_request;
  Duration last_timeout{0};

  void Execute(NodeId node, const internal::v1::OperationRequest& request, Duration timeout,
               Done done) override {
    asked.push_back(node.value);
    last_request = request;
    last_timeout = timeout;
    const Fault fault = servers.count(node.value) == 0 ? Fault::kUnreachable : faults[node.value];
    const auto unknown = [](Reason reason) {
      return Error(reason, "lost").With("outcome", "UNKNOWN");
    };
    switch (fault) {
      case Fault::kUnreachable:
        return done(Error(Reason::kNotController, "unreachable").With("outcome", "NOT_APPLIED"));
      case Fault::kLostBefore:
        return done(unknown(Reason::kNotController));
      case Fault::kSilent:
        loop_.After(timeout, "remote.timeout", [done = std::move(done), unknown]() mutable {
          done(unknown(Reason::kCommitTimedOut));
        });
        return;
      case Fault::kLostAfter:
      case Fault::kNone:
        break;
    }
    internal::v1::OperationRequest sent = request;
    sent.set_timeout_ms(timeout / milliseconds(1));
    servers[node.value]->Execute(sent,
                                 [done = std::move(done), fault, unknown](auto response) mutable {
                                   if (fault == Fault::kLostAfter)
                                     return done(unknown(Reason::kNotController));
                                   done(std::move(response));
                                 });
  }

 private:
  SimLoop& loop_;
};

// Node 1, which is asked; node 2 and node 3, which may lead.
class Router : public testing::Test {
 protected:
  Router() {
    remote_.servers = {{2, &server2_}, {3, &server3_}};
    Open({});
  }
  ~Router() override {
    loop_.Kill();
    router_.reset();
  }

  void Open(size_t queued_max) {
    OperationRouter::Options options;
    options.loop = &loop_;
    options.controller = &own_;
    options.remote = &remote_;
    options.node_id = NodeId{1};
    options.cluster = FakeCluster();
    options.metrics = metrics_.get();
    if (queued_max != 0) options.operations_queued_max = queued_max;
    router_ = std::make_unique<OperationRouter>(options);
    scheduler_.RunFor(milliseconds(1));
  }
  void SetLeader(int32_t leader, int32_t term) {
    own_.SetLeader(leader, term);
    node2_.SetLeader(leader, term);
    node3_.SetLeader(leader, term);
  }

  template <typename T>
  struct Waiting {
    std::optional<Result<T>> answer;
    MonotonicTime at;
  };
  // Calls `ask(done)`; the answer comes later.
  template <typename T>
  std::shared_ptr<Waiting<T>> Begin(std::function<void(ControllerApi::Done<T>)> ask) {
    auto waiting = std::make_shared<Waiting<T>>();
    ask([this, waiting](Result<T> answer) {
      EXPECT_TRUE(loop_.InLoop());
      EXPECT_FALSE(waiting->answer.has_value());
      waiting->answer = std::move(answer);
      waiting->at = scheduler_.clock().Now();
    });
    return waiting;
  }
  std::shared_ptr<Waiting<TopicPtr>> BeginCreate(CreateTopic operation,
                                                 OperationContext context = {}) {
    return Begin<TopicPtr>(
        [&](auto done) { router_->Run(std::move(operation), std::move(done), context); });
  }
  std::shared_ptr<Waiting<TopicPtr>> BeginCreate(const std::string& name,
                                                 OperationContext context = {}) {
    CreateTopic operation;
    operation.name = name;
    return BeginCreate(operation, context);
  }
  template <typename T>
  Result<T> Await(const std::shared_ptr<Waiting<T>>& waiting) {
    if (!scheduler_.RunUntil([&] { return waiting->answer.has_value(); }, seconds(100)))
      return Error(Reason::kUnspecified, "no answer");
    return *waiting->answer;
  }
  void Run(const std::function<void()>& call) { loop_.Run(call); }
  // Node 2 leads, and is asked for a topic that it does not answer yet.
  std::shared_ptr<Waiting<TopicPtr>> BeginHeldCreate() {
    SetLeader(2, 5);
    node2_.holds = true;
    auto waiting = BeginCreate("orders");
    scheduler_.RunFor(milliseconds(5));
    return waiting;
  }
  // It answers, and this node's image follows.
  void AnswerHeld() {
    Run([&] { node2_.Release(); });
    scheduler_.RunFor(milliseconds(5));
    Run([&] { own_.CatchUp(node2_); });
  }

  const std::unique_ptr<Metrics> metrics_ = Metrics::Create();
  Scheduler scheduler_{1};
  SimLoop loop_{scheduler_, "controller"};
  FakeController own_{loop_, 1}, node2_{loop_, 2}, node3_{loop_, 3};
  OperationServer server2_{node2_, FakeCluster()}, server3_{node3_, FakeCluster()};
  FakeRemote remote_{loop_};
  std::unique_ptr<OperationRouter> router_;
};

TEST_F(Router, RunsAnOperationHereWhereThisNodeLeads) {
  SetLeader(1, 5);
  const auto topic = Await(BeginCreate("orders", {.principal = "User:a", .timeout = seconds(9)}));
  ASSERT_TRUE(topic.ok()) << topic.error();
  EXPECT_EQ(*topic, own_.image()->Topic("orders"));
  EXPECT_EQ(own_.last_context.principal, "User:a");
  EXPECT_LE(own_.last_context.timeout, seconds(9));
  EXPECT_TRUE(remote_.asked.empty());
}

TEST_F(Router, TakesAnOperationToTheLeaderOnceAndWaitsForItsOwnImage) {
  SetLeader(2, 5);
  const auto waiting = BeginCreate("orders", {.principal = "User:a", .timeout = seconds(9)});
  scheduler_.RunFor(milliseconds(500));
  EXPECT_NE(node2_.image()->Topic("orders"), nullptr);
  EXPECT_FALSE(waiting->answer.has_value());
  EXPECT_THAT(remote_.asked, ElementsAre(2));
  EXPECT_EQ(remote_.last_request.hop_count(), 1);
  EXPECT_EQ(node2_.last_context.principal, "User:a");
  EXPECT_LE(node2_.last_context.timeout, seconds(9));
  EXPECT_GT(node2_.last_context.timeout, milliseconds(8900));
  Run([&] { own_.CatchUp(node2_); });
  const auto topic = Await(waiting);
  ASSERT_TRUE(topic.ok()) << topic.error();
  EXPECT_EQ(*topic, own_.image()->Topic("orders"));
  EXPECT_EQ(own_.asked, 0);
}

TEST_F(Router, AnswersAtOnceWhereItsImageIsAheadOfTheAnswer) {
  SetLeader(2, 5);
  node2_.holds = true;
  const auto waiting = BeginCreate("orders");
  scheduler_.RunFor(milliseconds(1));
  const MonotonicTime released = scheduler_.clock().Now();
  Run([&] {
    node2_.Release();
    own_.CatchUp(node2_);
  });
  ASSERT_TRUE(Await(waiting).ok());
  EXPECT_LT(waiting->at - released, milliseconds(1));
}

TEST_F(Router, EveryObserverHasSeenTheResultBeforeItIsAnswered) {
  SetLeader(2, 5);
  std::vector<std::string> seen;
  // After the router's own.
  const auto watch = own_.Watch([&](const MetadataDelta& delta) {
    for (const TopicPtr& topic : delta.created) seen.push_back(topic->name);
  });
  const auto waiting = Begin<TopicPtr>([&](auto done) {
    CreateTopic operation;
    operation.name = "orders";
    router_->Run(operation,
                 [&, done = std::move(done)](Result<TopicPtr> topic) mutable {
                   seen.push_back("answer");
                   done(std::move(topic));
                 },
                 {});
  });
  scheduler_.RunFor(milliseconds(5));
  Run([&] { own_.CatchUp(node2_); });
  ASSERT_TRUE(Await(waiting).ok());
  EXPECT_THAT(seen, ElementsAre("orders", "answer"));
}

TEST_F(Router, AllKindsOfOperationsReachTheLeader) {
  SetLeader(2, 5);
  const auto follow = node2_.Watch(
      [&](const MetadataDelta&) { loop_.Post("follow", [&] { own_.CatchUp(node2_); }); });
  const auto topic = Await(BeginCreate("orders"));
  ASSERT_TRUE(topic.ok()) << topic.error();
  const auto added = Await(Begin<TopicPtr>([&](auto done) {
    router_->Run(AddPartitions{"orders", 4, {}, false}, std::move(done));
  }));
  ASSERT_TRUE(added.ok()) << added.error();
  EXPECT_EQ((*added)->partition_count(), 4);
  const auto altered = Await(Begin<std::vector<Result<void>>>([&](auto done) {
    router_->Run(AlterConfigs{{{ConfigResourceType::kTopic, "orders", {{"retention.ms", {}, "5"}}},
                               {ConfigResourceType::kTopic, "none", {{"retention.ms", {}, "5"}}}}},
                 std::move(done));
  }));
  ASSERT_TRUE(altered.ok()) << altered.error();
  EXPECT_TRUE((*altered)[0].ok());
  EXPECT_EQ((*altered)[1].error().reason, Reason::kTopicNotFound);
  EXPECT_EQ(own_.image()->Topic("orders")->configs->at("retention.ms"), "5");
  const auto epoch = Await(Begin<BrokerEpoch>([&](auto done) {
    router_->Run(RegisterBroker{FakeController::MakeBroker(4)}, std::move(done));
  }));
  ASSERT_TRUE(epoch.ok()) << epoch.error();
  EXPECT_EQ(own_.image()->Broker(NodeId{4})->epoch, *epoch);
  const auto ids = Await(Begin<ProducerIdBlock>(
      [&](auto done) { router_->Run(AllocateProducerIds{1000}, std::move(done)); }));
  ASSERT_TRUE(ids.ok()) << ids.error();
  EXPECT_EQ(own_.image()->next_producer_id, ids->first + 1000);
  const auto deleted = Await(Begin<void>([&](auto done) {
    router_->Run(DeleteTopic{{"", (*topic)->id}}, std::move(done));
  }));
  ASSERT_TRUE(deleted.ok()) << deleted.error();
  EXPECT_EQ(own_.image()->Topic("orders"), nullptr);
  EXPECT_EQ(remote_.asked.size(), 6u);
  EXPECT_THAT(metrics_->Render(), AllOf(HasSubstr("gregor_operations_forwarded_total 5"),
                                        HasSubstr("gregor_operations_unknown_total 0"),
                                        HasSubstr("gregor_operations_waiting 0")));
}

TEST_F(Router, AnErrorIsAnsweredOnceItsReasonCanBeSeenHere) {
  SetLeader(2, 5);
  ASSERT_FALSE(BeginCreate("orders")->answer.has_value());
  scheduler_.RunFor(milliseconds(5));
  const auto waiting = BeginCreate("orders");
  scheduler_.RunFor(milliseconds(500));
  EXPECT_FALSE(waiting->answer.has_value());
  Run([&] { own_.CatchUp(node2_); });
  const auto topic = Await(waiting);
  ASSERT_FALSE(topic.ok());
  EXPECT_EQ(topic.error().reason, Reason::kTopicAlreadyExists);
  EXPECT_NE(own_.image()->Topic("orders"), nullptr);
}

TEST_F(Router, WhatIsOnlyValidatedIsShownWithoutAnId) {
  SetLeader(2, 5);
  CreateTopic operation;
  operation.name = "orders";
  operation.partitions = 5;
  operation.validate_only = true;
  const auto topic = Await(BeginCreate(operation));
  ASSERT_TRUE(topic.ok()) << topic.error();
  EXPECT_TRUE((*topic)->id.IsZero());
  EXPECT_EQ((*topic)->partition_count(), 5);
}

TEST_F(Router, ATopicThatIsDeletedAgainMeanwhileIsStillTheAnswer) {
  SetLeader(2, 5);
  const auto waiting = BeginCreate("orders");
  scheduler_.RunFor(milliseconds(5));
  const TopicId id = node2_.image()->Topic("orders")->id;
  Run([&] { node2_.Run(DeleteTopic{{"orders", std::nullopt}}, [](Result<void>) {}); });
  scheduler_.RunFor(milliseconds(5));
  Run([&] { own_.CatchUp(node2_); });
  const auto topic = Await(waiting);
  ASSERT_TRUE(topic.ok()) << topic.error();
  EXPECT_EQ((*topic)->id, id);
  EXPECT_EQ(own_.image()->Topic(id), nullptr);
}

TEST_F(Router, WaitsForALeaderAndThenAsksAtOnce) {
  const auto waiting = BeginCreate("orders");
  scheduler_.RunFor(seconds(3));
  EXPECT_FALSE(waiting->answer.has_value());
  EXPECT_TRUE(remote_.asked.empty());
  SetLeader(1, 6);
  const MonotonicTime elected = scheduler_.clock().Now();
  ASSERT_TRUE(Await(waiting).ok());
  EXPECT_LT(waiting->at - elected, milliseconds(25));
  EXPECT_EQ(own_.asked, 1);
}

TEST_F(Router, WithoutALeaderTheTimeRunsOutAndNothingWasDone) {
  const MonotonicTime begin = scheduler_.clock().Now();
  const auto waiting = BeginCreate("orders", {.principal = "", .timeout = seconds(2)});
  const auto topic = Await(waiting);
  ASSERT_FALSE(topic.ok());
  EXPECT_EQ(topic.error().reason, Reason::kNotController);
  EXPECT_EQ(OperationOutcome(topic.error()), "NOT_APPLIED");
  EXPECT_GE(waiting->at - begin, seconds(2));
  EXPECT_LT(waiting->at - begin, milliseconds(2030));
}

TEST_F(Router, AskedTheWrongNodeItGoesToTheOneThatThatNames) {
  own_.SetLeader(2, 5);
  node2_.SetLeader(3, 6);
  node3_.SetLeader(3, 6);
  const auto waiting = BeginCreate("orders");
  scheduler_.RunFor(milliseconds(100));
  EXPECT_THAT(remote_.asked, ElementsAre(2, 3));
  Run([&] { own_.CatchUp(node3_); });
  EXPECT_TRUE(Await(waiting).ok());
  // What it was told holds until it knows something newer.
  own_.SetLeader(1, 7);
  EXPECT_TRUE(Await(BeginCreate("more")).ok());
  EXPECT_EQ(remote_.asked.size(), 2u);
}

TEST_F(Router, ALeaderThatCannotBeReachedIsTriedWithPausesUntilThereIsAnother) {
  SetLeader(2, 5);
  remote_.faults[2] = FakeRemote::Fault::kUnreachable;
  const auto waiting = BeginCreate("orders");
  scheduler_.RunFor(seconds(3));
  EXPECT_FALSE(waiting->answer.has_value());
  EXPECT_GT(remote_.asked.size(), 5u);
  EXPECT_LT(remote_.asked.size(), 20u);
  SetLeader(3, 6);
  const MonotonicTime elected = scheduler_.clock().Now();
  scheduler_.RunFor(milliseconds(25));
  Run([&] { own_.CatchUp(node3_); });
  ASSERT_TRUE(Await(waiting).ok());
  EXPECT_LT(waiting->at - elected, milliseconds(30));
  EXPECT_EQ(node3_.asked, 1);
}

TEST_F(Router, ALeaderThatIsLostInBetweenLeavesTheOutcomeUnknown) {
  for (const auto fault : {FakeRemote::Fault::kLostBefore, FakeRemote::Fault::kLostAfter}) {
    SetLeader(2, 5);
    remote_.faults[2] = fault;
    const auto waiting = BeginCreate("orders");
    scheduler_.RunFor(milliseconds(5));
    SetLeader(3, 6);
    const auto topic = Await(waiting);
    ASSERT_FALSE(topic.ok());
    EXPECT_EQ(topic.error().reason, Reason::kNotController);
    EXPECT_EQ(OperationOutcome(topic.error()), "UNKNOWN");
  }
  scheduler_.RunFor(seconds(2));
  EXPECT_THAT(remote_.asked, ElementsAre(2, 2));
  EXPECT_EQ(node3_.asked, 0);
  EXPECT_THAT(metrics_->Render(), HasSubstr("gregor_operations_unknown_total 2"));
}

TEST_F(Router, WhatBrokersLiveByIsInNoMetric) {
  SetLeader(2, 5);
  const auto epoch = Begin<BrokerEpoch>([&](auto done) {
    router_->Run(RegisterBroker{FakeController::MakeBroker(4)}, std::move(done));
  });
  scheduler_.RunFor(milliseconds(5));
  Run([&] { own_.CatchUp(node2_); });
  ASSERT_TRUE(Await(epoch).ok());
  const auto beat = [&] {
    BrokerHeartbeat beat;
    beat.broker = NodeId{4};
    beat.epoch = **epoch->answer;
    return Begin<BrokerStatus>([&](auto done) { router_->Run(beat, std::move(done)); });
  };
  ASSERT_TRUE(Await(beat()).ok());
  EXPECT_THAT(metrics_->Render(), HasSubstr("gregor_operations_forwarded_total 0"));
  remote_.faults[2] = FakeRemote::Fault::kLostAfter;
  EXPECT_FALSE(Await(beat()).ok());
  EXPECT_THAT(metrics_->Render(), HasSubstr("gregor_operations_unknown_total 0"));
  remote_.faults[2] = FakeRemote::Fault::kSilent;
  const auto waits = beat();
  const auto stays = BeginCreate("orders");
  scheduler_.RunFor(milliseconds(5));
  EXPECT_THAT(metrics_->Render(), HasSubstr("gregor_operations_waiting 1"));
  router_->Close([] {});
  scheduler_.RunFor(milliseconds(1));
  EXPECT_THAT(metrics_->Render(), HasSubstr("gregor_operations_waiting 0"));
}

TEST_F(Router, ALeaderThatDoesNotAnswerIsNotWaitedForBeyondTheTime) {
  SetLeader(2, 5);
  remote_.faults[2] = FakeRemote::Fault::kSilent;
  const auto topic = Await(BeginCreate("orders", {.principal = "", .timeout = seconds(2)}));
  ASSERT_FALSE(topic.ok());
  EXPECT_EQ(topic.error().reason, Reason::kCommitTimedOut);
  EXPECT_EQ(OperationOutcome(topic.error()), "UNKNOWN");
  EXPECT_LE(remote_.last_timeout, seconds(2));
}

TEST_F(Router, ASilentNodeIsNotWaitedForOnceAnotherLeads) {
  SetLeader(2, 5);
  remote_.faults[2] = FakeRemote::Fault::kSilent;
  const auto waiting = BeginCreate("orders", {.principal = "", .timeout = seconds(60)});
  scheduler_.RunFor(seconds(5));
  EXPECT_FALSE(waiting->answer.has_value());
  SetLeader(3, 6);
  const MonotonicTime elected = scheduler_.clock().Now();
  const auto topic = Await(waiting);
  ASSERT_FALSE(topic.ok());
  EXPECT_EQ(topic.error().reason, Reason::kNotController);
  EXPECT_THAT(topic.error().message, AllOf(HasSubstr("node 2"), HasSubstr("node 3 is it now")));
  EXPECT_EQ(OperationOutcome(topic.error()), "UNKNOWN");
  EXPECT_GE(waiting->at - elected, seconds(1));
  EXPECT_LT(waiting->at - elected, milliseconds(1050));
  // What it says in the end is too late, and nobody else was asked.
  scheduler_.RunFor(seconds(60));
  EXPECT_THAT(remote_.asked, ElementsAre(2));
  EXPECT_THAT(metrics_->Render(), HasSubstr("gregor_operations_waiting 0"));
}

TEST_F(Router, WhoLedIsHeardForAWhileOnceAnotherLeads) {
  const auto waiting = BeginHeldCreate();
  own_.SetLeader(3, 6);
  scheduler_.RunFor(milliseconds(900));
  AnswerHeld();
  const auto topic = Await(waiting);
  ASSERT_TRUE(topic.ok()) << topic.error();
}

TEST_F(Router, WhoLeadsAgainIsWaitedFor) {
  const auto waiting = BeginHeldCreate();
  own_.SetLeader(2, 7);
  scheduler_.RunFor(seconds(3));
  EXPECT_FALSE(waiting->answer.has_value());
  AnswerHeld();
  EXPECT_TRUE(Await(waiting).ok());
}

TEST_F(Router, WhereTheOwnControllerLostTheLeadBeforeItBeganTheNextIsAsked) {
  SetLeader(1, 5);
  own_.holds = true;
  const auto waiting = BeginCreate("orders");
  scheduler_.RunFor(milliseconds(5));
  SetLeader(2, 6);
  Run([&] { own_.Release(); });
  scheduler_.RunFor(milliseconds(50));
  Run([&] { own_.CatchUp(node2_); });
  EXPECT_TRUE(Await(waiting).ok());
  EXPECT_EQ(node2_.asked, 1);
}

TEST_F(Router, WhereTheOwnControllerLostTheLeadInBetweenNobodyElseIsAsked) {
  SetLeader(1, 5);
  own_.refusal = Error(Reason::kNotController, "lost").With("outcome", "UNKNOWN");
  const auto topic = Await(BeginCreate("orders"));
  ASSERT_FALSE(topic.ok());
  EXPECT_EQ(OperationOutcome(topic.error()), "UNKNOWN");
  EXPECT_EQ(own_.asked, 1);
}

TEST_F(Router, AnImageThatDoesNotCatchUpInTimeLeavesTheOutcomeUnknown) {
  SetLeader(2, 5);
  const auto topic = Await(BeginCreate("orders", {.principal = "", .timeout = seconds(2)}));
  ASSERT_FALSE(topic.ok());
  EXPECT_EQ(topic.error().reason, Reason::kCommitTimedOut);
  EXPECT_EQ(OperationOutcome(topic.error()), "UNKNOWN");
  EXPECT_THAT(topic.error().message, HasSubstr("catch up"));
  // Nothing is left of it.
  Run([&] { own_.CatchUp(node2_); });
  scheduler_.RunFor(seconds(1));
}

TEST_F(Router, AFailedControllerSaysWhatIsWrong) {
  own_.Fail(Error(Reason::kStorageError, "disk"));
  const auto topic = Await(BeginCreate("orders"));
  ASSERT_FALSE(topic.ok());
  EXPECT_EQ(topic.error().reason, Reason::kStorageError);
}

TEST_F(Router, TheQueueIsBounded) {
  Run([&] { router_->Close([] {}); });
  scheduler_.RunFor(milliseconds(1));
  Open(3);
  std::vector<std::shared_ptr<Waiting<TopicPtr>>> waiting;
  for (int i = 0; i < 5; ++i) waiting.push_back(BeginCreate("orders-" + std::to_string(i)));
  scheduler_.RunFor(milliseconds(5));
  for (int i = 0; i < 5; ++i) {
    ASSERT_EQ(waiting[i]->answer.has_value(), i >= 3);
    if (i < 3) continue;
    EXPECT_EQ(waiting[i]->answer->error().reason, Reason::kQuotaExceeded);
    EXPECT_EQ(OperationOutcome(waiting[i]->answer->error()), "NOT_APPLIED");
  }
  SetLeader(1, 5);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(Await(waiting[i]).ok());
  EXPECT_TRUE(Await(BeginCreate("after")).ok());
}

TEST_F(Router, AFullQueueKeepsNoBrokerFromSpeaking) {
  Run([&] { router_->Close([] {}); });
  scheduler_.RunFor(milliseconds(1));
  Open(1);
  const auto waiting = BeginCreate("orders");
  const auto heard = Begin<BrokerStatus>([&](auto done) {
    BrokerHeartbeat beat;
    beat.broker = NodeId{1};
    beat.epoch = own_.image()->Broker(NodeId{1})->epoch;
    router_->Run(beat, std::move(done));
  });
  const auto registered = Begin<BrokerEpoch>([&](auto done) {
    router_->Run(RegisterBroker{FakeController::MakeBroker(4)}, std::move(done));
  });
  scheduler_.RunFor(milliseconds(5));
  EXPECT_FALSE(heard->answer.has_value()) << "it waits for a leader, as the others do";
  SetLeader(1, 5);
  EXPECT_TRUE(Await(heard).ok()) << heard->answer->error();
  EXPECT_TRUE(Await(registered).ok()) << registered->answer->error();
  EXPECT_TRUE(Await(waiting).ok());
}

TEST_F(Router, AnOperationThatIsTooLargeToBeSentIsRefused) {
  SetLeader(2, 5);
  const auto topic = Await(BeginCreate(std::string(kOperationBytesMax, 'x')));
  ASSERT_FALSE(topic.ok());
  EXPECT_EQ(topic.error().reason, Reason::kInvalidArgument);
  EXPECT_TRUE(remote_.asked.empty());
}

TEST_F(Router, ClosedItAnswersWhatWaits) {
  const auto untouched = BeginCreate("waits");
  scheduler_.RunFor(milliseconds(5));
  own_.SetLeader(2, 5);
  remote_.faults[2] = FakeRemote::Fault::kSilent;
  const auto sent = BeginCreate("sent", {.principal = "", .timeout = seconds(2)});
  bool closed = false;
  own_.SetLeader(2, 5);
  scheduler_.RunFor(Duration(1));
  const auto late = BeginCreate("late");
  Run([&] { router_->Close([&] { closed = true; }); });
  ASSERT_TRUE(scheduler_.RunUntil([&] { return closed; }, seconds(1)));
  for (const auto& each : {untouched, sent, late}) {
    ASSERT_TRUE(each->answer.has_value());
    EXPECT_EQ(each->answer->error().reason, Reason::kNotController);
  }
  EXPECT_EQ(OperationOutcome(untouched->answer->error()), "NOT_APPLIED");
  EXPECT_EQ(OperationOutcome(sent->answer->error()), "UNKNOWN");
  const auto after = BeginCreate("after");
  scheduler_.RunFor(milliseconds(5));
  ASSERT_TRUE(after->answer.has_value()) << "who is asked too late says so";
  EXPECT_EQ(OperationOutcome(after->answer->error()), "NOT_APPLIED");
  router_.reset();
  scheduler_.RunFor(seconds(5));
}

// What a node answers to operations that are passed on to it.
class Server : public testing::Test {
 protected:
  Server() {
    request_.set_cluster_id(ToBytes(FakeCluster().bytes));
    request_.set_hop_count(1);
    request_.set_timeout_ms(1000);
    request_.mutable_create_topic()->set_name("orders");
    controller_.SetLeader(2, 5);
  }
  internal::v1::OperationResponse Execute() {
    std::optional<internal::v1::OperationResponse> response;
    server_.Execute(request_, [&](auto answer) { response = std::move(answer); });
    EXPECT_TRUE(scheduler_.RunUntil([&] { return response.has_value(); }, seconds(1)));
    return response.value_or(internal::v1::OperationResponse());
  }
  void ExpectRefused(Reason reason) {
    const auto response = Execute();
    ASSERT_TRUE(response.has_error());
    EXPECT_EQ(DecodeError(response.error()).reason, reason);
    EXPECT_EQ(OperationOutcome(DecodeError(response.error())), "NOT_APPLIED");
    EXPECT_EQ(response.visible_offset(), 0);
  }

  Scheduler scheduler_{1};
  SimLoop loop_{scheduler_, "controller"};
  FakeController controller_{loop_, 2};
  OperationServer server_{controller_, FakeCluster()};
  internal::v1::OperationRequest request_;
};

TEST_F(Server, SaysFromWhichOffsetOnTheResultCanBeSeen) {
  const auto response = Execute();
  ASSERT_TRUE(response.has_topic());
  EXPECT_EQ(response.visible_offset(), controller_.image()->version.value);
  // A repetition fails because of what is there at that offset.
  EXPECT_EQ(Execute().visible_offset(), controller_.image()->version.value);
}

TEST_F(Server, RefusesOperationsForAnotherCluster) {
  request_.set_cluster_id(ToBytes(FakeCluster(9).bytes));
  ExpectRefused(Reason::kInconsistentClusterId);
  request_.clear_cluster_id();
  ExpectRefused(Reason::kInconsistentClusterId);
  EXPECT_EQ(controller_.asked, 0);
}

TEST_F(Server, RefusesOperationsThatWereNotPassedOnOnce) {
  request_.set_hop_count(2);
  ExpectRefused(Reason::kInvalidArgument);
  request_.set_hop_count(0);
  ExpectRefused(Reason::kInvalidArgument);
}

TEST_F(Server, RefusesOperationsWithoutTimeOrMeaning) {
  request_.set_timeout_ms(0);
  ExpectRefused(Reason::kCommitTimedOut);
  request_.set_timeout_ms(1000);
  request_.clear_operation();
  ExpectRefused(Reason::kInvalidArgument);
}

TEST_F(Server, NamesTheLeaderWhereItIsNone) {
  controller_.SetLeader(3, 7);
  ExpectRefused(Reason::kNotController);
  const QuorumLeader named = LeaderOf(DecodeError(Execute().error()));
  EXPECT_EQ(named, (QuorumLeader{NodeId{3}, Term{7}}));
  controller_.SetLeader(-1, 8);
  EXPECT_EQ(LeaderOf(DecodeError(Execute().error())).leader, NodeId{-1});
}

}  // namespace
}  // namespace gregor
