#ifndef GREGOR_CLIENT_CHANNEL_H_
#define GREGOR_CLIENT_CHANNEL_H_

#include <google/protobuf/message_lite.h>

#include <memory>
#include <string>

#include "base/clock.h"
#include "base/result.h"

namespace gregor {

// A connection to the gRPC API of one address; it reconnects by itself, after pauses of 0.1 s to 1
// s, and looks for a server by its name again where it is not found after connect_timeout. gRPC's
// types stay in the .cc files. Thread: any.
class Channel {
 public:
  struct Options {
    size_t message_bytes_max = 64u << 20;  // largest message that is taken from the server
    // Until an attempt to connect has to have heard of the server.
    Duration connect_timeout = std::chrono::seconds(5);
    // A connection of its own, also where the process has others to the same address.
    bool own_connection = false;
  };

  // Takes "host:port"; does not wait for the connection.
  static std::shared_ptr<Channel> Connect(const std::string& address, Options options);
  static std::shared_ptr<Channel> Connect(const std::string& address) {
    return Connect(address, Options());
  }
  virtual ~Channel() = default;

  virtual const std::string& address() const = 0;

  // Calls `method` ("/gregor.v1.TopicService/GetTopic") and waits. Errors carry the server's
  // reason, message and details (of a LeaderHint: leader_id, leader_epoch, leader_host,
  // leader_port). Where the server did not answer they are kLeaderNotAvailable (not reachable, see
  // IsUnreachable(): at once where the connection is refused, after connect_timeout where nothing
  // comes back) or kCommitTimedOut (`timeout` passed), with the detail outcome=UNKNOWN, or
  // outcome=NOT_APPLIED where there was no connection to send it on.
  virtual Result<std::string> CallRaw(const std::string& method, const std::string& request,
                                      Duration timeout) = 0;
  template <typename Response>
  Result<Response> Call(const std::string& method, const google::protobuf::MessageLite& request,
                        Duration timeout = std::chrono::seconds(30)) {
    ASSIGN_OR_RETURN(const std::string bytes,
                     CallRaw(method, request.SerializeAsString(), timeout));
    Response response;
    if (!response.ParseFromString(bytes))
      return Error(Reason::kUnspecified, "the server's answer cannot be parsed");
    return response;
  }
};

// A google.rpc.Status inside of an answer as an Error. Thread: any.
Error ErrorOfStatus(const google::protobuf::MessageLite& status);
// The same from its serialized form, as it travels in trailers.
Error ErrorOfStatusBytes(std::string_view status);

// Whether no server answered at the address (detail "unreachable").
bool IsUnreachable(const Error& error);
// Whether a failed write was certainly not applied (detail outcome=NOT_APPLIED).
bool IsNotApplied(const Error& error);
// Whether the same call may succeed later: by the retry advice of its reason. Broken connections
// are such errors.
bool IsRetriable(const Error& error);
// How long the server asks to be left alone.
Duration RetryDelayOf(const Error& error);
// A detail's value, or empty.
std::string_view DetailOf(const Error& error, std::string_view key);

}  // namespace gregor

#endif  // GREGOR_CLIENT_CHANNEL_H_
