#include "controller/image/replay_security.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <set>

#include "controller/image/replay.h"
#include "controller/image/snapshot.h"
#include "tests/controller/image/replay_harness.h"

namespace gregor {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::Pair;

class ReplaySecurityTest : public ReplayHarness {};

TEST_F(ReplaySecurityTest, RulesComeAndGoByWhatTheySay) {
  const auto first = make_.Acl("orders", "User:alice"), second = make_.Acl("orders", "User:bob");
  const auto delta = Commit({first, second});
  EXPECT_TRUE(delta.acls_changed);
  EXPECT_FALSE(delta.users_changed || delta.quotas_changed || delta.brokers_changed);
  EXPECT_EQ(image_->acls.size(), 2u);
  EXPECT_THAT(Refusal(first), HasSubstr("there already"));
  const Acl acl = *ReadAcl(first.acl());
  Commit({make_.RemoveAcl(acl), first, make_.RemoveAcl(acl)});
  EXPECT_EQ(image_->acls.Find(acl), nullptr);
  EXPECT_EQ(image_->acls.size(), 1u);
  EXPECT_THAT(Refusal(make_.RemoveAcl(acl)), HasSubstr("no such rule"));
}

TEST_F(ReplaySecurityTest, ARuleThatThisVersionDoesNotKnowStopsIt) {
  auto record = make_.Acl("orders", "User:alice");
  record.mutable_acl()->set_operation(static_cast<pb::AclRecord::Operation>(99));
  EXPECT_THAT(Refusal(record), HasSubstr("does not know"));
  record = make_.Acl("orders", "User:alice");
  record.mutable_acl()->clear_resource();
  EXPECT_THAT(Refusal(record), HasSubstr("does not know"));
  for (const std::string& bad : {std::string(), std::string("a\0b", 3), std::string("a\n")}) {
    record = make_.Acl(bad, "User:alice");
    EXPECT_THAT(Refusal(record), HasSubstr("without a valid name"));
  }
}

TEST_F(ReplaySecurityTest, ACredentialReplacesTheOneBefore) {
  const UserKey key{"alice", ScramMechanism::kSha256};
  EXPECT_TRUE(Commit({make_.Credential("alice", ScramMechanism::kSha256),
                      make_.Credential("alice", ScramMechanism::kSha512)})
                  .users_changed);
  const ScramCredential before = **image_->users.Find(key);
  Commit({make_.Credential("alice", ScramMechanism::kSha256)});
  EXPECT_EQ(image_->users.size(), 2u);
  EXPECT_NE((*image_->users.Find(key))->stored_key, before.stored_key);
  Commit({make_.RemoveCredential(key)});
  EXPECT_EQ(image_->users.Find(key), nullptr);
  EXPECT_NE(image_->users.Find(UserKey{"alice", ScramMechanism::kSha512}), nullptr);
  EXPECT_THAT(Refusal(make_.RemoveCredential(key)), HasSubstr("no such credential"));
  auto record = make_.Credential("alice", ScramMechanism::kSha256);
  record.mutable_user_credential()->clear_stored_key();
  EXPECT_THAT(Refusal(record), HasSubstr("credential that is none"));
  record = make_.Credential("alice", ScramMechanism{7});
  EXPECT_THAT(Refusal(record), HasSubstr("does not know"));
  EXPECT_THAT(Refusal(make_.Credential("", ScramMechanism::kSha256)), HasSubstr("valid name"));
}

TEST_F(ReplaySecurityTest, QuotasAreSetAndRemovedByName) {
  const QuotaEntity alice{.user = "alice"};
  const QuotaEntity others{.user = "", .client_id = "etl"};
  EXPECT_TRUE(
      Commit({make_.Quota(alice, {{"consumer_byte_rate", 5}, {"producer_byte_rate", 7.5}}, {}),
              make_.Quota(others, {{"request_percentage", 50}}, {})})
          .quotas_changed);
  Commit({make_.Quota(alice, {{"producer_byte_rate", 8}}, {"consumer_byte_rate"})});
  EXPECT_THAT(**image_->quotas.Find(alice), ElementsAre(Pair("producer_byte_rate", 8)));
  EXPECT_THAT(**image_->quotas.Find(others), ElementsAre(Pair("request_percentage", 50)));
  Commit({make_.Quota(alice, {}, {"producer_byte_rate"})});
  EXPECT_EQ(image_->quotas.Find(alice), nullptr);
  EXPECT_THAT(Refusal(make_.Quota({}, {{"a", 1}}, {})), HasSubstr("quotas of nobody"));
  for (const double bad : {0.0, -1.0, std::numeric_limits<double>::infinity()})
    EXPECT_THAT(Refusal(make_.Quota(alice, {{"a", bad}}, {})), HasSubstr("valid name and value"));
  EXPECT_THAT(Refusal(make_.Quota(alice, {}, {"b", "a"})), HasSubstr("not in order"));
}

TEST_F(ReplaySecurityTest, ASnapshotHasAllOfIt) {
  Commit({make_.Acl("orders", "User:alice"), make_.Credential("bob", ScramMechanism::kSha512),
          make_.Quota({.ip = "::1"}, {{"connection_creation_rate", 10}}, {})});
  const auto again = DecodeSnapshot(EncodeSnapshot(*image_));
  ASSERT_TRUE(again.ok()) << again.error();
  EXPECT_NE((*again)->acls.Find(*ReadAcl(make_.Acl("orders", "User:alice").acl())), nullptr);
  const UserKey bob{"bob", ScramMechanism::kSha512};
  EXPECT_EQ(**(*again)->users.Find(bob), **image_->users.Find(bob));
  const QuotaEntity address{.ip = "::1"};
  EXPECT_EQ(**(*again)->quotas.Find(address), **image_->quotas.Find(address));
  EXPECT_TRUE(DiffRows(image_.get(), **again).empty());
  EXPECT_EQ((*again)->state_hash, image_->state_hash);
  EXPECT_EQ(StateHashOf(**again), image_->state_hash);
}

TEST_F(ReplaySecurityTest, TheStateHashKnowsAllOfItAndComesBack) {
  const UserKey bob{"bob", ScramMechanism::kSha512};
  const QuotaEntity etl{.client_id = "etl"};
  const auto acl = make_.Acl("orders", "User:alice");
  std::vector<uint64_t> hashes = {image_->state_hash};
  const auto commit = [&](const pb::MetadataRecord& record) {
    Commit({record});
    EXPECT_EQ(image_->state_hash, StateHashOf(*image_));
    hashes.push_back(image_->state_hash);
  };
  commit(acl);
  commit(make_.Credential("bob", ScramMechanism::kSha512));
  commit(make_.Credential("bob", ScramMechanism::kSha512));
  commit(make_.Quota(etl, {{"request_percentage", 1}}, {}));
  commit(make_.Quota(etl, {{"request_percentage", 2}}, {}));
  EXPECT_EQ(std::set<uint64_t>(hashes.begin(), hashes.end()).size(), 6u);
  commit(make_.Quota(etl, {}, {"request_percentage"}));
  commit(make_.RemoveCredential(bob));
  EXPECT_EQ(hashes.back(), hashes[1]);
  commit(make_.RemoveAcl(*ReadAcl(acl.acl())));
  EXPECT_EQ(hashes.back(), hashes[0]);
}

TEST_F(ReplaySecurityTest, ARecordIsDescribedWithoutItsSecrets) {
  auto record = make_.Credential("alice", ScramMechanism::kSha256);
  record.mutable_user_credential()->set_stored_key("0123456789abcdef");
  const std::string text = DescribeRecord(record, true);
  EXPECT_EQ(text, R"({"user_credential":{"user":"alice","mechanism":"SCRAM_MECHANISM_SHA_256",)"
                  R"("salt":"<secret>","stored_key":"<secret>","server_key":"<secret>",)"
                  R"("iterations":4096}})");
  EXPECT_EQ(DescribeRecord(make_.Quota({.user = ""}, {{"request_percentage", 12.5}}, {}), true),
            R"({"client_quota":{"user":"","set":[{"name":"request_percentage","value":12.5}]}})");
  EXPECT_THAT(DescribeRecord(make_.Acl("orders", "User:alice"), false),
              HasSubstr("operation: \"OPERATION_READ\""));
}

}  // namespace
}  // namespace gregor
