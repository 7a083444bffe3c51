#ifndef GREGOR_CLIENT_CHANNEL_H_
#define GREGOR_CLIENT_CHANNEL_H_

#include <google/protobuf/message_lite.h>

#include <memory>
#include <string>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/result.h"

namespace gregor {

// A stream of raw messages in both directions. Thread: one writes while another one reads; Cancel()
// from any.
class RawStream {
 public:
  virtual ~RawStream() = default;  // cancels what is still open
  // Blocks while the peer's window is full. False: the stream is broken, see Finish(). The bytes
  // may be held until sent.
  virtual bool Write(const Bytes& message) = 0;
  // Blocks for the next message. False: no more come.
  virtual bool Read(Bytes* message) = 0;
  // Nothing more will be written.
  virtual void WritesDone() = 0;
  // How it ended. REQUIRES: Read() has returned false, and nobody writes.
  virtual Result<void> Finish() = 0;
  virtual void Cancel() = 0;
};

// A connection to the gRPC API of one address; it reconnects by itself. gRPC's types stay in the
// .cc. Thread: any.
class Channel {
 public:
  // Takes "host:port"; does not wait for the connection. `message_bytes_max`: largest message taken
  // from the server.
  static std::shared_ptr<Channel> Connect(const std::string& address,
                                          size_t message_bytes_max = 64u << 20);
  virtual ~Channel() = default;

  virtual const std::string& address() const = 0;

  // Calls `method` ("/gregor.v1.TopicService/GetTopic") and waits. Errors carry the server's
  // reason, message and details; where the server did not answer they are kLeaderNotAvailable (not
  // reachable) or kCommitTimedOut (`timeout` passed), with the detail outcome=UNKNOWN.
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

  // Opens a bidirectional stream; where there is no connection the first Write() or Read() fails.
  virtual std::unique_ptr<RawStream> OpenStream(const std::string& method) = 0;
};

// A google.rpc.Status inside of an answer as an Error. Thread: any.
Error ErrorOfStatus(const google::protobuf::MessageLite& status);
// The same from its serialized form, as it travels in trailers.
Error ErrorOfStatusBytes(std::string_view status);

}  // namespace gregor

#endif  // GREGOR_CLIENT_CHANNEL_H_
