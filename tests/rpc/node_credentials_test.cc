// Nodes with certificates: who gets a connection, and who does not.
#include "rpc/node_credentials.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <future>

#include "rpc/controller_service.h"
#include "rpc/internal_server.h"
#include "tests/controller/fake_controller.h"
#include "tests/rpc/node_certificates.h"

namespace gregor {
namespace {

using std::chrono::hours;
using std::chrono::seconds;
using testing::HasSubstr;

constexpr seconds kLongEnough(60);

ClusterId Cluster() { return FakeCluster(); }

NodeName Name(int32_t node, const ClusterId& cluster = Cluster()) {
  return {cluster, NodeId{node}};
}

std::shared_ptr<TlsNodeCredentials> Tls(int32_t node, const NodeCertificates& certificates) {
  return TestTls(Name(node), certificates);
}

// The internal listener of a node whose controller leads.
class Listener {
 public:
  explicit Listener(std::shared_ptr<NodeCredentials> credentials)
      : credentials_(std::move(credentials)),
        loop_(NewThreadLoop("controller")),
        controller_(*loop_, 1) {
    const auto started = server_.Start({.host = "127.0.0.1",
                                        .port = 0,
                                        .credentials = credentials_->ForServer(),
                                        .services = {&service_}});
    CHECK(started.ok()) << started.error();
    std::promise<void> done;
    loop_->Post("test", [&] {
      controller_.SetLeader(1, 5);
      done.set_value();
    });
    done.get_future().wait();
    service_.Serve(operations_);
  }
  std::string address() const { return "127.0.0.1:" + std::to_string(server_.port()); }

 private:
  const std::shared_ptr<NodeCredentials> credentials_;
  std::unique_ptr<EventLoop> loop_;
  FakeController controller_;
  OperationServer operations_{controller_, Cluster()};
  ControllerService service_{Cluster()};
  InternalServer server_;
};

struct Answer {
  grpc::Status status;
  internal::v1::OperationResponse response;
};

// Asks for an operation over a new connection.
Answer Ask(const std::string& address, const std::shared_ptr<grpc::ChannelCredentials>& credentials,
           const internal::v1::OperationRequest& operation) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  const auto stub = internal::v1::ControllerService::NewStub(
      grpc::CreateCustomChannel(address, credentials, arguments));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::time_point(
      std::chrono::milliseconds(SystemClock().WallNow().value) + kLongEnough));
  Answer answer;
  answer.status = stub->Execute(&context, operation, &answer.response);
  return answer;
}

internal::v1::OperationRequest Request() {
  internal::v1::OperationRequest request;
  request.set_cluster_id(ToBytes(Cluster().bytes));
  request.set_hop_count(1);
  request.set_timeout_ms(60'000);
  return request;
}

internal::v1::OperationRequest CreateTopic() {
  auto request = Request();
  request.mutable_create_topic()->set_name("orders");
  request.mutable_create_topic()->set_validate_only(true);
  return request;
}

bool IsServed(const Listener& listener, const std::shared_ptr<NodeCredentials>& caller,
              int32_t called = 1) {
  const auto answer = Ask(listener.address(), caller->ForChannelTo(NodeId{called}), CreateTopic());
  EXPECT_TRUE(!answer.status.ok() || answer.response.has_topic());
  return answer.status.ok();
}

TEST(NodeName, IsWrittenInOneWay) {
  const NodeName name = Name(17);
  EXPECT_EQ(name.ToString(), "gregor://" + Cluster().ToString() + "/node/17");
  EXPECT_EQ(NodeName::Parse(name.ToString()), name);
  for (const std::string& other :
       {name.ToString() + "/", name.ToString() + " ", "x" + name.ToString(),
        "gregor://" + Cluster().ToString() + "/node/017", std::string("gregor:///node/17"),
        "gregor://" + Cluster().ToString() + "/node/-1",
        "gregor://" + Cluster().ToString() + "/node/",
        "gregor://" + Cluster().ToString() + "/node/99999999999", std::string("gregor://")})
    EXPECT_EQ(NodeName::Parse(other), std::nullopt) << other;
}

TEST(NodeName, ACertificateIsOfOneNodeOfTheCluster) {
  const ClusterId other = FakeCluster(2);
  EXPECT_EQ(*NodeOf({"https://example.org", Name(3).ToString()}, Cluster()), NodeId{3});
  EXPECT_EQ(NodeOf({Name(3, other).ToString()}, Cluster()).error().reason,
            Reason::kInconsistentClusterId);
  EXPECT_FALSE(NodeOf({}, Cluster()).ok());
  EXPECT_FALSE(NodeOf({"https://example.org"}, Cluster()).ok());
  EXPECT_FALSE(NodeOf({Name(3).ToString(), Name(4).ToString()}, Cluster()).ok());
}

TEST(NodeCertificates, WhatDoesNotFitIsNamed) {
  const Timestamp now = SystemClock().WallNow();
  const auto part_of = [&](const NodeCertificates& certificates) {
    const auto checked = CheckNodeCertificates(certificates, Name(1), now);
    return checked.ok() ? ""
                        : checked.error().details.front().second + ": " + checked.error().message;
  };
  const auto good = TestCertificates(Name(1));
  EXPECT_EQ(part_of(good), "");
  auto bad = good;
  bad.authorities = TestAuthority(2).certificate;
  EXPECT_THAT(part_of(bad), HasSubstr("certificate: \"CN=node-1,O=Gregor\" is not signed"));
  bad.authorities = "nothing";
  EXPECT_THAT(part_of(bad), HasSubstr("ca: there is no certificate"));
  bad = good;
  bad.key = TestCertificates(Name(1), TestAuthority()).key;
  EXPECT_THAT(part_of(bad), HasSubstr("key: the private key is not that of"));
  EXPECT_THAT(part_of(TestCertificates(Name(2))), HasSubstr("certificate: the certificate "
                                                            "is of node 2, and this is"));
  EXPECT_THAT(part_of(TestCertificates(Name(1, FakeCluster(2)))),
              HasSubstr("of cluster " + FakeCluster(2).ToString()));
  EXPECT_THAT(part_of(TestCertificates(Name(1), TestAuthority(), hours(2))),
              HasSubstr("has expired"));
}

TEST(NodeCredentials, NodesOfTheClusterAreServed) {
  const Listener listener(Tls(1, TestCertificates(Name(1))));
  EXPECT_TRUE(IsServed(listener, Tls(2, TestCertificates(Name(2)))));
  EXPECT_TRUE(IsServed(listener, Tls(3, TestCertificates(Name(3)))));
}

TEST(NodeCredentials, NobodyElseIsAnsweredAnything) {
  const Listener listener(Tls(1, TestCertificates(Name(1))));
  const auto good = TestCertificates(Name(2));
  // Of another authority; of another cluster; expired. All trust the listener, so it is the one
  // that refuses.
  auto other = TestCertificates(Name(2), TestAuthority(2));
  other.authorities = TestAuthority().certificate;
  EXPECT_FALSE(IsServed(listener, Tls(2, other)));
  EXPECT_FALSE(IsServed(listener, Tls(2, TestCertificates(Name(2, FakeCluster(2))))));
  EXPECT_FALSE(IsServed(listener, Tls(2, TestCertificates(Name(2), TestAuthority(), hours(2)))));
  // With no certificate, and with none of TLS.
  grpc::SslCredentialsOptions nobody;
  nobody.pem_root_certs = TestAuthority().certificate;
  EXPECT_FALSE(Ask(listener.address(), grpc::SslCredentials(nobody), CreateTopic()).status.ok());
  EXPECT_FALSE(IsServed(listener, NodeCredentials::Insecure()));
  EXPECT_TRUE(IsServed(listener, Tls(2, good)));
}

TEST(NodeCredentials, ACertificateOfAClientIsNoneOfANode) {
  const Listener listener(Tls(1, TestCertificates(Name(1))));
  CertificateRequest request;
  request.name = "client";
  request.hosts = {"node-2", "127.0.0.1"};
  request.now = SystemClock().WallNow();
  request.lifetime = hours(1);
  const auto client = IssueCertificate(TestAuthority(), request);
  ASSERT_TRUE(client.ok());
  EXPECT_FALSE(
      IsServed(listener, Tls(2, {TestAuthority().certificate, client->certificate, client->key})));
}

TEST(NodeCredentials, WhoIsCalledHasToBeTheNodeThatWasMeant) {
  const Listener listener(Tls(1, TestCertificates(Name(1))));
  const auto caller = Tls(2, TestCertificates(Name(2)));
  EXPECT_TRUE(IsServed(listener, caller, 1));
  const auto answer = Ask(listener.address(), caller->ForChannelTo(NodeId{3}), CreateTopic());
  EXPECT_EQ(answer.status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_THAT(answer.status.error_message(),
              HasSubstr("node 3 was called, and the certificate is of node 1"));
  // One of another authority, and one without TLS.
  const Listener pretender(Tls(1, TestCertificates(Name(1), TestAuthority(2))));
  auto trusting = TestCertificates(Name(2));
  EXPECT_FALSE(IsServed(pretender, Tls(2, trusting)));
  const Listener open(NodeCredentials::Insecure());
  EXPECT_FALSE(IsServed(open, caller));
}

TEST(NodeCredentials, ANodeRegistersItselfOnly) {
  const Listener listener(Tls(1, TestCertificates(Name(1))));
  const auto caller = Tls(2, TestCertificates(Name(2)));
  auto request = Request();
  auto& broker = *request.mutable_register_broker()->mutable_broker();
  broker.set_node_id(3);
  const auto answer = Ask(listener.address(), caller->ForChannelTo(NodeId{1}), request);
  ASSERT_TRUE(answer.status.ok()) << answer.status.error_message();
  EXPECT_THAT(answer.response.error().message(),
              HasSubstr("broker 3 is spoken for with the certificate of node 2"));
  broker.set_node_id(2);
  const auto own = Ask(listener.address(), caller->ForChannelTo(NodeId{1}), request);
  EXPECT_THAT(own.response.error().message(), testing::Not(HasSubstr("would be registered")));
}

TEST(NodeCredentials, NewCertificatesAreUsedByNewConnections) {
  const auto server = Tls(1, TestCertificates(Name(1)));
  const Listener listener(server);
  const auto caller = Tls(2, TestCertificates(Name(2)));
  ASSERT_TRUE(IsServed(listener, caller));
  // All move to the second authority: first it is trusted, then used, then the first one forgotten.
  const auto moved = TestCertificates(Name(1), TestAuthority(2));
  ASSERT_TRUE(server->Replace(moved).ok());
  const auto becomes = [&](bool served, const std::shared_ptr<NodeCredentials>& by) {
    const MonotonicTime end = SystemClock().Now() + kLongEnough;
    while (IsServed(listener, by) != served) {
      if (SystemClock().Now() > end) return false;
    }
    return true;
  };
  EXPECT_TRUE(becomes(false, caller));
  ASSERT_TRUE(caller->Replace(TestCertificates(Name(2), TestAuthority(2))).ok());
  EXPECT_TRUE(becomes(true, caller));
}

}  // namespace
}  // namespace gregor
