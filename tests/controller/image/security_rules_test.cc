#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "controller/image/acl_rules.h"
#include "controller/image/quota_rules.h"

namespace gregor {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Acl Rule(const std::string& name, AclPattern pattern = AclPattern::kLiteral) {
  return {.resource = AclResource::kTopic,
          .pattern = pattern,
          .name = name,
          .principal = "User:alice",
          .host = "*",
          .operation = AclOperation::kRead};
}

void ExpectRefused(const Acl& acl, const std::string& part) {
  const auto refused = CheckAcl(acl);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().reason, Reason::kInvalidArgument);
  EXPECT_THAT(refused.error().message, HasSubstr(part));
}

TEST(AclRules, ARuleHasAPrincipalAndAName) {
  EXPECT_TRUE(CheckAcl(Rule("orders")).ok());
  Acl acl = Rule("");
  ExpectRefused(acl, "name is empty");
  acl.name = std::string(513, 'x');
  ExpectRefused(acl, "at most 512 bytes");
  acl.name = "a\nb";
  ExpectRefused(acl, "control characters");
  acl.name = "\xff";
  ExpectRefused(acl, "UTF-8");
  acl.name = "\xc2\x85";
  ExpectRefused(acl, "control characters");
  acl = Rule("caf\xc3\xa9");
  for (const std::string principal : {"alice", "", ":", "User:", ":alice"}) {
    acl.principal = principal;
    ExpectRefused(acl, "such as User:alice");
  }
  acl.principal = "User:CN=alice,O=Example: it";
  EXPECT_TRUE(CheckAcl(acl).ok());
}

TEST(AclRules, AHostIsAnAddressWrittenInOneWay) {
  Acl acl = Rule("orders");
  const auto host = [&](const std::string& text) {
    acl.host = text;
    const auto checked = CheckAcl(acl);
    return checked.ok() ? checked->host : "refused: " + checked.error().message;
  };
  EXPECT_EQ(host(""), "*");
  EXPECT_EQ(host("*"), "*");
  EXPECT_EQ(host("10.0.0.7"), "10.0.0.7");
  EXPECT_EQ(host("2001:DB8:0:0::1"), "2001:db8::1");
  for (const std::string none : {"example.org", "10.0.0", "10.0.0.0/8", "::1%eth0", "1.2.3.4 "})
    EXPECT_THAT(host(none), HasSubstr("no IP address")) << none;
  EXPECT_THAT(host(std::string("1.2.3.4\0x", 9)), HasSubstr("refused"));
}

TEST(AclRules, EveryKindOfResourceHasItsOperations) {
  const auto count = [](AclResource resource) {
    int operations = 0;
    for (int i = 1; i <= 11; ++i) operations += HasOperation(resource, AclOperation(i));
    return operations;
  };
  EXPECT_EQ(count(AclResource::kTopic), 9);
  EXPECT_EQ(count(AclResource::kGroup), 6);
  EXPECT_EQ(count(AclResource::kCluster), 8);
  EXPECT_EQ(count(AclResource::kTransactionalId), 3);
  EXPECT_EQ(count(AclResource::kUser), 3);
  Acl acl = Rule("orders");
  acl.operation = AclOperation::kClusterAction;
  ExpectRefused(acl, "that a topic does not have");
  acl.resource = AclResource::kCluster;
  ExpectRefused(acl, "\"kafka-cluster\", not \"orders\"");
  acl.name = "kafka-cluster";
  EXPECT_TRUE(CheckAcl(acl).ok());
}

// The names of rules that a filter matches, in order.
std::vector<std::string> Matched(const AclTable& acls, const AclFilter& filter,
                                 const Acl& from = Acl{.operation = AclOperation{0}}) {
  std::vector<std::string> names;
  VisitMatches(acls, *CheckAclFilter(filter), from, [&](const Acl& acl) {
    names.push_back(acl.name);
    return true;
  });
  return names;
}

TEST(AclRules, FiltersMatchAsThoseOfKafka) {
  AclTable acls;
  for (const std::string name : {"*", "order", "orders", "zebra"}) acls.Set(Rule(name), {});
  for (const std::string name : {"o", "order", "x"})
    acls.Set(Rule(name, AclPattern::kPrefixed), {});
  Acl other = Rule("orders");
  other.resource = AclResource::kGroup;
  other.principal = "User:bob";
  other.host = "::1";
  other.permission = AclPermission::kDeny;
  acls.Set(other, {});

  EXPECT_EQ(Matched(acls, {}).size(), 8u);
  EXPECT_THAT(Matched(acls, {.name = "orders"}), ElementsAre("orders", "orders"));
  EXPECT_THAT(Matched(acls, {.resource = AclResource::kTopic, .name = "order"}),
              ElementsAre("order", "order"));
  EXPECT_THAT(
      Matched(acls,
              {.resource = AclResource::kTopic, .pattern = AclPattern::kPrefixed, .name = "order"}),
      ElementsAre("order"));
  EXPECT_THAT(Matched(acls, {.pattern = AclPattern::kPrefixed}), ElementsAre("o", "order", "x"));
  // Everything that says something of the topic.
  EXPECT_THAT(Matched(acls, {.resource = AclResource::kTopic, .covers = true, .name = "orders"}),
              ElementsAre("*", "orders", "o", "order"));
  EXPECT_THAT(Matched(acls, {.principal = "User:bob"}), ElementsAre("orders"));
  EXPECT_THAT(Matched(acls, {.host = "0:0::1"}), ElementsAre("orders"));
  EXPECT_THAT(Matched(acls, {.permission = AclPermission::kDeny}), ElementsAre("orders"));
  EXPECT_THAT(Matched(acls, {.operation = AclOperation::kWrite}), ElementsAre());
  // Behind a place.
  EXPECT_THAT(Matched(acls, {}, Rule("p")), ElementsAre("zebra", "o", "order", "x", "orders"));
  EXPECT_THAT(
      Matched(acls,
              {.resource = AclResource::kTopic, .pattern = AclPattern::kLiteral, .name = "orders"},
              Rule("p")),
      ElementsAre());
}

TEST(QuotaRules, EntitiesAreUsersClientsOrAddresses) {
  const auto allowed = [](QuotaEntity entity) { return CheckQuotaEntity(std::move(entity)).ok(); };
  EXPECT_TRUE(allowed({.user = "alice"}));
  EXPECT_TRUE(allowed({.user = ""}));
  EXPECT_TRUE(allowed({.client_id = "etl"}));
  EXPECT_TRUE(allowed({.user = "alice", .client_id = ""}));
  EXPECT_TRUE(allowed({.ip = ""}));
  EXPECT_FALSE(allowed({}));
  EXPECT_FALSE(allowed({.user = "alice", .ip = "::1"}));
  EXPECT_FALSE(allowed({.client_id = "etl", .ip = "::1"}));
  EXPECT_FALSE(allowed({.ip = "example.org"}));
  EXPECT_FALSE(allowed({.user = "a\tb"}));
  EXPECT_FALSE(allowed({.user = std::string(513, 'x')}));
  EXPECT_EQ(*CheckQuotaEntity({.ip = "0:0::1"})->ip, "::1");
}

TEST(QuotaRules, ValuesAreThoseOfKafka) {
  const QuotaEntity user{.user = "alice"};
  const QuotaEntity address{.ip = "::1"};
  const auto message = [](const QuotaEntity& entity, const char* name, double value) {
    const auto checked = CheckQuota(entity, name, value);
    return checked.ok() ? "" : checked.error().message;
  };
  EXPECT_EQ(message(user, "producer_byte_rate", 1e6), "");
  EXPECT_EQ(message(user, "consumer_byte_rate", 1), "");
  EXPECT_EQ(message(user, "request_percentage", 0.5), "");
  EXPECT_EQ(message(user, "controller_mutation_rate", 2.5), "");
  EXPECT_EQ(message(address, "connection_creation_rate", 10), "");
  EXPECT_THAT(message(user, "connection_creation_rate", 10), HasSubstr("for user alice"));
  EXPECT_THAT(message(address, "producer_byte_rate", 10), HasSubstr("connection_creation_rate"));
  EXPECT_THAT(message(user, "nonsense", 10), HasSubstr("there is no quota \"nonsense\""));
  EXPECT_THAT(message(user, "producer_byte_rate", 0.5), HasSubstr("whole number"));
  EXPECT_THAT(message(address, "connection_creation_rate", 3e9), HasSubstr("too large"));
  for (const double bad : {0.0, -1.0, std::nan("")})
    EXPECT_THAT(message(user, "request_percentage", bad), HasSubstr("above 0"));
  EXPECT_THAT(message(user, "request_percentage", std::numeric_limits<double>::infinity()),
              HasSubstr("too large"));
}

}  // namespace
}  // namespace gregor
