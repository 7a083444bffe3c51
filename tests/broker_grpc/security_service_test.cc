#include "gregor/v1/security.grpc.pb.h"

#include "base/scram.h"
#include "broker/grpc/control_call.h"
#include "tests/broker_grpc/control_harness.h"

namespace gregor {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class SecurityServiceTest : public ControlTest {
 protected:
  void SetUp() override {
    StartServer();
    stub_ = v1::SecurityService::NewStub(channel_);
  }
  grpc::Status Create() { return stub_->CreateAcls(NewContext().get(), create_, &created_); }
  grpc::Status List() { return stub_->ListAcls(NewContext().get(), list_, &listed_); }
  grpc::Status Delete() { return stub_->DeleteAcls(NewContext().get(), delete_, &deleted_); }
  grpc::Status Upsert() { return stub_->UpsertUser(NewContext().get(), upsert_, &upserted_); }
  v1::Acl& AddAcl() {
    auto& acl = *create_.add_acls();
    acl.set_resource(v1::ACL_RESOURCE_TOPIC);
    acl.set_name("orders");
    acl.set_principal("User:alice");
    acl.set_operation(v1::ACL_OPERATION_READ);
    return acl;
  }
  static Acl Rule(const std::string& name, AclOperation operation = AclOperation::kRead) {
    return {.name = name, .principal = "User:alice", .host = "*", .operation = operation};
  }
  void Keep(const std::vector<Acl>& acls) {
    broker_.Change([&](MetadataImage& image, MetadataDelta&) {
      for (const Acl& acl : acls) image.acls.Set(acl, {});
    });
  }
  void KeepUser(const std::string& name, ScramMechanism mechanism) {
    broker_.Change([&](MetadataImage& image, MetadataDelta&) {
      image.users.Set({name, mechanism}, std::make_shared<const ScramCredential>(
                                             ScramCredential{"salt", "stored", "server", 4096}));
    });
  }

  std::unique_ptr<v1::SecurityService::Stub> stub_;
  v1::CreateAclsRequest create_;
  v1::CreateAclsResponse created_;
  v1::ListAclsRequest list_;
  v1::ListAclsResponse listed_;
  v1::DeleteAclsRequest delete_;
  v1::DeleteAclsResponse deleted_;
  v1::UpsertUserRequest upsert_;
  v1::UpsertUserResponse upserted_;
};

TEST_F(SecurityServiceTest, RulesComeToTheControllerWithTheirDefaults) {
  AddAcl();
  auto& second = AddAcl();
  second.set_pattern(v1::ACL_PATTERN_PREFIXED);
  second.set_permission(v1::ACL_PERMISSION_DENY);
  second.set_host("0:0::1");
  ASSERT_TRUE(Create().ok());
  ASSERT_EQ(broker_.acl_creates.size(), 1u);
  const auto& acls = broker_.acl_creates[0].acls;
  ASSERT_EQ(acls.size(), 2u);
  EXPECT_EQ(acls[0], Rule("orders"));
  EXPECT_EQ(acls[1].pattern, AclPattern::kPrefixed);
  EXPECT_EQ(acls[1].permission, AclPermission::kDeny);
  EXPECT_EQ(acls[1].host, "::1");
  broker_.error = Error(Reason::kPolicyViolation, "too many");
  EXPECT_EQ(ReasonOf(Create()), Reason::kPolicyViolation);
}

TEST_F(SecurityServiceTest, RulesThatContradictTheApiAreRefusedAtTheDoor) {
  const auto refused = [&](auto change) {
    create_.Clear();
    change(AddAcl());
    const grpc::Status status = Create();
    EXPECT_EQ(ReasonOf(status), Reason::kInvalidArgument);
    return status.error_message();
  };
  EXPECT_THAT(refused([](v1::Acl& acl) { acl.clear_resource(); }),
              HasSubstr("resource is missing"));
  EXPECT_THAT(refused([](v1::Acl& acl) { acl.clear_operation(); }),
              HasSubstr("operation is missing"));
  EXPECT_THAT(refused([](v1::Acl& acl) { acl.set_operation(v1::AclOperation(99)); }),
              HasSubstr("operation 99 is not known"));
  EXPECT_THAT(refused([](v1::Acl& acl) { acl.set_pattern(v1::ACL_PATTERN_MATCH); }),
              HasSubstr("for filters"));
  EXPECT_THAT(refused([](v1::Acl& acl) { acl.set_permission(v1::AclPermission(9)); }),
              HasSubstr("permission 9"));
  EXPECT_THAT(refused([](v1::Acl& acl) { acl.set_host("nowhere"); }), HasSubstr("no IP address"));
  EXPECT_THAT(refused([](v1::Acl& acl) { acl.set_principal("alice"); }), HasSubstr("User:alice"));
  EXPECT_TRUE(broker_.acl_creates.empty());
}

TEST_F(SecurityServiceTest, RulesAreListedInPagesThatOneFilterGoesThrough) {
  std::vector<Acl> acls;
  for (int i = 0; i < 25; ++i) acls.push_back(Rule("t" + std::to_string(100 + i)));
  acls.push_back(Rule("t100", AclOperation::kWrite));
  Keep(acls);
  list_.mutable_filter()->set_operation(v1::ACL_OPERATION_READ);
  list_.mutable_page()->set_page_size(10);
  std::vector<std::string> names;
  int pages = 0;
  do {
    ASSERT_TRUE(List().ok());
    EXPECT_LE(listed_.acls_size(), 10);
    for (const auto& acl : listed_.acls()) names.push_back(acl.name());
    list_.mutable_page()->set_page_token(listed_.next_page_token());
    ++pages;
  } while (!listed_.next_page_token().empty());
  EXPECT_EQ(pages, 3);
  ASSERT_EQ(names.size(), 25u);
  EXPECT_TRUE(std::is_sorted(names.begin(), names.end()));
  EXPECT_EQ(std::set<std::string>(names.begin(), names.end()).size(), 25u);
  const auto& acl = listed_.acls(0);
  EXPECT_EQ(acl.resource(), v1::ACL_RESOURCE_TOPIC);
  EXPECT_EQ(acl.pattern(), v1::ACL_PATTERN_LITERAL);
  EXPECT_EQ(acl.permission(), v1::ACL_PERMISSION_ALLOW);
  EXPECT_EQ(acl.host(), "*");
  // A token is of its filter.
  list_.mutable_page()->clear_page_token();
  ASSERT_TRUE(List().ok());
  list_.mutable_page()->set_page_token(listed_.next_page_token());
  list_.mutable_filter()->set_name("t104");
  EXPECT_EQ(ReasonOf(List()), Reason::kInvalidArgument);
  list_.clear_page();
  list_.mutable_filter()->set_pattern(v1::ACL_PATTERN_MATCH);
  ASSERT_TRUE(List().ok());
  EXPECT_EQ(listed_.acls_size(), 1);
  list_.mutable_filter()->set_resource(v1::AclResource(77));
  EXPECT_EQ(ReasonOf(List()), Reason::kInvalidArgument);
}

TEST_F(SecurityServiceTest, APageOfLongRulesIsCut) {
  std::vector<Acl> acls;
  for (int i = 0; i < 3000; ++i) acls.push_back(Rule(std::to_string(i) + std::string(500, 'x')));
  Keep(acls);
  list_.mutable_page()->set_page_size(5000);
  ASSERT_TRUE(List().ok());
  EXPECT_LT(listed_.acls_size(), 3000);
  EXPECT_LT(listed_.ByteSizeLong(), 2u << 20);
  list_.mutable_page()->set_page_token(listed_.next_page_token());
  const int first = listed_.acls_size();
  ASSERT_TRUE(List().ok());
  EXPECT_EQ(first + listed_.acls_size(), 3000);
}

TEST_F(SecurityServiceTest, DeletionsAnswerWithWhatWent) {
  auto& filter = *delete_.add_filters();
  filter.set_resource(v1::ACL_RESOURCE_TOPIC);
  filter.set_pattern(v1::ACL_PATTERN_MATCH);
  filter.set_name("orders");
  filter.set_host("0::1");
  delete_.add_filters()->set_permission(v1::ACL_PERMISSION_DENY);
  delete_.set_validate_only(true);
  broker_.acls_deleted = {Rule("orders")};
  ASSERT_TRUE(Delete().ok());
  ASSERT_EQ(broker_.acl_deletes.size(), 1u);
  const DeleteAcls& operation = broker_.acl_deletes[0];
  EXPECT_TRUE(operation.validate_only);
  ASSERT_EQ(operation.filters.size(), 2u);
  EXPECT_TRUE(operation.filters[0].covers);
  EXPECT_FALSE(operation.filters[0].pattern.has_value());
  EXPECT_EQ(operation.filters[0].host, "::1");
  EXPECT_FALSE(operation.filters[1].name.has_value());
  EXPECT_EQ(operation.filters[1].permission, AclPermission::kDeny);
  ASSERT_EQ(deleted_.deleted_size(), 1);
  EXPECT_EQ(deleted_.deleted(0).name(), "orders");
  delete_.mutable_filters(0)->set_operation(v1::AclOperation(99));
  EXPECT_EQ(ReasonOf(Delete()), Reason::kInvalidArgument);
  EXPECT_EQ(broker_.acl_deletes.size(), 1u);
}

TEST_F(SecurityServiceTest, APasswordBecomesKeysAtTheDoor) {
  upsert_.set_user("alice");
  upsert_.set_password("pencil");
  ASSERT_TRUE(Upsert().ok());
  ASSERT_EQ(broker_.upserts.size(), 1u);
  const UpsertUser made = broker_.upserts[0];
  EXPECT_EQ(made.key, (UserKey{"alice", ScramMechanism::kSha512}));
  EXPECT_EQ(made.credential.iterations, 8192);
  EXPECT_GE(made.credential.salt.size(), 8u);
  const auto keys = KeysOfSaltedPassword(
      ScramHash::kSha512, SaltPassword(ScramHash::kSha512, "pencil", made.credential.salt, 8192));
  EXPECT_EQ(made.credential.stored_key, keys.stored_key);
  EXPECT_EQ(made.credential.server_key, keys.server_key);
  // Every time with another salt.
  ASSERT_TRUE(Upsert().ok());
  EXPECT_NE(broker_.upserts[1].credential.salt, made.credential.salt);
  upsert_.set_password("caf\xc3\xa9");
  EXPECT_EQ(ReasonOf(Upsert()), Reason::kUnacceptableCredential);
  upsert_.set_password("pencil");
  upsert_.set_iterations(1'000'000);
  EXPECT_EQ(ReasonOf(Upsert()), Reason::kUnacceptableCredential);
  upsert_.set_iterations(0);
  upsert_.set_mechanism(v1::ScramMechanism(7));
  EXPECT_EQ(ReasonOf(Upsert()), Reason::kInvalidArgument);
  upsert_.clear_mechanism();
  upsert_.clear_secret();
  EXPECT_EQ(ReasonOf(Upsert()), Reason::kInvalidArgument);
  EXPECT_EQ(broker_.upserts.size(), 2u);
}

TEST_F(SecurityServiceTest, WhatWasDerivedAlreadyIsTaken) {
  upsert_.set_user("alice");
  upsert_.set_mechanism(v1::SCRAM_MECHANISM_SHA_256);
  upsert_.set_iterations(4096);
  const std::string salted = SaltPassword(ScramHash::kSha256, "pencil", "saltsalt", 4096);
  upsert_.mutable_salted_password()->set_salt("saltsalt");
  upsert_.mutable_salted_password()->set_value(salted);
  ASSERT_TRUE(Upsert().ok());
  const auto keys = KeysOfSaltedPassword(ScramHash::kSha256, salted);
  EXPECT_EQ(broker_.upserts[0].credential,
            (ScramCredential{"saltsalt", keys.stored_key, keys.server_key, 4096}));
  upsert_.mutable_keys()->set_salt("saltsalt");
  upsert_.mutable_keys()->set_stored_key(keys.stored_key);
  upsert_.mutable_keys()->set_server_key(keys.server_key);
  ASSERT_TRUE(Upsert().ok());
  EXPECT_EQ(broker_.upserts[1].credential, broker_.upserts[0].credential);
  upsert_.mutable_salted_password()->set_value("short");
  EXPECT_EQ(ReasonOf(Upsert()), Reason::kUnacceptableCredential);
}

TEST_F(SecurityServiceTest, PeersOfThisMachineAreKnown) {
  for (const char* local : {"ipv4:127.0.0.1:4711", "ipv4:127.1.2.3:1", "ipv6:[::1]:4711",
                            "ipv6:%5B::1%5D:4711", "ipv6:%5B::ffff:127.0.0.1%5D:1", "unix:/x"})
    EXPECT_TRUE(IsLocalPeer(local)) << local;
  for (const char* other : {"ipv4:10.0.0.1:4711", "ipv4:12.7.0.1:1", "ipv6:[::11]:1",
                            "ipv6:%5Bfe80::1%5D:4711", "ipv6:[::ffff:10.0.0.1]:1", ""})
    EXPECT_FALSE(IsLocalPeer(other)) << other;
}

TEST_F(SecurityServiceTest, UsersAreListedWithoutSecrets) {
  for (const char* name : {"alice", "bob", "carol"}) KeepUser(name, ScramMechanism::kSha512);
  KeepUser("bob", ScramMechanism::kSha256);
  v1::ListUsersRequest request;
  v1::ListUsersResponse response;
  request.mutable_page()->set_page_size(2);
  ASSERT_TRUE(stub_->ListUsers(NewContext().get(), request, &response).ok());
  ASSERT_EQ(response.users_size(), 2);
  EXPECT_EQ(response.users(1).user(), "bob");
  ASSERT_EQ(response.users(1).credentials_size(), 2);
  EXPECT_EQ(response.users(1).credentials(0).mechanism(), v1::SCRAM_MECHANISM_SHA_256);
  EXPECT_EQ(response.users(1).credentials(0).iterations(), 4096);
  request.mutable_page()->set_page_token(response.next_page_token());
  ASSERT_TRUE(stub_->ListUsers(NewContext().get(), request, &response).ok());
  ASSERT_EQ(response.users_size(), 1);
  EXPECT_EQ(response.users(0).user(), "carol");
  EXPECT_EQ(response.next_page_token(), "");
}

TEST_F(SecurityServiceTest, AUserIsDeletedWithOneOrAllCredentials) {
  v1::DeleteUserRequest request;
  v1::DeleteUserResponse response;
  request.set_user("alice");
  ASSERT_TRUE(stub_->DeleteUser(NewContext().get(), request, &response).ok());
  EXPECT_FALSE(broker_.user_deletes[0].mechanism.has_value());
  request.set_mechanism(v1::SCRAM_MECHANISM_SHA_256);
  ASSERT_TRUE(stub_->DeleteUser(NewContext().get(), request, &response).ok());
  EXPECT_EQ(broker_.user_deletes[1].mechanism, ScramMechanism::kSha256);
  request.set_mechanism(v1::ScramMechanism(9));
  EXPECT_EQ(ReasonOf(stub_->DeleteUser(NewContext().get(), request, &response)),
            Reason::kInvalidArgument);
  broker_.error = Error(Reason::kUserNotFound, "no user");
  request.clear_mechanism();
  EXPECT_EQ(ReasonOf(stub_->DeleteUser(NewContext().get(), request, &response)),
            Reason::kUserNotFound);
  WaitForMetric(
      "gregor_grpc_calls_total{code=\"NOT_FOUND\","
      "method=\"gregor.v1.SecurityService/DeleteUser\"} 1");
}

}  // namespace
}  // namespace gregor
