#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controller/operation_codec.h"
#include "tests/controller/controller_harness.h"

namespace gregor {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// Rules, users and quotas by a controller, which starts again.
class SecurityOperationsTest : public testing::Test {
 protected:
  explicit SecurityOperationsTest(int32_t feature_level = kFeatureLevel) : node_(1, feature_level) {
    EXPECT_TRUE(node_.Start());
  }

  template <typename Op>
  Result<typename Op::Answer> Run(Op operation) {
    return node_.Await<typename Op::Answer>(
        [&](auto done) { node_.controller().Run(std::move(operation), std::move(done)); });
  }
  template <typename T>
  static void ExpectRefused(const Result<T>& result, Reason reason, const std::string& part) {
    ASSERT_FALSE(result.ok());
    EXPECT_EQ(result.error().reason, reason) << result.error();
    EXPECT_THAT(result.error().message, HasSubstr(part));
  }
  static Acl Reading(const std::string& topic, const std::string& principal = "User:alice") {
    return {.name = topic, .principal = principal, .host = "*", .operation = AclOperation::kRead};
  }
  static UpsertUser NewUser(const std::string& name) {
    return {.key = {name, ScramMechanism::kSha256},
            .credential = {.salt = "12345678",
                           .stored_key = std::string(32, 's'),
                           .server_key = std::string(32, 'k'),
                           .iterations = 4096}};
  }
  // Of one alteration.
  Result<void> Alter(AlterQuota alteration) {
    auto results = Run(AlterQuotas{.alterations = {std::move(alteration)}});
    return results.ok() ? results->at(0) : results.error();
  }
  Offset end() { return node_.image()->version; }

  ControllerHarness node_;
};

TEST_F(SecurityOperationsTest, RulesAreMadeAllOrNoneAndOnce) {
  Acl twice = Reading("a");
  twice.host = "0:0::1";
  Acl same = twice;
  same.host = "::1";
  ASSERT_TRUE(Run(CreateAcls{{Reading("b"), twice, same, Reading("b")}}).ok());
  EXPECT_EQ(node_.image()->acls.size(), 2u);
  const Offset before = end();
  ASSERT_TRUE(Run(CreateAcls{{Reading("b")}}).ok());
  EXPECT_EQ(end(), before);
  ExpectRefused(Run(CreateAcls{{Reading("c"), Reading("")}}), Reason::kInvalidArgument, "empty");
  EXPECT_EQ(node_.image()->acls.size(), 2u);
  ExpectRefused(Run(CreateAcls{}), Reason::kInvalidArgument, "1 to 1000");
  ExpectRefused(Run(CreateAcls{std::vector<Acl>(1001, Reading("x"))}), Reason::kInvalidArgument,
                "1 to 1000");
}

TEST_F(SecurityOperationsTest, RulesGoByFilters) {
  ASSERT_TRUE(Run(CreateAcls{{Reading("a"), Reading("b"), Reading("b", "User:bob")}}).ok());
  const std::vector<AclFilter> filters = {{.name = "b"}, {.principal = "User:bob"}};
  const Offset before = end();
  const auto shown = Run(DeleteAcls{.filters = filters, .validate_only = true});
  ASSERT_TRUE(shown.ok());
  EXPECT_THAT(*shown, ElementsAre(Reading("b"), Reading("b", "User:bob")));
  EXPECT_EQ(end(), before);
  EXPECT_EQ(*Run(DeleteAcls{.filters = filters}), *shown);
  EXPECT_EQ(node_.image()->acls.size(), 1u);
  EXPECT_THAT(*Run(DeleteAcls{.filters = filters}), IsEmpty());
  ExpectRefused(Run(DeleteAcls{}), Reason::kInvalidArgument, "1 to 100");
  // Each of these looks at all rules.
  const std::vector<AclFilter> wide(kWideAclFiltersMax + 1, {.host = "10.0.0.1"});
  ExpectRefused(Run(DeleteAcls{.filters = wide}), Reason::kInvalidArgument, "look");
  ExpectRefused(Run(DeleteAcls{.filters = {{.name = std::string(600, 'x')}}}),
                Reason::kInvalidArgument, "at most 512 bytes");
}

TEST_F(SecurityOperationsTest, TooManyRulesAtOnceAreNotRemoved) {
  for (int batch = 0; batch < 6; ++batch) {
    CreateAcls operation;
    for (int i = 0; i < 1000; ++i)
      operation.acls.push_back(Reading(std::to_string(batch) + "-" + std::to_string(i)));
    ASSERT_TRUE(Run(std::move(operation)).ok());
  }
  ExpectRefused(Run(DeleteAcls{.filters = {{}}}), Reason::kInvalidArgument, "narrower");
  EXPECT_EQ(node_.image()->acls.size(), 6000u);
  EXPECT_EQ(Run(DeleteAcls{.filters = {{.name = "3-7"}}})->size(), 1u);
}

TEST_F(SecurityOperationsTest, ACredentialIsWhatScramNeeds) {
  const auto refusal = [&](auto change) {
    UpsertUser operation = NewUser("alice");
    change(operation);
    const auto result = Run(operation);
    if (result.ok()) return std::string();
    EXPECT_EQ(result.error().reason, Reason::kUnacceptableCredential);
    return result.error().message;
  };
  for (const std::string name : {"", "a\nb", "caf\xc3\xa9"})
    EXPECT_THAT(refusal([&](UpsertUser& user) { user.key.user = name; }), HasSubstr("printable"));
  for (const int32_t iterations : {0, 4095, 16385, -1}) {
    EXPECT_THAT(refusal([&](UpsertUser& user) { user.credential.iterations = iterations; }),
                HasSubstr("4096 to 16384"));
  }
  EXPECT_THAT(refusal([](UpsertUser& user) { user.credential.salt = "1234567"; }),
              HasSubstr("8 to 64"));
  EXPECT_THAT(refusal([](UpsertUser& user) { user.credential.server_key += "x"; }),
              HasSubstr("32 bytes"));
  EXPECT_THAT(refusal([](UpsertUser& user) { user.key.mechanism = ScramMechanism::kSha512; }),
              HasSubstr("64 bytes"));
  EXPECT_EQ(refusal([](UpsertUser&) {}), "");
}

TEST_F(SecurityOperationsTest, UsersAreReplacedAndForgotten) {
  UpsertUser stronger = NewUser("alice");
  stronger.key.mechanism = ScramMechanism::kSha512;
  stronger.credential.stored_key = stronger.credential.server_key = std::string(64, 'k');
  ASSERT_TRUE(Run(NewUser("alice")).ok());
  ASSERT_TRUE(Run(stronger).ok());
  const Offset before = end();
  ASSERT_TRUE(Run(stronger).ok());
  EXPECT_EQ(end(), before);
  ASSERT_TRUE(Run(DeleteUser{"alice", ScramMechanism::kSha256}).ok());
  ExpectRefused(Run(DeleteUser{"alice", ScramMechanism::kSha256}), Reason::kUserNotFound,
                "no such credential");
  ASSERT_TRUE(Run(NewUser("alice")).ok());
  ASSERT_TRUE(Run(DeleteUser{"alice", std::nullopt}).ok());
  EXPECT_EQ(node_.image()->users.size(), 0u);
  ExpectRefused(Run(DeleteUser{"alice", std::nullopt}), Reason::kUserNotFound, "no user");
}

TEST_F(SecurityOperationsTest, EachAlterationOfQuotasStandsForItself) {
  const QuotaEntity alice{.user = "alice"};
  const auto results = Run(AlterQuotas{
      .alterations = {{.entity = alice, .set = {{"producer_byte_rate", 5}}},
                      {.entity = {}, .set = {{"producer_byte_rate", 5}}},
                      {.entity = alice, .set = {{"consumer_byte_rate", 6}, {"nonsense", 1}}},
                      {.entity = alice, .set = {{"consumer_byte_rate", 7}}},
                      {.entity = alice,
                       .set = {{"request_percentage", 1}},
                       .removed = {"request_percentage"}}}});
  ASSERT_TRUE(results.ok());
  ASSERT_EQ(results->size(), 5u);
  EXPECT_TRUE(results->at(0).ok() && results->at(3).ok());
  ExpectRefused(results->at(1), Reason::kInvalidArgument, "a quota is for");
  ExpectRefused(results->at(2), Reason::kInvalidArgument, "\"nonsense\"");
  ExpectRefused(results->at(4), Reason::kInvalidArgument, "set and removed");
  EXPECT_EQ(**node_.image()->quotas.Find(alice),
            (QuotaValues{{"consumer_byte_rate", 7}, {"producer_byte_rate", 5}}));
  const Offset before = end();
  EXPECT_TRUE(Alter({.entity = alice, .removed = {"request_percentage"}}).ok());
  EXPECT_EQ(end(), before);
  EXPECT_TRUE(
      Alter({.entity = alice, .removed = {"producer_byte_rate", "consumer_byte_rate"}}).ok());
  EXPECT_EQ(node_.image()->quotas.size(), 0u);
  EXPECT_TRUE(
      Run(AlterQuotas{.alterations = {{.entity = alice, .set = {{"request_percentage", 1}}}},
                      .validate_only = true})
          .ok());
  EXPECT_EQ(node_.image()->quotas.size(), 0u);
}

TEST_F(SecurityOperationsTest, AllOfItIsThereAfterARestart) {
  ASSERT_TRUE(Run(CreateAcls{{Reading("orders")}}).ok());
  ASSERT_TRUE(Run(NewUser("alice")).ok());
  ASSERT_TRUE(Alter({.entity = {.client_id = ""}, .set = {{"request_percentage", 50}}}).ok());
  const Rows before = RowsOf(*node_.image());
  for (const bool has_store : {true, false}) {
    node_.Kill();
    node_.has_store = has_store;
    ASSERT_TRUE(node_.Open());
    Rows after = RowsOf(*node_.image());
    EXPECT_EQ(after, before);
    EXPECT_EQ(node_.image()->acls.size(), 1u);
  }
}

// A cluster that was made before there were rules, users and quotas.
class SecurityAtLevel1Test : public SecurityOperationsTest {
 protected:
  SecurityAtLevel1Test() : SecurityOperationsTest(1) {}
  template <typename T>
  static void ExpectTooLow(const Result<T>& result) {
    ExpectRefused(result, Reason::kUnsupportedVersion, "raise the level with `gregor cluster");
    if (result.ok()) return;
    EXPECT_EQ(OperationOutcome(result.error()), "NOT_APPLIED");
  }
};

TEST_F(SecurityAtLevel1Test, OperationsAreRefusedUntilTheLevelIsRaised) {
  const AlterQuota quota{.entity = {.user = "alice"}, .set = {{"request_percentage", 50}}};
  const Offset before = end();
  ExpectTooLow(Run(CreateAcls{{Reading("orders")}}));
  ExpectTooLow(Run(NewUser("alice")));
  ExpectTooLow(Run(AlterQuotas{.alterations = {quota}}));
  ExpectTooLow(Run(AlterQuotas{.alterations = {quota}, .validate_only = true}));
  // There is nothing to remove.
  EXPECT_THAT(*Run(DeleteAcls{.filters = {{}}}), IsEmpty());
  ExpectRefused(Run(DeleteUser{"alice", std::nullopt}), Reason::kUserNotFound, "no user");
  EXPECT_EQ(end(), before);

  ASSERT_TRUE(Run(UpdateFeatures{2, false}).ok());
  ASSERT_TRUE(Run(CreateAcls{{Reading("orders"), Reading("stock")}}).ok());
  ASSERT_TRUE(Run(NewUser("alice")).ok());
  ASSERT_TRUE(Alter(quota).ok());
  ExpectRefused(Run(UpdateFeatures{1, false}), Reason::kFeatureUpdateFailed,
                "acl (2), client quota (1), user credential (1)");
  EXPECT_EQ(Run(DeleteAcls{.filters = {{}}})->size(), 2u);
  ASSERT_TRUE(Run(DeleteUser{"alice", std::nullopt}).ok());
  ASSERT_TRUE(Alter({.entity = quota.entity, .removed = {"request_percentage"}}).ok());
  ASSERT_TRUE(Run(UpdateFeatures{1, false}).ok());
  ExpectTooLow(Run(CreateAcls{{Reading("orders")}}));
}

}  // namespace
}  // namespace gregor
