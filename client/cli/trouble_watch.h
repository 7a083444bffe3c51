#ifndef GREGOR_CLIENT_CLI_TROUBLE_WATCH_H_
#define GREGOR_CLIENT_CLI_TROUBLE_WATCH_H_

#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>

#include "base/result.h"

namespace gregor {

// Says on stderr when a producer, consumer or call has trouble that lasts for a second, and when
// that is over: a command that goes on trying, or waits, must not look as if it hung. Thread: its
// owner's; it has one of its own ("trouble-watch") that asks.
class TroubleWatch {
 public:
  // `ask` is called once a second, until the destructor; `meanwhile`: what is done about it.
  explicit TroubleWatch(std::function<std::optional<Error>()> ask,
                        const char* meanwhile = "trying again");
  ~TroubleWatch();

 private:
  void Run();

  const std::function<std::optional<Error>()> ask_;
  const char* const meanwhile_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace gregor

#endif  // GREGOR_CLIENT_CLI_TROUBLE_WATCH_H_
