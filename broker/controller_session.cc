#include "broker/controller_session.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace gregor {
namespace {

// Between two tries to register, and to be let go.
constexpr Duration kAskAgain = std::chrono::milliseconds(50);
// Between two lines of the log that say why it is not registered.
constexpr Duration kTellAgain = std::chrono::seconds(1);
// A controller that does not answer for so many heartbeats may be cut off: whoever leads then is
// asked.
constexpr int kPatience = 2;

}  // namespace

void ControllerSession::Start(UniqueFunction<void(Result<BrokerEpoch>)> done) {
  options_.loop->Post("session.start", [this, alive = alive_, done = std::move(done)]() mutable {
    if (!*alive) return;
    started_ = std::move(done);
    // As long as the controller may take a killed process for this broker, and a little more.
    give_up_at_ = options_.loop->clock().Now() + 3 * options_.session_timeout / 2;
    Register();
  });
}

void ControllerSession::After(Duration duration, void (ControllerSession::*call)()) {
  if (timer_.has_value()) options_.loop->Cancel(*timer_);
  timer_ = options_.loop->After(duration, "session.timer", [this, call, alive = alive_] {
    if (!*alive) return;
    timer_.reset();
    (this->*call)();
  });
}

void ControllerSession::Register() {
  asking_ = true;
  must_register_ = false;
  options_.controller->Run(RegisterBroker{options_.broker, options_.stopped_cleanly},
                           [this, alive = alive_](Result<BrokerEpoch> registered) {
                             if (*alive) OnRegistered(std::move(registered));
                           });
}

void ControllerSession::OnRegistered(Result<BrokerEpoch> registered) {
  asking_ = false;
  if (registered.ok()) {
    epoch_ = *registered;
    if (started_) std::exchange(started_, {})(epoch_);
    if (must_register_) return Register();
    return After(options_.heartbeat_interval, &ControllerSession::Beat);
  }
  // What is wrong with the controller that was asked, or with an earlier process, may pass.
  const bool is_final = registered.error().reason == Reason::kInvalidArgument ||
                        registered.error().reason == Reason::kUnsupportedVersion ||
                        registered.error().reason == Reason::kInconsistentClusterId;
  if (started_ && (is_final || options_.loop->clock().Now() >= give_up_at_))
    return std::exchange(started_, {})(std::move(registered));
  TellRefusal(registered.error());
  After(started_ ? kAskAgain : options_.heartbeat_interval, &ControllerSession::Register);
}

void ControllerSession::TellRefusal(const Error& error) {
  const MonotonicTime now = options_.loop->clock().Now();
  if (now < tell_again_at_) return;
  tell_again_at_ = now + kTellAgain;
  LOG(WARNING) << (started_ ? "This broker serves once the active controller has registered it"
                            : "The cluster may do without this broker until it is registered again")
               << "; trying again: " << error;
}

void ControllerSession::RemoveDirectory(const DirectoryId& id) {
  std::erase(options_.broker.directories, id);
  // What is asked already is answered first.
  must_register_ = true;
  if (epoch_.value >= 0 && !asking_ && !is_replaced_) Register();
}

void ControllerSession::Beat() {
  if (asking_ || is_replaced_) return;
  asking_ = true;
  BrokerHeartbeat beat;
  beat.broker = options_.broker.id;
  beat.epoch = epoch_;
  beat.metadata_offset = options_.image()->version;
  beat.wants_to_stop = static_cast<bool>(may_stop_);
  OperationContext context;
  context.timeout = std::min(options_.session_timeout / 2, kPatience * options_.heartbeat_interval);
  options_.controller->Run(
      beat,
      [this, alive = alive_](Result<BrokerStatus> status) {
        if (*alive) OnStatus(std::move(status));
      },
      context);
}

void ControllerSession::OnStatus(Result<BrokerStatus> status) {
  asking_ = false;
  if (status.ok()) {
    const bool was_fenced = fenced_.exchange(status->fenced);
    LOG_IF(WARNING, status->fenced && !was_fenced)
        << "The active controller has fenced this broker";
    LOG_IF(INFO, !status->fenced && was_fenced) << "This broker is not fenced any more";
    if (may_stop_ && status->may_stop) return EndStop();
  } else if (status.error().reason == Reason::kStaleBrokerEpoch) {
    is_replaced_ = true;
    LOG(ERROR) << status.error();
    if (options_.on_replaced) options_.on_replaced(status.error());
    return EndStop();
  } else if (status.error().reason == Reason::kBrokerIdNotRegistered) {
    LOG(WARNING) << "This broker was unregistered though it runs, and registers again. One that "
                    "shall go is stopped first, and unregistered then";
    return Register();
  } else {
    LOG_EVERY_T(WARNING, 10) << "The active controller was not reached: " << status.error();
  }
  if (may_stop_ && options_.loop->clock().Now() >= stop_at_) return EndStop();
  if (must_register_) return Register();
  // One that was fenced by mistake comes back as soon as its image has reached that. Of what was
  // asked of a controller that is lost, nothing may have got there.
  const bool is_lost = !status.ok() && OperationOutcome(status.error()) == "UNKNOWN";
  const bool is_urgent = may_stop_ || is_lost || (status.ok() && status->fenced);
  After(is_urgent ? std::min(kAskAgain, options_.heartbeat_interval) : options_.heartbeat_interval,
        &ControllerSession::Beat);
}

void ControllerSession::PrepareStop(Duration timeout, Task done) {
  options_.loop->Post("session.stop",
                      [this, alive = alive_, timeout, done = std::move(done)]() mutable {
                        if (!*alive) return;
                        may_stop_ = std::move(done);
                        stop_at_ = options_.loop->clock().Now() + timeout;
                        if (epoch_.value < 0 || is_replaced_) return EndStop();
                        options_.loop->After(timeout, "session.stop_at", [this, alive] {
                          if (*alive) EndStop();
                        });
                        if (!asking_) After(Duration(0), &ControllerSession::Beat);
                      });
}

void ControllerSession::EndStop() {
  if (may_stop_) std::exchange(may_stop_, {})();
}

void ControllerSession::Close(Task done) {
  options_.loop->Post("session.close", [this, done = std::move(done)]() mutable {
    *alive_ = false;
    if (timer_.has_value()) options_.loop->Cancel(*timer_);
    done();
  });
}

}  // namespace gregor
