#include "controller/operation_codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controller/image/records.h"
#include "tests/controller/fake_controller.h"

namespace gregor {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

template <typename T>
T RoundTrip(const T& operation) {
  pb::OperationRequest request;
  const auto encoded = EncodeOperation(operation, request);
  EXPECT_TRUE(encoded.ok()) << encoded.error();
  pb::OperationRequest received;
  EXPECT_TRUE(received.ParseFromString(request.SerializeAsString()));
  auto decoded = DecodeOperation(received);
  EXPECT_TRUE(decoded.ok()) << decoded.error();
  return std::get<T>(*std::move(decoded));
}

Error Refusal(const pb::OperationRequest& request) {
  const auto decoded = DecodeOperation(request);
  EXPECT_FALSE(decoded.ok());
  if (decoded.ok()) return Error(Reason::kUnspecified, "");
  EXPECT_EQ(decoded.error().reason, Reason::kInvalidArgument);
  EXPECT_EQ(OperationOutcome(decoded.error()), "NOT_APPLIED");
  return decoded.error();
}

// Of an answer that another node gives.
Result<OperationAnswer> Received(const MetadataOperation& operation,
                                 const Result<OperationAnswer>& answer,
                                 const MetadataImage& image) {
  pb::OperationResponse response;
  EncodeAnswer(answer, response);
  pb::OperationResponse received;
  EXPECT_TRUE(received.ParseFromString(response.SerializeAsString()));
  return DecodeAnswer(operation, received, image);
}

TEST(OperationCodec, ATopicsCreationArrivesAsItWas) {
  CreateTopic operation;
  operation.name = "orders";
  operation.partitions = 3;
  operation.replication_factor = 2;
  operation.configs = {{"retention.ms", "1000"}, {"cleanup.policy", ""}};
  operation.validate_only = true;
  operation.internal = true;
  operation.request_id = "request-1";
  const auto got = RoundTrip(operation);
  EXPECT_EQ(got.name, "orders");
  EXPECT_EQ(got.partitions, 3);
  EXPECT_EQ(got.replication_factor, 2);
  EXPECT_EQ(got.configs, operation.configs);
  EXPECT_TRUE(got.validate_only && got.internal && got.assignment.empty());
  EXPECT_EQ(got.request_id, "request-1");
}

TEST(OperationCodec, AnAssignmentKeepsItsOrder) {
  CreateTopic operation;
  operation.assignment = {{NodeId{2}, NodeId{1}}, {}, {NodeId{-5}}};
  const auto got = RoundTrip(operation);
  EXPECT_EQ(got.assignment, operation.assignment);
  EXPECT_FALSE(got.validate_only || got.internal);
  AddPartitions addition;
  addition.topic = "orders";
  addition.total_partitions = 7;
  addition.assignment = operation.assignment;
  addition.validate_only = true;
  const auto added = RoundTrip(addition);
  EXPECT_EQ(added.topic, "orders");
  EXPECT_EQ(added.total_partitions, 7);
  EXPECT_EQ(added.assignment, addition.assignment);
  EXPECT_TRUE(added.validate_only);
}

TEST(OperationCodec, ATopicIsDeletedByNameOrById) {
  EXPECT_EQ(RoundTrip(DeleteTopic{{"orders", std::nullopt}}).topic.name, "orders");
  EXPECT_FALSE(RoundTrip(DeleteTopic{{"orders", std::nullopt}}).topic.id.has_value());
  TopicId id;
  id.bytes[3] = 9;
  const auto by_id = RoundTrip(DeleteTopic{{"", id}});
  EXPECT_EQ(by_id.topic.id, id);
  EXPECT_EQ(by_id.topic.name, "");
}

TEST(OperationCodec, ChangesOfConfigsArriveAsTheyWere) {
  AlterConfigs operation;
  operation.validate_only = true;
  operation.alterations = {{ConfigResourceType::kTopic,
                            "orders",
                            {{"a", ConfigOpKind::kSet, "1"},
                             {"b", ConfigOpKind::kDelete, ""},
                             {"c", ConfigOpKind::kAppend, "x"},
                             {"d", ConfigOpKind::kSubtract, "y"}}},
                           {ConfigResourceType::kBroker, "", {}}};
  const auto got = RoundTrip(operation);
  ASSERT_EQ(got.alterations.size(), 2u);
  EXPECT_TRUE(got.validate_only);
  EXPECT_EQ(got.alterations[0].type, ConfigResourceType::kTopic);
  EXPECT_EQ(got.alterations[0].name, "orders");
  ASSERT_EQ(got.alterations[0].ops.size(), 4u);
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(got.alterations[0].ops[i].name, operation.alterations[0].ops[i].name);
    EXPECT_EQ(got.alterations[0].ops[i].kind, operation.alterations[0].ops[i].kind);
    EXPECT_EQ(got.alterations[0].ops[i].value, operation.alterations[0].ops[i].value);
  }
  EXPECT_EQ(got.alterations[1].type, ConfigResourceType::kBroker);
  EXPECT_TRUE(got.alterations[1].ops.empty());
}

TEST(OperationCodec, ARegistrationArrivesAsItWas) {
  BrokerImage broker = FakeController::MakeBroker(4);
  broker.version = "0.1.0";
  broker.listeners["internal"] = {"::1", 65535};
  broker.fenced = true;
  broker.feature_level_max = 3;
  EXPECT_EQ(RoundTrip(RegisterBroker{broker}).broker, broker);
}

TEST(OperationCodec, ABrokerWhoseTextIsNoTextIsNotSent) {
  RegisterBroker operation{FakeController::MakeBroker(4)};
  operation.broker.rack = "\xff";
  pb::OperationRequest request;
  const auto encoded = EncodeOperation(operation, request);
  ASSERT_FALSE(encoded.ok());
  EXPECT_EQ(encoded.error().reason, Reason::kInvalidArgument);
}

TEST(OperationCodec, AWishForProducerIdsKeepsItsCount) {
  EXPECT_EQ(RoundTrip(AllocateProducerIds{1000}).count, 1000);
  EXPECT_EQ(RoundTrip(AllocateProducerIds{-1}).count, -1);
}

TEST(OperationCodec, TextThatIsNoTextArrivesUnchanged) {
  CreateTopic operation;
  operation.name = std::string("\xff\x00z", 3);
  operation.configs = {{"\xc0", "\xfe"}};
  const auto got = RoundTrip(operation);
  EXPECT_EQ(got.name, operation.name);
  EXPECT_EQ(got.configs, operation.configs);
}

TEST(OperationCodec, AnOperationThatIsTooLargeIsNotSent) {
  CreateTopic operation;
  operation.name = std::string(kOperationBytesMax, 'x');
  pb::OperationRequest request;
  const auto encoded = EncodeOperation(operation, request);
  ASSERT_FALSE(encoded.ok());
  EXPECT_EQ(encoded.error().reason, Reason::kInvalidArgument);
  EXPECT_EQ(OperationOutcome(encoded.error()), "NOT_APPLIED");
  EXPECT_THAT(Refusal(request).message, HasSubstr("bytes"));
  request.Clear();
  auto& assignment = *request.mutable_create_topic()->mutable_assignment();
  for (int i = 0; i <= kOperationItemsMax; ++i) assignment.Add();
  EXPECT_THAT(Refusal(request).message, HasSubstr("assigned partitions"));
}

TEST(OperationCodec, WhatIsNoOperationIsRefused) {
  pb::OperationRequest request;
  EXPECT_THAT(Refusal(request).message, HasSubstr("newer"));
  request.mutable_delete_topic();
  EXPECT_THAT(Refusal(request).message, HasSubstr("deletes no topic"));
  request.mutable_delete_topic()->set_topic_id("short");
  EXPECT_THAT(Refusal(request).message, HasSubstr("an id that is none"));
  for (int i = 0; i < 2; ++i) request.mutable_create_topic()->add_configs()->set_name("a");
  EXPECT_THAT(Refusal(request).message, HasSubstr("twice"));
  auto& alteration = *request.mutable_alter_configs()->add_alterations();
  EXPECT_THAT(Refusal(request).message, HasSubstr("resource type 0"));
  alteration.set_type(pb::AlterConfigsOperation::RESOURCE_TYPE_TOPIC);
  alteration.add_ops()->set_kind(static_cast<pb::AlterConfigsOperation::Kind>(9));
  EXPECT_THAT(Refusal(request).message, HasSubstr("kind 9"));
}

TEST(OperationCodec, WhatIsSaidOfBrokersArrivesAsItWas) {
  const auto sent = [](const auto& operation) {
    pb::OperationRequest request;
    EXPECT_TRUE(EncodeOperation(operation, request).ok());
    return std::get<std::decay_t<decltype(operation)>>(*DecodeOperation(request));
  };
  const auto beat = sent(BrokerHeartbeat{NodeId{3}, BrokerEpoch{7}, Offset{90}, true});
  EXPECT_EQ(beat.broker, NodeId{3});
  EXPECT_EQ(beat.epoch, BrokerEpoch{7});
  EXPECT_EQ(beat.metadata_offset, Offset{90});
  EXPECT_TRUE(beat.wants_to_stop);
  EXPECT_EQ(sent(SetBrokerFence{NodeId{3}, true}).broker, NodeId{3});
  EXPECT_TRUE(sent(SetBrokerFence{NodeId{3}, true}).fenced);
  EXPECT_EQ(sent(UnregisterBroker{NodeId{4}}).broker, NodeId{4});
  EXPECT_EQ(sent(DrainBroker{NodeId{5}, true}).broker, NodeId{5});
  EXPECT_TRUE(sent(DrainBroker{NodeId{5}, true}).undo);
  EXPECT_FALSE(sent(DrainBroker{NodeId{5}, false}).undo);
  EXPECT_EQ(sent(UpdateFeatures{2, true}).level, 2);
  EXPECT_TRUE(sent(UpdateFeatures{2, true}).validate_only);
  EXPECT_FALSE(sent(UpdateFeatures{1, false}).validate_only);
  EXPECT_TRUE(sent(RegisterBroker{FakeController::MakeBroker(4), true}).stopped_cleanly);
}

TEST(OperationCodec, WhatADrainMovedArrivesAsItWas) {
  const std::vector<ElectedLeader> led = {
      {{"t", PartitionIndex{0}}, Result<void>(), NodeId{0}},
      {{"t", PartitionIndex{1}}, Error(Reason::kEligibleLeadersNotAvailable, "why"), NodeId{5}},
      {{"t", PartitionIndex{2}}, Result<void>()}};
  pb::OperationResponse response;
  EncodeAnswer(OperationAnswer(led), response);
  const auto answer = DecodeAnswer(DrainBroker{NodeId{5}, false}, response, MetadataImage());
  ASSERT_TRUE(answer.ok()) << answer.error();
  const auto& got = std::get<std::vector<ElectedLeader>>(*answer);
  ASSERT_EQ(got.size(), 3u);
  for (size_t i = 0; i < got.size(); ++i) {
    EXPECT_EQ(got[i].partition, led[i].partition);
    EXPECT_EQ(got[i].leader, led[i].leader);
    EXPECT_EQ(got[i].result.ok(), led[i].result.ok());
  }
  EXPECT_EQ(got[1].result.error().message, "why");
}

TEST(OperationCodec, WhatIsNoBrokerIsRefused) {
  const auto refusal = [](auto change) {
    pb::OperationRequest request;
    auto& broker = *request.mutable_register_broker()->mutable_broker();
    broker = MakeBrokerRecord(FakeController::MakeBroker(4), false).register_broker();
    EXPECT_TRUE(DecodeOperation(request).ok());
    change(broker);
    return Refusal(request).message;
  };
  EXPECT_THAT(refusal([](auto& broker) { broker.set_broker_epoch(5); }), HasSubstr("epoch"));
  EXPECT_THAT(refusal([](auto& broker) { broker.set_node_id(-1); }), HasSubstr("valid id"));
  EXPECT_THAT(refusal([](auto& broker) { broker.set_incarnation("x"); }), HasSubstr("valid id"));
  EXPECT_THAT(refusal([](auto& broker) { broker.add_directories("x"); }), HasSubstr("id"));
  EXPECT_THAT(refusal([](auto& broker) { broker.mutable_listeners(0)->set_port(65536); }),
              HasSubstr("port"));
}

TEST(OperationCodec, ErrorsKeepReasonMessageAndDetails) {
  pb::OperationError message;
  EncodeError(
      Error(Reason::kTopicNotFound, "no \xff").With("topic", "a").With("outcome", "UNKNOWN"),
      message);
  const Error error = DecodeError(message);
  EXPECT_EQ(error.reason, Reason::kTopicNotFound);
  EXPECT_EQ(error.message, "no \xff");
  EXPECT_THAT(error.details, ElementsAre(Pair("topic", "a"), Pair("outcome", "UNKNOWN")));
  message.set_reason(static_cast<v1::ErrorReason>(9999));
  EXPECT_EQ(DecodeError(message).reason, Reason::kUnspecified);
  EXPECT_THAT(DecodeError(message).message, HasSubstr("9999"));
}

class AnswerCodec : public testing::Test {
 protected:
  AnswerCodec() {
    CreateTopic operation;
    operation.name = "orders";
    operation.partitions = 300;
    operation.replication_factor = 3;
    operation.configs = {{"retention.ms", "5"}};
    ControllerOptions options;
    Random random(1);
    BrokerSessions sessions{{}};
    auto plan = Plan(operation, PlanContext{*empty_, options, random, sessions, {}});
    CHECK(plan.ok()) << plan.error();
    Replay replay(empty_);
    for (const auto& record : plan->records) CHECK(replay.Apply(empty_->version, record).ok());
    image_ = replay.Finish({empty_->version + 3, LeaderEpoch{1}, Timestamp{1}}).after;
    topic_ = image_->Topic("orders");
  }

  static void ExpectSame(const TopicImage& got, const TopicImage& expected) {
    EXPECT_EQ(got.name, expected.name);
    EXPECT_EQ(*got.configs, *expected.configs);
    ASSERT_EQ(got.partition_count(), expected.partition_count());
    expected.partitions.VisitAll([&](PartitionIndex index, const PartitionPtr& partition) {
      EXPECT_EQ(*got.Partition(index), *partition);
    });
  }

  struct NoLoop final : EventLoop {
    void Post(const char*, Task) override {}
    TimerId After(Duration, const char*, Task) override { return {}; }
    void Cancel(TimerId) override {}
    bool InLoop() const override { return true; }
    const Clock& clock() const override { return SystemClock(); }
  } loop_;
  const ImagePtr empty_ = FakeController(loop_, 1).image();
  ImagePtr image_;
  TopicPtr topic_;
};

TEST_F(AnswerCodec, ATopicIsTheOneOfTheImage) {
  const auto got = Received(CreateTopic(), OperationAnswer(topic_), *image_);
  ASSERT_TRUE(got.ok()) << got.error();
  EXPECT_EQ(std::get<TopicPtr>(*got), topic_);
}

TEST_F(AnswerCodec, ATopicThatIsGoneIsShownAllTheSame) {
  const auto got = Received(AddPartitions(), OperationAnswer(topic_), *empty_);
  ASSERT_TRUE(got.ok()) << got.error();
  EXPECT_EQ(std::get<TopicPtr>(*got)->id, topic_->id);
  ExpectSame(*std::get<TopicPtr>(*got), *topic_);
}

TEST_F(AnswerCodec, ATopicThatWasOnlyValidatedHasNoId) {
  auto shown = std::make_shared<TopicImage>(*topic_);
  shown->id = TopicId{};
  const auto got = Received(CreateTopic(), OperationAnswer(TopicPtr(shown)), *empty_);
  ASSERT_TRUE(got.ok()) << got.error();
  EXPECT_TRUE(std::get<TopicPtr>(*got)->id.IsZero());
  ExpectSame(*std::get<TopicPtr>(*got), *topic_);
}

TEST_F(AnswerCodec, ATopicThatIsGoneAndTooLargeToBeSentIsNotFound) {
  pb::OperationResponse response;
  EncodeAnswer(OperationAnswer(topic_), response);
  response.mutable_topic()->clear_records();
  EXPECT_TRUE(DecodeAnswer(CreateTopic(), response, *image_).ok());
  auto got = DecodeAnswer(CreateTopic(), response, *empty_);
  ASSERT_FALSE(got.ok());
  EXPECT_EQ(got.error().reason, Reason::kUnknownTopicId);
  response.mutable_topic()->clear_topic_id();
  got = DecodeAnswer(CreateTopic(), response, *empty_);
  ASSERT_FALSE(got.ok());
  EXPECT_EQ(got.error().reason, Reason::kBatchTooLarge);
}

TEST_F(AnswerCodec, OtherAnswersArriveAsTheyWere) {
  EXPECT_TRUE(Received(DeleteTopic(), OperationAnswer(), *image_).ok());
  const auto epoch = Received(RegisterBroker(), OperationAnswer(BrokerEpoch{7}), *image_);
  EXPECT_EQ(std::get<BrokerEpoch>(*epoch), BrokerEpoch{7});
  const auto ids =
      Received(AllocateProducerIds{9}, OperationAnswer(ProducerIdBlock{40, 9}), *image_);
  EXPECT_EQ(std::get<ProducerIdBlock>(*ids).first, 40);
  EXPECT_EQ(std::get<ProducerIdBlock>(*ids).count, 9);
  const auto status =
      Received(BrokerHeartbeat(), OperationAnswer(BrokerStatus{true, true}), *image_);
  EXPECT_TRUE(std::get<BrokerStatus>(*status).fenced);
  EXPECT_TRUE(std::get<BrokerStatus>(*status).may_stop);
  AlterConfigs alter;
  alter.alterations.resize(2);
  const std::vector<Result<void>> results = {{}, Error(Reason::kInvalidConfig, "bad")};
  const auto altered = Received(alter, OperationAnswer(results), *image_);
  ASSERT_TRUE(altered.ok()) << altered.error();
  const auto& got = std::get<std::vector<Result<void>>>(*altered);
  ASSERT_EQ(got.size(), 2u);
  EXPECT_TRUE(got[0].ok());
  ASSERT_FALSE(got[1].ok());
  EXPECT_EQ(got[1].error().reason, Reason::kInvalidConfig);
  const auto failed = Received(alter, Error(Reason::kDiskFull, "full"), *image_);
  ASSERT_FALSE(failed.ok());
  EXPECT_EQ(failed.error().reason, Reason::kDiskFull);
}

TEST_F(AnswerCodec, AnAnswerToAnotherOperationLeavesTheOutcomeUnknown) {
  AlterConfigs alter;
  alter.alterations.resize(2);
  const std::vector<MetadataOperation> operations = {CreateTopic(),    AddPartitions(),
                                                     DeleteTopic(),    alter,
                                                     RegisterBroker(), AllocateProducerIds{1}};
  std::vector<Result<void>> one_result(1);
  const std::vector<OperationAnswer> others = {
      BrokerEpoch{1}, OperationAnswer(), topic_, one_result, topic_, ProducerIdBlock{1, 2}};
  for (size_t i = 0; i < operations.size(); ++i) {
    const auto got = Received(operations[i], others[i], *image_);
    ASSERT_FALSE(got.ok()) << i;
    EXPECT_EQ(got.error().reason, Reason::kUnspecified);
    EXPECT_THAT(got.error().details, ElementsAre(Pair("outcome", "UNKNOWN")));
  }
  EXPECT_FALSE(DecodeAnswer(CreateTopic(), pb::OperationResponse(), *image_).ok());
}

TEST_F(AnswerCodec, RecordsThatMakeNoTopicLeaveTheOutcomeUnknown) {
  pb::OperationResponse good;
  EncodeAnswer(OperationAnswer(topic_), good);
  const auto expect_unknown = [&](auto change) {
    pb::OperationResponse response = good;
    change(*response.mutable_topic());
    const auto got = DecodeAnswer(CreateTopic(), response, *empty_);
    ASSERT_FALSE(got.ok());
    EXPECT_EQ(got.error().reason, Reason::kUnspecified);
  };
  expect_unknown([](auto& topic) { topic.set_records(0, "not a record"); });
  expect_unknown([](auto& topic) {
    topic.mutable_records()->RemoveLast();
    topic.set_topic_id("x");
  });
  expect_unknown([](auto& topic) { topic.mutable_topic_id()->back() ^= 1; });
  expect_unknown([](auto& topic) { topic.clear_topic_id(); });
  expect_unknown([](auto& topic) { topic.mutable_records()->DeleteSubrange(0, 1); });
}

}  // namespace
}  // namespace gregor
