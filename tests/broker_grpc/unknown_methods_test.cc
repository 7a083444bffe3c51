#include <grpcpp/generic/generic_stub.h>

#include "tests/broker_grpc/control_harness.h"

namespace gregor {
namespace {

class UnknownMethodsTest : public ControlTest {
 protected:
  void SetUp() override { StartServer(); }
  // Calls `method` with a message that says nothing.
  grpc::Status Call(const std::string& method) {
    context_ = NewContext();
    grpc::CompletionQueue queue;
    grpc::GenericStub stub(channel_);
    const grpc::Slice nothing;
    const grpc::ByteBuffer request(&nothing, 1);
    grpc::ByteBuffer response;
    grpc::Status status;
    const auto call = stub.PrepareUnaryCall(context_.get(), method, request, &queue);
    call->StartCall();
    call->Finish(&response, &status, this);
    void* tag = nullptr;
    bool ok = false;
    EXPECT_TRUE(queue.Next(&tag, &ok));
    return status;
  }
  void ExpectRefused(const std::string& method) {
    const grpc::Status status = Call(method);
    EXPECT_EQ(status.error_code(), grpc::UNIMPLEMENTED);
    EXPECT_EQ(ReasonOf(status), Reason::kUnsupportedVersion);
    EXPECT_NE(status.error_message().find(method), std::string::npos) << status.error_message();
    EXPECT_EQ(Trailer(*context_, "x-gregor-reason"), "UNSUPPORTED_VERSION");
    EXPECT_EQ(Trailer(*context_, "x-gregor-outcome"), "NOT_APPLIED");
  }

  std::unique_ptr<grpc::ClientContext> context_;
};

TEST_F(UnknownMethodsTest, MethodsOfTheApiThatAreNotServedYetAreNamed) {
  ExpectRefused("/gregor.v1.ClusterService/DecommissionBroker");
  ExpectRefused("/gregor.v1.ConsumerService/Subscribe");
}

TEST_F(UnknownMethodsTest, SoAreMethodsThatNobodyKnows) {
  for (int i = 0; i < 20; ++i) ExpectRefused("/a.Service/Method" + std::to_string(i));
  ExpectRefused("/gregor.v1.TopicService/RenameTopic");
}

}  // namespace
}  // namespace gregor
