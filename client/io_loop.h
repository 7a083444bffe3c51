#ifndef GREGOR_CLIENT_IO_LOOP_H_
#define GREGOR_CLIENT_IO_LOOP_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/result.h"
#include "client/channel.h"

namespace gregor {

// A call of any kind as a stream of raw messages in both directions; a unary call is one with a
// message each way. It belongs to its IoLoop and is gone after OnClosed(). Thread: the loop's.
class IoStream {
 public:
  // What happens on a stream. Thread: the loop's.
  class Events {
   public:
    virtual ~Events() = default;
    virtual void OnMessage(Bytes message) = 0;
    // The message is on its way, or lost with the stream: another one may be written.
    virtual void OnWritten() {}
    // How it ended: by the server, since it broke, or by Cancel(). The last event of a stream.
    virtual void OnClosed(Result<void> end) = 0;
  };

  // REQUIRES: it is the first message, or OnWritten() has come for the one before. The bytes are
  // held until they are sent.
  virtual void Write(const Bytes& message) = 0;
  // Nothing more will be written. REQUIRES: as Write().
  virtual void WritesDone() = 0;
  virtual void Cancel() = 0;

 protected:
  ~IoStream() = default;
};

// A thread that waits for gRPC and runs what its owner wants to be done there.
class IoLoop {
 public:
  // Called on the loop's thread at its start, after events and Wake(), and when the time that it
  // gave last has come. nullopt ends the loop, without further events: nothing more is written on
  // its streams, and those that the server does not end soon are cancelled, as are unary calls.
  using Turn = std::function<std::optional<MonotonicTime>(IoLoop&)>;

  static std::unique_ptr<IoLoop> Start(std::string thread_name, Turn turn);
  // Waits for the thread. REQUIRES: the turn gives nullopt from now on.
  virtual ~IoLoop() = default;

  // Makes a turn happen soon. Thread: any.
  virtual void Wake() = 0;
  // Opens a stream of `method` ("/gregor.v1.ProduceService/ProduceStream"); where there is no
  // connection it is closed soon. Its first message may be written at once. `events` outlives it.
  // After `timeout` it breaks. Thread: the loop's.
  virtual IoStream& Open(const Channel& channel, const std::string& method,
                         IoStream::Events& events,
                         std::optional<Duration> timeout = std::nullopt) = 0;
  // A unary call; `done` gets its answer, unless the loop ends before. Thread: the loop's.
  virtual void Call(const Channel& channel, const std::string& method, const Bytes& request,
                    Duration timeout, std::function<void(Result<Bytes>)> done) = 0;
};

}  // namespace gregor

#endif  // GREGOR_CLIENT_IO_LOOP_H_
