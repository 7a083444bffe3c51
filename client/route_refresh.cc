#include "client/route_refresh.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace gregor {
namespace {

constexpr char kRefreshMethod[] = "/gregor.v1.ClusterService/GetMetadata";
constexpr Duration kRefreshTimeout = std::chrono::seconds(5);
constexpr Duration kRefreshPauseMin = std::chrono::milliseconds(20);
constexpr Duration kRefreshPauseMax = std::chrono::seconds(1);
constexpr size_t kTopicsMax = 1000;  // in one question

}  // namespace

RouteRefresh::RouteRefresh(std::shared_ptr<Router> router, Done done)
    : router_(std::move(router)), done_(std::move(done)), random_(Random::FromSystem()) {}

void RouteRefresh::Turn(IoLoop& loop, MonotonicTime now) {
  if (asking_ || doubted_.empty() || now < ask_at_) return;
  pause_ = now >= calm_at_ ? kRefreshPauseMin : std::min(kRefreshPauseMax, 2 * pause_);
  // Many clients lose the same broker at the same time.
  ask_at_ = now + Duration(random_.Between(pause_.count() / 2, pause_.count()));
  calm_at_ = now + 4 * pause_;
  while (!doubted_.empty() && asked_.size() < kTopicsMax)
    asked_.insert(doubted_.extract(doubted_.begin()));
  asking_ = true;
  Ask(loop, "");
}

MonotonicTime RouteRefresh::NextTurn() const {
  return asking_ || doubted_.empty() ? MonotonicTime::max() : ask_at_;
}

void RouteRefresh::Ask(IoLoop& loop, const std::string& page_token) {
  v1::GetMetadataRequest request;
  for (const std::string& topic : asked_) request.add_topics(topic);
  request.mutable_page()->set_page_token(page_token);
  const auto channel = router_->AnyNode();
  loop.Call(*channel, kRefreshMethod, Slice::Own(request.SerializeAsString()), kRefreshTimeout,
            [this, &loop, channel](Result<Bytes> answer) {
              OnAnswer(loop, *channel, std::move(answer));
            });
}

void RouteRefresh::OnAnswer(IoLoop& loop, const Channel& from, Result<Bytes> answer) {
  v1::GetMetadataResponse response;
  if (answer.ok() && !response.ParseFromString(answer->ToString()))
    answer = Error(Reason::kUnspecified, "the server's answer cannot be parsed");
  if (!answer.ok()) {
    router_->Avoid(from);
    doubted_.insert(asked_.begin(), asked_.end());
    return End(&answer.error());
  }
  router_->Learn(response, from);
  if (response.next_page_token().empty()) return End(nullptr);
  Ask(loop, response.next_page_token());
}

void RouteRefresh::End(const Error* error) {
  asking_ = false;
  done_(std::exchange(asked_, {}), error);
}

}  // namespace gregor
