// `gregor acl`, `gregor user` and `gregor quota`, and a server that keeps what it is asked.
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/scram.h"
#include "gregor/v1/config.grpc.pb.h"
#include "gregor/v1/security.grpc.pb.h"
#include "tests/client/fake_server.h"
#include "tests/client/run_command.h"

namespace gregor {
namespace {

using Json = nlohmann::ordered_json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

// Each call's request, and what it is answered.
template <typename Request, typename Response>
struct Exchange {
  std::vector<Request> requests;
  Response response;
  grpc::Status Take(const Request* request, Response* out) {
    requests.push_back(*request);
    *out = response;
    return grpc::Status::OK;
  }
};

class FakeSecurity final : public v1::SecurityService::Service {
 public:
  using Context = grpc::ServerContext;
  grpc::Status CreateAcls(Context*, const v1::CreateAclsRequest* request,
                          v1::CreateAclsResponse* response) override {
    return creates.Take(request, response);
  }
  // A rule a page, as many as `acls` has.
  grpc::Status ListAcls(Context*, const v1::ListAclsRequest* request,
                        v1::ListAclsResponse* response) override {
    lists.push_back(*request);
    const size_t page = lists.size() - 1;
    if (page < acls.size()) *response->add_acls() = acls[page];
    if (page + 1 < acls.size()) response->set_next_page_token(std::to_string(page));
    return grpc::Status::OK;
  }
  grpc::Status DeleteAcls(Context*, const v1::DeleteAclsRequest* request,
                          v1::DeleteAclsResponse* response) override {
    return deletes.Take(request, response);
  }
  grpc::Status UpsertUser(Context*, const v1::UpsertUserRequest* request,
                          v1::UpsertUserResponse* response) override {
    return upserts.Take(request, response);
  }
  grpc::Status ListUsers(Context*, const v1::ListUsersRequest* request,
                         v1::ListUsersResponse* response) override {
    return users.Take(request, response);
  }
  grpc::Status DeleteUser(Context*, const v1::DeleteUserRequest* request,
                          v1::DeleteUserResponse* response) override {
    return user_deletes.Take(request, response);
  }

  Exchange<v1::CreateAclsRequest, v1::CreateAclsResponse> creates;
  std::vector<v1::ListAclsRequest> lists;
  std::vector<v1::Acl> acls;
  Exchange<v1::DeleteAclsRequest, v1::DeleteAclsResponse> deletes;
  Exchange<v1::UpsertUserRequest, v1::UpsertUserResponse> upserts;
  Exchange<v1::ListUsersRequest, v1::ListUsersResponse> users;
  Exchange<v1::DeleteUserRequest, v1::DeleteUserResponse> user_deletes;
};

class FakeQuotas final : public v1::ConfigService::Service {
 public:
  grpc::Status DescribeQuotas(grpc::ServerContext*, const v1::DescribeQuotasRequest* request,
                              v1::DescribeQuotasResponse* response) override {
    return describes.Take(request, response);
  }
  grpc::Status AlterQuotas(grpc::ServerContext*, const v1::AlterQuotasRequest* request,
                           v1::AlterQuotasResponse* response) override {
    return alters.Take(request, response);
  }

  Exchange<v1::DescribeQuotasRequest, v1::DescribeQuotasResponse> describes;
  Exchange<v1::AlterQuotasRequest, v1::AlterQuotasResponse> alters;
};

class SecurityCommandsTest : public testing::Test {
 protected:
  SecurityCommandsTest() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(&security_);
    builder.RegisterService(&quotas_);
    server_ = builder.BuildAndStart();
  }
  ~SecurityCommandsTest() override {
    server_->Shutdown();
    std::remove(path_.c_str());
  }

  Ran Run(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"--server", "127.0.0.1:" + std::to_string(port_)});
    return RunCommand(std::move(arguments));
  }
  Json RunJson(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"--output", "json"});
    const Ran ran = Run(std::move(arguments));
    EXPECT_EQ(ran.code, 0) << ran.err;
    return Json::parse(ran.out);
  }
  // What a command line that makes no sense is told.
  std::string Refusal(std::vector<std::string> arguments) {
    const Ran ran = Run(std::move(arguments));
    EXPECT_EQ(ran.code, kExitUsage) << ran.out;
    return ran.err;
  }
  std::string File(const std::string& content) {
    std::ofstream(path_, std::ios::binary) << content;
    return path_;
  }

  FakeSecurity security_;
  FakeQuotas quotas_;
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
  const std::string path_ =
      testing::TempDir() + "/security_commands_test_" + std::to_string(getpid());
};

v1::Acl Reading(const std::string& topic) {
  v1::Acl acl;
  acl.set_resource(v1::ACL_RESOURCE_TOPIC);
  acl.set_name(topic);
  acl.set_pattern(v1::ACL_PATTERN_LITERAL);
  acl.set_principal("User:alice");
  acl.set_host("*");
  acl.set_operation(v1::ACL_OPERATION_DESCRIBE_CONFIGS);
  acl.set_permission(v1::ACL_PERMISSION_ALLOW);
  return acl;
}

TEST_F(SecurityCommandsTest, RulesAreAllCombinationsOfWhatIsGiven) {
  const Ran ran = Run({"acl", "create", "--allow", "User:alice", "--deny", "User:bob",
                       "--operation", "describe,alter-configs", "--topic", "or", "--cluster",
                       "--prefixed", "--host", "10.0.0.7", "--host", "::1"});
  ASSERT_EQ(ran.code, 0) << ran.err;
  EXPECT_THAT(ran.err, HasSubstr("not enforced in this version"));
  EXPECT_THAT(ran.out, Not(HasSubstr("not enforced")));
  ASSERT_EQ(security_.creates.requests.size(), 1u);
  const auto& acls = security_.creates.requests[0].acls();
  ASSERT_EQ(acls.size(), 16);
  EXPECT_EQ(std::count(ran.out.begin(), ran.out.end(), '\n'), 17);
  for (const v1::Acl& acl : acls) {
    const bool of_topic = acl.resource() == v1::ACL_RESOURCE_TOPIC;
    EXPECT_EQ(acl.name(), of_topic ? "or" : "kafka-cluster");
    EXPECT_EQ(acl.pattern(), of_topic ? v1::ACL_PATTERN_PREFIXED : v1::ACL_PATTERN_LITERAL);
    EXPECT_EQ(acl.permission(),
              acl.principal() == "User:bob" ? v1::ACL_PERMISSION_DENY : v1::ACL_PERMISSION_ALLOW);
  }
  EXPECT_EQ(acls[0].operation(), v1::ACL_OPERATION_DESCRIBE);
  EXPECT_EQ(acls[15].operation(), v1::ACL_OPERATION_ALTER_CONFIGS);
  EXPECT_EQ(acls[15].host(), "::1");
}

TEST_F(SecurityCommandsTest, ARuleNeedsAPrincipalAnOperationAndAResource) {
  EXPECT_THAT(Refusal({"acl", "create", "--operation", "read", "--topic", "orders"}),
              HasSubstr("say for whom"));
  EXPECT_THAT(Refusal({"acl", "create", "--operation", "read", "--allow", "User:alice"}),
              HasSubstr("say for what"));
  EXPECT_THAT(Refusal({"acl", "create", "--topic", "orders", "--allow", "User:alice"}),
              HasSubstr("--operation"));
  EXPECT_THAT(Refusal({"acl", "create", "--operation", "fly", "--topic", "orders", "--allow",
                       "User:alice"}),
              HasSubstr("fly"));
  EXPECT_THAT(security_.creates.requests, IsEmpty());
}

TEST_F(SecurityCommandsTest, RulesOfAllPagesAreListed) {
  security_.acls = {Reading("orders"), Reading("stock"), Reading("zebra")};
  const Json listed =
      RunJson({"acl", "list", "--topic", "orders", "--pattern", "match", "--principal",
               "User:alice", "--operation", "read", "--permission", "deny", "--host", "*"});
  ASSERT_EQ(listed.size(), 3u);
  EXPECT_EQ(listed[1], Json::parse(R"({"principal":"User:alice","permission":"allow",
      "operation":"describe-configs","resource":"topic","name":"stock","pattern":"literal",
      "host":"*"})"));
  ASSERT_EQ(security_.lists.size(), 3u);
  EXPECT_EQ(security_.lists[2].page().page_token(), "1");
  const v1::AclFilter& filter = security_.lists[2].filter();
  EXPECT_EQ(filter.resource(), v1::ACL_RESOURCE_TOPIC);
  EXPECT_EQ(filter.name(), "orders");
  EXPECT_EQ(filter.pattern(), v1::ACL_PATTERN_MATCH);
  EXPECT_EQ(filter.principal(), "User:alice");
  EXPECT_EQ(filter.operation(), v1::ACL_OPERATION_READ);
  EXPECT_EQ(filter.permission(), v1::ACL_PERMISSION_DENY);
  EXPECT_EQ(filter.host(), "*");
  EXPECT_THAT(Refusal({"acl", "list", "--topic", "a", "--group", "b"}), HasSubstr("give one of"));
}

TEST_F(SecurityCommandsTest, RulesAreDeletedOnlyWhereItIsSaidWhich) {
  EXPECT_THAT(Refusal({"acl", "delete"}), HasSubstr("--all"));
  EXPECT_THAT(Refusal({"acl", "delete", "--all", "--topic", "orders"}), HasSubstr("--all"));
  EXPECT_THAT(security_.deletes.requests, IsEmpty());
  *security_.deletes.response.add_deleted() = Reading("orders");
  const Ran shown = Run({"acl", "delete", "--all", "--validate-only"});
  EXPECT_THAT(shown.out, HasSubstr("1 would go"));
  EXPECT_TRUE(security_.deletes.requests[0].validate_only());
  EXPECT_EQ(security_.deletes.requests[0].filters(0).ByteSizeLong(), 0u);
  const Ran gone = Run({"acl", "delete", "--group", "billing"});
  EXPECT_THAT(gone.out, HasSubstr("1 deleted"));
  EXPECT_FALSE(security_.deletes.requests[1].validate_only());
  EXPECT_EQ(security_.deletes.requests[1].filters(0).name(), "billing");
  EXPECT_EQ(RunJson({"acl", "delete", "--all"}).size(), 1u);
}

TEST_F(SecurityCommandsTest, APasswordIsSentAsKeys) {
  const Ran ran = Run({"user", "set", "alice", "--password-file", File("correct horse\r\nmore"),
                       "--mechanism", "scram-sha-256", "--iterations", "5000"});
  ASSERT_EQ(ran.code, 0) << ran.err;
  EXPECT_THAT(ran.err, HasSubstr("nobody has to log in"));
  ASSERT_EQ(security_.upserts.requests.size(), 1u);
  const v1::UpsertUserRequest request = security_.upserts.requests[0];
  EXPECT_EQ(request.user(), "alice");
  EXPECT_EQ(request.mechanism(), v1::SCRAM_MECHANISM_SHA_256);
  EXPECT_EQ(request.iterations(), 5000);
  const auto keys = KeysOfSaltedPassword(
      ScramHash::kSha256,
      SaltPassword(ScramHash::kSha256, "correct horse", request.keys().salt(), 5000));
  EXPECT_EQ(request.keys().stored_key(), keys.stored_key);
  EXPECT_EQ(request.keys().server_key(), keys.server_key);
  EXPECT_THAT(request.SerializeAsString(), Not(HasSubstr("correct horse")));
  // Another salt each time, and the stronger mechanism where none is named.
  ASSERT_EQ(Run({"user", "set", "alice", "--password-file", path_}).code, 0);
  EXPECT_EQ(security_.upserts.requests[1].mechanism(), v1::SCRAM_MECHANISM_SHA_512);
  EXPECT_NE(security_.upserts.requests[1].keys().salt(), request.keys().salt());
}

TEST_F(SecurityCommandsTest, APasswordThatIsNoneIsNotSent) {
  for (const std::string text : {"", "\n", "caf\xc3\xa9\n", "tab\t\n"}) {
    const Ran ran = Run({"user", "set", "alice", "--password-file", File(text)});
    EXPECT_NE(ran.code, 0) << text;
    EXPECT_THAT(ran.err, HasSubstr("password"));
  }
  EXPECT_THAT(Refusal({"user", "set", "alice", "--password-file", path_ + ".none"}),
              HasSubstr("cannot be read"));
  EXPECT_THAT(Refusal({"user", "set", "alice", "--iterations", "4095"}), HasSubstr("4096"));
  EXPECT_THAT(Refusal({"user", "set", "alice", "--mechanism", "plain"}), HasSubstr("plain"));
  EXPECT_THAT(Refusal({"user", "set"}), HasSubstr("USER"));
  EXPECT_THAT(security_.upserts.requests, IsEmpty());
}

TEST_F(SecurityCommandsTest, UsersAreListedAndDeletedByCredential) {
  auto& user = *security_.users.response.add_users();
  user.set_user("alice");
  for (const auto mechanism : {v1::SCRAM_MECHANISM_SHA_256, v1::SCRAM_MECHANISM_SHA_512}) {
    auto& credential = *user.add_credentials();
    credential.set_mechanism(mechanism);
    credential.set_iterations(4096);
  }
  const Ran listed = Run({"user", "list"});
  EXPECT_EQ(listed.out,
            "USER   MECHANISM      ITERATIONS\n"
            "alice  scram-sha-256  4096\n"
            "alice  scram-sha-512  4096\n");
  EXPECT_EQ(Run({"user", "delete", "alice"}).out, "deleted user alice\n");
  EXPECT_EQ(RunJson({"user", "delete", "alice", "--mechanism", "scram-sha-512"}),
            Json::parse(R"({"user":"alice","result":"deleted"})"));
  EXPECT_EQ(security_.user_deletes.requests[0].mechanism(), v1::SCRAM_MECHANISM_UNSPECIFIED);
  EXPECT_EQ(security_.user_deletes.requests[1].mechanism(), v1::SCRAM_MECHANISM_SHA_512);
}

TEST_F(SecurityCommandsTest, QuotasAreSetForAnEntity) {
  quotas_.alters.response.add_results();
  const Ran ran = Run({"quota", "set", "--default-user", "--client-id", "etl",
                       "producer_byte_rate=1048576", "request_percentage=12.5"});
  ASSERT_EQ(ran.code, 0) << ran.err;
  EXPECT_EQ(ran.out, "set\n");
  EXPECT_THAT(ran.err, HasSubstr("not enforced in this version"));
  const auto& alteration = quotas_.alters.requests[0].alterations(0);
  EXPECT_TRUE(alteration.entity().has_user());
  EXPECT_EQ(alteration.entity().user(), "");
  EXPECT_EQ(alteration.entity().client_id(), "etl");
  EXPECT_FALSE(alteration.entity().has_ip());
  EXPECT_EQ(alteration.set().at("producer_byte_rate"), 1048576);
  EXPECT_EQ(alteration.set().at("request_percentage"), 12.5);
  EXPECT_EQ(
      Run({"quota", "set", "--ip", "::1", "connection_creation_rate=1", "--validate-only"}).out,
      "valid\n");
  EXPECT_TRUE(quotas_.alters.requests[1].validate_only());
}

TEST_F(SecurityCommandsTest, QuotasThatMakeNoSenseAreNotSent) {
  EXPECT_THAT(Refusal({"quota", "set", "a=1"}), HasSubstr("say for whom"));
  EXPECT_THAT(Refusal({"quota", "set", "--user", "alice", "--default-user", "a=1"}),
              HasSubstr("not both"));
  EXPECT_THAT(Refusal({"quota", "set", "--user", "alice"}), HasSubstr("QUOTA=VALUE"));
  for (const std::string bad : {"a", "a=", "a=1x", "a=nan", "a=inf", "=1"})
    EXPECT_THAT(Refusal({"quota", "set", "--user", "alice", bad}), HasSubstr("gregor:")) << bad;
  EXPECT_THAT(Refusal({"quota", "set", "--user", "alice", "a=1", "a=2"}), HasSubstr("twice"));
  EXPECT_THAT(quotas_.alters.requests, IsEmpty());
}

TEST_F(SecurityCommandsTest, AnAlterationThatIsRefusedFailsTheCommand) {
  *quotas_.alters.response.add_results() =
      MakeStatus(Reason::kPolicyViolation, "too many", v1::WriteOutcome::OUTCOME_NOT_APPLIED);
  const Ran ran = Run({"quota", "set", "--user", "alice", "producer_byte_rate=1"});
  EXPECT_EQ(ran.code, kExitFailed);
  EXPECT_EQ(ran.out, "");
  EXPECT_THAT(ran.err, HasSubstr("too many [POLICY_VIOLATION]"));
  EXPECT_THAT(ran.err, Not(HasSubstr("not enforced")));
}

TEST_F(SecurityCommandsTest, QuotasAreListedAndDeletedByNameOrAll) {
  EXPECT_EQ(Run({"quota", "delete", "--default-ip"}).code, kExitFailed);
  auto& quota = *quotas_.describes.response.add_quotas();
  quota.mutable_entity()->set_user("");
  (*quota.mutable_values())["producer_byte_rate"] = 1e15;
  (*quota.mutable_values())["consumer_byte_rate"] = 0.5;
  const Ran listed = Run({"quota", "list", "--default-user", "--strict"});
  EXPECT_THAT(listed.out, HasSubstr("<default>  -          -   consumer_byte_rate  0.5\n"));
  EXPECT_THAT(listed.out, HasSubstr("producer_byte_rate  1000000000000000\n"));
  EXPECT_TRUE(quotas_.describes.requests.back().strict());
  EXPECT_TRUE(quotas_.describes.requests.back().filter().has_user());
  quotas_.alters.response.add_results();
  EXPECT_EQ(Run({"quota", "delete", "--default-user", "producer_byte_rate"}).out, "deleted\n");
  EXPECT_THAT(quotas_.alters.requests[0].alterations(0).remove(),
              ElementsAre("producer_byte_rate"));
  EXPECT_EQ(Run({"quota", "delete", "--default-user"}).code, 0);
  EXPECT_THAT(quotas_.alters.requests[1].alterations(0).remove(),
              testing::UnorderedElementsAre("consumer_byte_rate", "producer_byte_rate"));
}

}  // namespace
}  // namespace gregor
