#ifndef GREGOR_CLIENT_CLI_TROUBLE_WATCH_H_
#define GREGOR_CLIENT_CLI_TROUBLE_WATCH_H_

#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>

#include "base/result.h"

namespace gregor {

// Says on stderr when a producer or consumer has trouble that lasts for a second, and when that is
// over: a command that goes on trying must not look as if it hung. Thread: its owner's; it has one
// of its own ("trouble-watch") that asks.
class TroubleWatch {
 public:
  // `ask` is called once a second, until the destructor.
  explicit TroubleWatch(std::function<std::optional<Error>()> ask);
  ~TroubleWatch();

 private:
  void Run();

  const std::function<std::optional<Error>()> ask_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace gregor

#endif  // GREGOR_CLIENT_CLI_TROUBLE_WATCH_H_
