#ifndef GREGOR_CLIENT_ROUTE_REFRESH_H_
#define GREGOR_CLIENT_ROUTE_REFRESH_H_

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "base/random.h"
#include "client/io_loop.h"
#include "client/router.h"

namespace gregor {

// Asks for the leaders of topics where they are in doubt, for who works on an IoLoop: one question
// at a time, for all topics in doubt, at once the first time and after growing pauses with jitter
// while doubts go on. Thread: the loop's.
class RouteRefresh {
 public:
  using Topics = std::set<std::string>;
  // Called when the router knows what there is to know of `topics`, or, with an error, not.
  using Done = std::function<void(const Topics& topics, const Error* error)>;

  RouteRefresh(std::shared_ptr<Router> router, Done done);

  // The leaders of the topic's partitions may be others.
  void Doubt(const std::string& topic) { doubted_.insert(topic); }
  // Asks, if there is something to ask and it is time.
  void Turn(IoLoop& loop, MonotonicTime now);
  // When it will be time; max: nothing is to be asked.
  MonotonicTime NextTurn() const;

 private:
  void Ask(IoLoop& loop, const std::string& page_token);
  void OnAnswer(IoLoop& loop, const Channel& from, Result<Bytes> answer);
  void End(const Error* error);

  const std::shared_ptr<Router> router_;
  const Done done_;
  Random random_;
  Topics doubted_;
  Topics asked_;  // while one runs
  bool asking_ = false;
  Duration pause_{0};
  MonotonicTime ask_at_ = MonotonicTime::min();
  MonotonicTime calm_at_ = MonotonicTime::min();  // when pauses begin anew
};

}  // namespace gregor

#endif  // GREGOR_CLIENT_ROUTE_REFRESH_H_
