#include <vector>

#include "gregor/v1/config.grpc.pb.h"
#include "tests/broker_grpc/control_harness.h"

namespace gregor {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

class QuotaAdminTest : public ControlTest {
 protected:
  void SetUp() override {
    StartServer();
    stub_ = v1::ConfigService::NewStub(channel_);
  }
  grpc::Status Describe() {
    return stub_->DescribeQuotas(NewContext().get(), describe_, &described_);
  }
  grpc::Status Alter() { return stub_->AlterQuotas(NewContext().get(), alter_, &altered_); }
  void Keep(const QuotaEntity& entity, double rate) {
    broker_.Change([&](MetadataImage& image, MetadataDelta&) {
      image.quotas.Set(
          entity, std::make_shared<const QuotaValues>(QuotaValues{{"producer_byte_rate", rate}}));
    });
  }
  // The rates of what is described.
  std::vector<double> Rates() {
    EXPECT_TRUE(Describe().ok());
    std::vector<double> rates;
    for (const auto& quota : described_.quotas())
      rates.push_back(quota.values().at("producer_byte_rate"));
    return rates;
  }

  std::unique_ptr<v1::ConfigService::Stub> stub_;
  v1::DescribeQuotasRequest describe_;
  v1::DescribeQuotasResponse described_;
  v1::AlterQuotasRequest alter_;
  v1::AlterQuotasResponse altered_;
};

TEST_F(QuotaAdminTest, AlterationsComeToTheControllerAndBack) {
  auto& first = *alter_.add_alterations();
  first.mutable_entity()->set_user("");
  first.mutable_entity()->set_client_id("etl");
  (*first.mutable_set())["producer_byte_rate"] = 1024;
  first.add_remove("request_percentage");
  alter_.add_alterations()->mutable_entity()->set_ip("::1");
  alter_.set_validate_only(true);
  broker_.altered = {Result<void>(), Error(Reason::kInvalidArgument, "why")};
  ASSERT_TRUE(Alter().ok());
  ASSERT_EQ(broker_.quota_alters.size(), 1u);
  const AlterQuotas& operation = broker_.quota_alters[0];
  EXPECT_TRUE(operation.validate_only);
  ASSERT_EQ(operation.alterations.size(), 2u);
  EXPECT_EQ(operation.alterations[0].entity, (QuotaEntity{.user = "", .client_id = "etl"}));
  EXPECT_EQ(operation.alterations[0].set, (QuotaValues{{"producer_byte_rate", 1024}}));
  EXPECT_THAT(operation.alterations[0].removed, ElementsAre("request_percentage"));
  EXPECT_EQ(operation.alterations[1].entity, QuotaEntity{.ip = "::1"});
  ASSERT_EQ(altered_.results_size(), 2);
  EXPECT_EQ(altered_.results(0).code(), 0);
  EXPECT_EQ(ErrorOfStatus(altered_.results(1)).reason, Reason::kInvalidArgument);
  for (int i = 0; i < 1000; ++i) alter_.add_alterations();
  EXPECT_EQ(ReasonOf(Alter()), Reason::kInvalidArgument);
}

TEST_F(QuotaAdminTest, FiltersAreThoseOfKafka) {
  Keep({.user = "alice"}, 1);
  Keep({.user = ""}, 2);
  Keep({.user = "alice", .client_id = "etl"}, 3);
  Keep({.client_id = "etl"}, 4);
  Keep({.ip = "::1"}, 5);
  EXPECT_EQ(Rates().size(), 5u);
  describe_.mutable_filter()->set_user("alice");
  EXPECT_THAT(Rates(), UnorderedElementsAre(1, 3));
  describe_.set_strict(true);
  EXPECT_THAT(Rates(), ElementsAre(1));
  describe_.add_any(v1::QUOTA_COMPONENT_CLIENT_ID);
  EXPECT_THAT(Rates(), ElementsAre(3));
  describe_.mutable_filter()->set_user("");
  EXPECT_THAT(Rates(), IsEmpty());
  describe_.clear_any();
  EXPECT_THAT(Rates(), ElementsAre(2));
  describe_.Clear();
  describe_.add_any(v1::QUOTA_COMPONENT_USER);
  EXPECT_THAT(Rates(), UnorderedElementsAre(1, 2, 3));
  describe_.set_strict(true);
  EXPECT_THAT(Rates(), UnorderedElementsAre(1, 2));
  describe_.mutable_filter()->set_user("alice");
  EXPECT_EQ(ReasonOf(Describe()), Reason::kInvalidArgument);
  describe_.Clear();
  describe_.add_any(v1::QUOTA_COMPONENT_UNSPECIFIED);
  EXPECT_EQ(ReasonOf(Describe()), Reason::kInvalidArgument);
}

TEST_F(QuotaAdminTest, QuotasAreListedInPages) {
  for (int i = 0; i < 12; ++i) Keep({.user = "u" + std::to_string(100 + i)}, i + 1);
  describe_.mutable_page()->set_page_size(5);
  std::vector<std::string> users;
  do {
    ASSERT_TRUE(Describe().ok());
    for (const auto& quota : described_.quotas()) users.push_back(quota.entity().user());
    describe_.mutable_page()->set_page_token(described_.next_page_token());
  } while (!described_.next_page_token().empty());
  ASSERT_EQ(users.size(), 12u);
  EXPECT_EQ(users.front(), "u100");
  EXPECT_EQ(users.back(), "u111");
}

}  // namespace
}  // namespace gregor
