#include <set>

#include "gregor/v1/config.grpc.pb.h"
#include "tests/broker_grpc/control_harness.h"

namespace gregor {
namespace {

using testing::IsEmpty;

class ConfigServiceTest : public ControlTest {
 protected:
  void SetUp() override {
    StartServer();
    stub_ = v1::ConfigService::NewStub(channel_);
    broker_.AddTopic("orders", 1);
  }
  grpc::Status Describe() {
    const auto context = NewContext();
    return stub_->DescribeConfigs(context.get(), describe_, &described_);
  }
  grpc::Status Alter() {
    const auto context = NewContext();
    return stub_->AlterConfigs(context.get(), alter_, &altered_);
  }
  static void Name(v1::ConfigResource& resource, int type, const std::string& name) {
    resource.set_type(static_cast<v1::ConfigResource::Type>(type));
    resource.set_name(name);
  }
  const v1::ConfigEntry* Find(int result, const std::string& name) {
    for (const auto& entry : described_.results(result).entries()) {
      if (entry.name() == name) return &entry;
    }
    return nullptr;
  }

  std::unique_ptr<v1::ConfigService::Stub> stub_;
  v1::DescribeConfigsRequest describe_;
  v1::DescribeConfigsResponse described_;
  v1::AlterConfigsRequest alter_;
  v1::AlterConfigsResponse altered_;
};

TEST_F(ConfigServiceTest, DescribesEveryTopicConfigWithTypeDefaultAndSource) {
  broker_.Change([](MetadataImage& image, MetadataDelta&) {
    auto topic = std::make_shared<TopicImage>(*image.Topic("orders"));
    topic->configs = std::make_shared<const ConfigMap>(ConfigMap{{"retention.ms", "1000"}});
    image.topics.Set("orders", topic);
  });
  Name(*describe_.add_resources(), v1::ConfigResource::TYPE_UNSPECIFIED, "orders");
  ASSERT_TRUE(Describe().ok());
  ASSERT_EQ(described_.results_size(), 1);
  EXPECT_EQ(described_.results(0).resource().name(), "orders");
  EXPECT_FALSE(described_.results(0).has_error());
  EXPECT_EQ(static_cast<size_t>(described_.results(0).entries_size()), TopicConfigSpecs().size());
  const auto* const retention = Find(0, "retention.ms");
  ASSERT_NE(retention, nullptr);
  EXPECT_EQ(retention->value(), "1000");
  EXPECT_EQ(retention->source(), v1::ConfigEntry::SOURCE_TOPIC);
  EXPECT_EQ(retention->default_value(), "604800000");
  EXPECT_EQ(retention->type(), "long");
  EXPECT_FALSE(retention->read_only());
  EXPECT_EQ(retention->documentation(), "");
  const auto* const cleanup = Find(0, "cleanup.policy");
  ASSERT_NE(cleanup, nullptr);
  EXPECT_EQ(cleanup->value(), "delete");
  EXPECT_EQ(cleanup->source(), v1::ConfigEntry::SOURCE_DEFAULT);
  EXPECT_EQ(cleanup->type(), "list");
  for (const ConfigSpec& spec : TopicConfigSpecs()) {
    const auto* const entry = Find(0, std::string(spec.name));
    ASSERT_NE(entry, nullptr) << spec.name;
    EXPECT_EQ(entry->read_only(), !spec.has_effect()) << spec.name;
  }
}

TEST_F(ConfigServiceTest, DescribesWhatANewTopicHasWhereNoneIsNamed) {
  Name(*describe_.add_resources(), v1::ConfigResource::TYPE_TOPIC, "");
  ASSERT_TRUE(Describe().ok());
  ASSERT_FALSE(described_.results(0).has_error());
  EXPECT_EQ(static_cast<size_t>(described_.results(0).entries_size()), TopicConfigSpecs().size());
  ASSERT_NE(Find(0, "retention.ms"), nullptr);
  EXPECT_EQ(Find(0, "retention.ms")->value(), "604800000");
  // It cannot be altered: that is done with the brokers' defaults.
  auto& alteration = *alter_.add_alterations();
  Name(*alteration.mutable_resource(), v1::ConfigResource::TYPE_TOPIC, "");
  ASSERT_TRUE(Alter().ok());
  EXPECT_EQ(ErrorOfStatus(altered_.results(0)).reason, Reason::kInvalidArgument);
}

TEST_F(ConfigServiceTest, DescribesOnlyTheKeysAskedForWithTheirDocumentation) {
  Name(*describe_.add_resources(), v1::ConfigResource::TYPE_TOPIC, "orders");
  describe_.add_keys("segment.bytes");
  describe_.set_include_documentation(true);
  ASSERT_TRUE(Describe().ok());
  ASSERT_EQ(described_.results(0).entries_size(), 1);
  EXPECT_EQ(described_.results(0).entries(0).name(), "segment.bytes");
  EXPECT_NE(described_.results(0).entries(0).documentation(), "");
  EXPECT_NE(described_.results(0).entries(0).valid_values(), "");
  describe_.add_keys("no.such.config");
  ASSERT_TRUE(Describe().ok());
  EXPECT_EQ(ErrorOfStatus(described_.results(0).error()).reason, Reason::kInvalidConfig);
}

TEST_F(ConfigServiceTest, AResourceThatDoesNotExistFailsAloneInItsPlace) {
  using Resource = v1::ConfigResource;
  Name(*describe_.add_resources(), Resource::TYPE_TOPIC, "none");
  Name(*describe_.add_resources(), Resource::TYPE_TOPIC, "orders");
  Name(*describe_.add_resources(), Resource::TYPE_BROKER, "7");
  Name(*describe_.add_resources(), Resource::TYPE_BROKER, "1");
  Name(*describe_.add_resources(), Resource::TYPE_BROKER, "");
  Name(*describe_.add_resources(), Resource::TYPE_BROKER, "01");
  Name(*describe_.add_resources(), Resource::TYPE_GROUP, "g");
  Name(*describe_.add_resources(), 99, "x");
  Name(*describe_.add_resources(), Resource::TYPE_UNSPECIFIED, "");
  ASSERT_TRUE(Describe().ok());
  const std::vector<Reason> expected = {
      Reason::kTopicNotFound,      Reason::kUnspecified,     Reason::kBrokerIdNotRegistered,
      Reason::kUnspecified,        Reason::kUnspecified,     Reason::kInvalidArgument,
      Reason::kUnsupportedVersion, Reason::kInvalidArgument, Reason::kInvalidArgument};
  ASSERT_EQ(static_cast<size_t>(described_.results_size()), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    const auto& result = described_.results(static_cast<int>(i));
    EXPECT_EQ(result.has_error(), expected[i] != Reason::kUnspecified) << i;
    if (result.has_error()) {
      EXPECT_EQ(ErrorOfStatus(result.error()).reason, expected[i]) << i;
      EXPECT_THAT(result.entries(), IsEmpty());
    } else {
      EXPECT_GT(result.entries_size(), 0) << i;
    }
  }
  EXPECT_EQ(Find(3, "message.max.bytes")->source(), v1::ConfigEntry::SOURCE_CLUSTER_DYNAMIC);
}

TEST_F(ConfigServiceTest, AnAnswerThatWouldBeTooLargeIsRefused) {
  for (int i = 0; i < 1000; ++i)
    Name(*describe_.add_resources(), v1::ConfigResource::TYPE_TOPIC, "orders");
  describe_.set_include_documentation(true);
  const auto status = Describe();
  EXPECT_EQ(ReasonOf(status), Reason::kInvalidArgument);
  EXPECT_THAT(status.error_message(), testing::HasSubstr("3 MiB"));
  describe_.add_keys("retention.ms");
  EXPECT_TRUE(Describe().ok());
  Name(*describe_.add_resources(), v1::ConfigResource::TYPE_TOPIC, "orders");
  EXPECT_EQ(ReasonOf(Describe()), Reason::kInvalidArgument);
}

TEST_F(ConfigServiceTest, AltersAsAskedAndKeepsTheOrderOfTheResults) {
  using Request = v1::AlterConfigsRequest;
  const auto add = [&](int type, const std::string& name) -> Request::Alteration& {
    auto& alteration = *alter_.add_alterations();
    Name(*alteration.mutable_resource(), type, name);
    return alteration;
  };
  auto& first = add(v1::ConfigResource::TYPE_TOPIC, "orders");
  for (const auto& [kind, value] :
       std::vector<std::pair<int, std::string>>{{Request::KIND_UNSPECIFIED, "1"},
                                                {Request::KIND_DELETE, ""},
                                                {Request::KIND_APPEND, "compact"},
                                                {Request::KIND_SUBTRACT, "delete"}}) {
    auto& op = *first.add_ops();
    op.set_name("c" + std::to_string(kind));
    op.set_kind(static_cast<Request::Kind>(kind));
    op.set_value(value);
  }
  add(v1::ConfigResource::TYPE_BROKER_LOGGER, "1");
  add(v1::ConfigResource::TYPE_BROKER, "1");
  add(v1::ConfigResource::TYPE_TOPIC, "orders").add_ops()->set_kind(static_cast<Request::Kind>(9));
  add(v1::ConfigResource::TYPE_BROKER, "");
  alter_.set_validate_only(true);
  broker_.altered.emplace_back();
  broker_.altered.emplace_back(Error(Reason::kInvalidConfig, "no such config"));
  ASSERT_TRUE(Alter().ok());
  EXPECT_TRUE(broker_.alter_validate_only);
  ASSERT_EQ(broker_.alters.size(), 3u);
  const AlterConfig& asked = broker_.alters[0];
  EXPECT_EQ(asked.type, ConfigResourceType::kTopic);
  EXPECT_EQ(asked.name, "orders");
  ASSERT_EQ(asked.ops.size(), 4u);
  EXPECT_EQ(asked.ops[0].kind, ConfigOpKind::kSet);
  EXPECT_EQ(asked.ops[0].value, "1");
  EXPECT_EQ(asked.ops[1].kind, ConfigOpKind::kDelete);
  EXPECT_EQ(asked.ops[2].kind, ConfigOpKind::kAppend);
  EXPECT_EQ(asked.ops[3].kind, ConfigOpKind::kSubtract);
  EXPECT_EQ(broker_.alters[1].type, ConfigResourceType::kBroker);
  EXPECT_EQ(broker_.alters[1].name, "1");
  EXPECT_EQ(broker_.alters[2].name, "");
  ASSERT_EQ(altered_.results_size(), 5);
  EXPECT_EQ(altered_.results(0).code(), 0);
  EXPECT_EQ(ErrorOfStatus(altered_.results(1)).reason, Reason::kUnsupportedVersion);
  EXPECT_EQ(ErrorOfStatus(altered_.results(2)).reason, Reason::kInvalidConfig);
  EXPECT_EQ(ErrorOfStatus(altered_.results(3)).reason, Reason::kInvalidArgument);
  EXPECT_EQ(altered_.results(4).code(), 0);
}

TEST_F(ConfigServiceTest, AnErrorOfTheControllerIsThatOfTheCall) {
  Name(*alter_.add_alterations()->mutable_resource(), v1::ConfigResource::TYPE_TOPIC, "orders");
  broker_.error = Error(Reason::kNotController, "no leader");
  EXPECT_EQ(ReasonOf(Alter()), Reason::kNotController);
}

}  // namespace
}  // namespace gregor
