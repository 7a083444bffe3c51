#ifndef GREGOR_BROKER_CONTROLLER_SESSION_H_
#define GREGOR_BROKER_CONTROLLER_SESSION_H_

#include <functional>
#include <memory>
#include <optional>

#include "base/event_loop.h"
#include "base/result.h"
#include "base/task.h"
#include "controller/image/controller_api.h"

namespace gregor {

// A broker's standing with the active controller, whichever node that is: registers it, says every
// so often that it is alive, and asks to be let go before it stops. Thread: the controller loop,
// the callbacks included, unless a note says otherwise.
class ControllerSession {
 public:
  struct Options {
    EventLoop* loop = nullptr;
    ControllerApi* controller = nullptr;
    std::function<ImagePtr()> image;  // of this node
    BrokerImage broker;               // as it registers
    // The process before ended after everything was synced.
    bool stopped_cleanly = false;
    Duration heartbeat_interval = std::chrono::milliseconds(500);
    // A process of this id that was killed a moment ago may be taken for alive for so long.
    Duration session_timeout = std::chrono::seconds(6);
    // Another process is this broker now. Once.
    std::function<void(const Error&)> on_replaced;
  };

  // REQUIRES: what the options name outlives it.
  explicit ControllerSession(Options options) : options_(std::move(options)) {}
  // REQUIRES: closed, or the loop has stopped.
  ~ControllerSession() { *alive_ = false; }

  // Registers the broker, with patience as far as session_timeout says, and begins to speak for
  // it. Fails as RegisterBroker does. Thread: any. Once.
  void Start(UniqueFunction<void(Result<BrokerEpoch>)> done);
  // A log directory can be used no more: nothing new is placed there, and others lead what they
  // can.
  void RemoveDirectory(const DirectoryId& id);
  // Hands over what the broker leads, and runs `done` when nobody needs it any more, or `timeout`
  // is over. Thread: any. Once.
  void PrepareStop(Duration timeout, Task done);
  // Says nothing any more. `done` runs on the loop. Thread: any.
  void Close(Task done);

  // Whether the controller last had the broker fenced. Thread: any.
  bool fenced() const { return fenced_; }

 private:
  void Register();
  void OnRegistered(Result<BrokerEpoch> registered);
  // In the log, not too often.
  void TellRefusal(const Error& error);
  void Beat();
  void OnStatus(Result<BrokerStatus> status);
  void After(Duration duration, void (ControllerSession::*call)());
  void EndStop();

  Options options_;
  UniqueFunction<void(Result<BrokerEpoch>)> started_;
  MonotonicTime give_up_at_;
  MonotonicTime tell_again_at_ = MonotonicTime::min();
  BrokerEpoch epoch_{-1};
  bool asking_ = false;
  bool must_register_ = false;  // something about the broker has changed
  bool is_replaced_ = false;
  Task may_stop_;
  MonotonicTime stop_at_;
  std::optional<TimerId> timer_;
  std::atomic<bool> fenced_{false};
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace gregor

#endif  // GREGOR_BROKER_CONTROLLER_SESSION_H_
