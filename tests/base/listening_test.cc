#include "base/listening.h"

#include <gtest/gtest.h>

namespace gregor {
namespace {

std::string MessageOf(const std::string& host, const std::string& cause) {
  return CannotListen({host, 9094, "gRPC", "--grpc-listen"}, cause).message;
}

TEST(CannotListen, SaysWhatIsWrongAndWhatToDo) {
  EXPECT_EQ(MessageOf("127.0.0.1", "a library's words: Address already in use (98)"),
            "cannot listen on 127.0.0.1:9094 for gRPC: another process listens there. Stop it, or "
            "choose another port with --grpc-listen HOST:PORT (port 0: a free one)");
  EXPECT_EQ(
      MessageOf("::1", "Permission denied"),
      "cannot listen on [::1]:9094 for gRPC: ports below 1024 need privileges. Choose another "
      "one with --grpc-listen HOST:PORT");
  EXPECT_EQ(MessageOf("127.0.0.1", "Too many\nopen files"),
            "cannot listen on 127.0.0.1:9094 for gRPC: Too many open files (choose another address "
            "with --grpc-listen HOST:PORT)");
}

TEST(CannotListen, SaysWhatIsToBeKnownOfAnotherPort) {
  ListenAddress address{"127.0.0.1", 9093, "the cluster's other nodes", "--internal-listen"};
  address.remark = "on every node";
  EXPECT_EQ(CannotListen(address, "Address already in use").message,
            "cannot listen on 127.0.0.1:9093 for the cluster's other nodes: another process "
            "listens there. Stop it, or choose another port with --internal-listen HOST:PORT (on "
            "every node)");
}

TEST(CannotListen, NamesAHostThatIsNotKnown) {
  EXPECT_EQ(
      MessageOf("nosuch.invalid", "UNKNOWN: Name or service not known {}"),
      "cannot listen on nosuch.invalid:9094 for gRPC: nosuch.invalid is not known: no address "
      "was found for that name. Choose another one with --grpc-listen HOST:PORT");
}

}  // namespace
}  // namespace gregor
