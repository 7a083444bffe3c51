#include "controller/security_codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "controller/operation_codec.h"

namespace gregor {
namespace {

using testing::HasSubstr;

template <typename T>
T RoundTrip(const T& operation) {
  pb::OperationRequest request, received;
  const auto encoded = EncodeOperation(operation, request);
  EXPECT_TRUE(encoded.ok()) << encoded.error();
  EXPECT_TRUE(received.ParseFromString(request.SerializeAsString()));
  auto decoded = DecodeOperation(received);
  EXPECT_TRUE(decoded.ok()) << decoded.error();
  return std::get<T>(*std::move(decoded));
}

void ExpectRefused(const pb::OperationRequest& request, const std::string& part) {
  const auto decoded = DecodeOperation(request);
  ASSERT_FALSE(decoded.ok());
  EXPECT_EQ(decoded.error().reason, Reason::kInvalidArgument);
  EXPECT_EQ(OperationOutcome(decoded.error()), "NOT_APPLIED");
  EXPECT_THAT(decoded.error().message, HasSubstr(part));
}

const Acl kAcl{.resource = AclResource::kGroup,
               .pattern = AclPattern::kPrefixed,
               .name = "a\xff",
               .principal = "User:alice",
               .host = "::1",
               .operation = AclOperation::kDescribeConfigs,
               .permission = AclPermission::kDeny};

TEST(SecurityCodec, RulesAndFiltersArriveAsTheyWere) {
  EXPECT_EQ(RoundTrip(CreateAcls{{kAcl, Acl{}}}).acls, (std::vector<Acl>{kAcl, Acl{}}));
  const DeleteAcls operation{.filters = {{},
                                         {.resource = AclResource::kUser,
                                          .pattern = AclPattern::kLiteral,
                                          .name = "",
                                          .principal = "p",
                                          .host = "h",
                                          .operation = AclOperation::kIdempotentWrite,
                                          .permission = AclPermission::kAllow},
                                         {.covers = true, .name = "orders"}},
                             .validate_only = true};
  const auto got = RoundTrip(operation);
  EXPECT_TRUE(got.validate_only);
  ASSERT_EQ(got.filters.size(), 3u);
  for (size_t i = 0; i < 3; ++i) {
    const AclFilter &sent = operation.filters[i], &read = got.filters[i];
    EXPECT_EQ(read.resource, sent.resource);
    EXPECT_EQ(read.pattern, sent.pattern);
    EXPECT_EQ(read.covers, sent.covers);
    EXPECT_EQ(read.name, sent.name);
    EXPECT_EQ(read.principal, sent.principal);
    EXPECT_EQ(read.host, sent.host);
    EXPECT_EQ(read.operation, sent.operation);
    EXPECT_EQ(read.permission, sent.permission);
  }
}

TEST(SecurityCodec, UsersArriveAsTheyWere) {
  const UpsertUser user{.key = {"alice", ScramMechanism::kSha256},
                        .credential = {"salt", "stored", "server", 4096}};
  EXPECT_EQ(RoundTrip(user).key, user.key);
  EXPECT_EQ(RoundTrip(user).credential, user.credential);
  EXPECT_EQ(RoundTrip(DeleteUser{"bob", std::nullopt}).mechanism, std::nullopt);
  const auto one = RoundTrip(DeleteUser{"bob", ScramMechanism::kSha512});
  EXPECT_EQ(one.user, "bob");
  EXPECT_EQ(one.mechanism, ScramMechanism::kSha512);
}

TEST(SecurityCodec, QuotasArriveAsTheyWere) {
  const AlterQuotas operation{.alterations = {{.entity = {.user = "", .client_id = "etl"},
                                               .set = {{"a", 1.5}, {"b", 2}},
                                               .removed = {"d", "c"}},
                                              {.entity = {.ip = "::1"}}},
                              .validate_only = true};
  const auto got = RoundTrip(operation);
  EXPECT_TRUE(got.validate_only);
  ASSERT_EQ(got.alterations.size(), 2u);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(got.alterations[i].entity, operation.alterations[i].entity);
    EXPECT_EQ(got.alterations[i].set, operation.alterations[i].set);
    EXPECT_EQ(got.alterations[i].removed, operation.alterations[i].removed);
  }
}

TEST(SecurityCodec, WhatIsNotKnownIsRefusedAndNeverMatchesAnything) {
  pb::OperationRequest request;
  request.mutable_create_acls()->add_acls();
  ExpectRefused(request, "a kind that there is not");
  auto& filter = *request.mutable_delete_acls()->add_filters();
  filter.set_operation(static_cast<pb::AclRecord::Operation>(99));
  ExpectRefused(request, "a kind that there is not");
  filter.clear_operation();
  filter.set_covers(true);
  filter.set_pattern(pb::AclRecord::PATTERN_LITERAL);
  ExpectRefused(request, "contradicts itself");
  request.mutable_upsert_user()->set_user("alice");
  ExpectRefused(request, "credential of a kind");
  auto& alteration = *request.mutable_alter_quotas()->add_alterations();
  alteration.add_set()->set_name("a");
  alteration.add_set()->set_name("a");
  ExpectRefused(request, "twice");
}

TEST(SecurityCodec, ListsHaveBounds) {
  pb::OperationRequest request;
  EXPECT_FALSE(EncodeOperation(CreateAcls{std::vector<Acl>(1001, kAcl)}, request).ok());
  EXPECT_FALSE(EncodeOperation(DeleteAcls{.filters = std::vector<AclFilter>(101)}, request).ok());
  EXPECT_FALSE(
      EncodeOperation(AlterQuotas{.alterations = std::vector<AlterQuota>(1001)}, request).ok());
}

TEST(SecurityCodec, AnswersThatAreRulesArriveAsTheyWere) {
  const DeleteAcls operation{.filters = {{}}};
  pb::OperationResponse response, received;
  EncodeAnswer(OperationAnswer(std::vector<Acl>{kAcl}), response);
  ASSERT_TRUE(received.ParseFromString(response.SerializeAsString()));
  const auto answer = DecodeAnswer(operation, received, MetadataImage());
  ASSERT_TRUE(answer.ok()) << answer.error();
  EXPECT_EQ(std::get<std::vector<Acl>>(*answer), std::vector<Acl>{kAcl});
  received.mutable_acls()->add_acls();
  EXPECT_EQ(OperationOutcome(DecodeAnswer(operation, received, MetadataImage()).error()),
            "UNKNOWN");
  received.mutable_done();
  EXPECT_FALSE(DecodeAnswer(operation, received, MetadataImage()).ok());
  pb::OperationResponse results;
  EncodeAnswer(OperationAnswer(std::vector<Result<void>>(2)), results);
  EXPECT_TRUE(
      DecodeAnswer(AlterQuotas{.alterations = std::vector<AlterQuota>(2)}, results, MetadataImage())
          .ok());
}

}  // namespace
}  // namespace gregor
