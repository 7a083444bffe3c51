#include "tests/sim/sim_network.h"

#include <utility>

#include "base/check.h"
#include "controller/image/feature_level.h"
#include "tests/raft/message_text.h"

namespace gregor {

class SimNetwork::End final : public RaftTransport {
 public:
  End(SimNetwork& network, NodeId node, EventLoop& loop, uint64_t life)
      : network_(network), node_(node), loop_(loop), life_(life) {}
  ~End() override { network_.OnDetached(node_, this); }

  void SetReceiver(Receiver* receiver) override {
    receiver_ = receiver;
    if (receiver != nullptr) network_.OnAttached(node_);
  }
  void Send(raft::Message message) override { network_.Send(std::move(message)); }
  void SetVoters(const VoterSet&) override {}
  void FetchRange(NodeId node, Offset from, LogRangeRead fetched) override {
    network_.FetchRange(node_, node, from, std::move(fetched));
  }
  void SetRangeReader(RangeReader reader) override { range_reader_ = std::move(reader); }
  std::optional<Introduction> IntroductionOf(const VoterKey& node) const override {
    if (!network_.IsConnected(node_, node.node)) return {};
    return Introduction{.endpoints = {},
                        .may_vote = true,
                        .feature_level_min = kFeatureLevelMin,
                        .feature_level_max = kFeatureLevel};
  }

  // A fetch that waits for its answer; only the first one counts.
  uint64_t Wait(LogRangeRead fetched) {
    fetches_.emplace(++last_fetch_, std::move(fetched));
    return last_fetch_;
  }
  void Answer(uint64_t fetch, const Result<LogRange>& range) {
    auto waiting = fetches_.extract(fetch);
    if (!waiting.empty()) waiting.mapped()(range);
  }

  const RangeReader& range_reader() const { return range_reader_; }
  Receiver* receiver() const { return receiver_; }
  uint64_t life() const { return life_; }
  EventLoop& loop() { return loop_; }

 private:
  SimNetwork& network_;
  const NodeId node_;
  EventLoop& loop_;
  const uint64_t life_;
  Receiver* receiver_ = nullptr;
  RangeReader range_reader_;
  std::map<uint64_t, LogRangeRead> fetches_;
  uint64_t last_fetch_ = 0;
};

std::unique_ptr<RaftTransport> SimNetwork::Attach(NodeId node, EventLoop& loop) {
  auto end = std::make_unique<End>(*this, node, loop, ++last_life_);
  ends_[node] = end.get();
  return end;
}

template <typename Call>
void SimNetwork::AtEnd(Duration delay, NodeId node, Call call) {
  AtEndOf(ends_.at(node)->life(), delay, node, std::move(call));
}

template <typename Call>
void SimNetwork::AtEndOf(uint64_t life, Duration delay, NodeId node, Call call) {
  // The loop goes with the process, and a paused one keeps what comes until it goes on.
  scheduler_.After(delay, "net", [this, node, life, call = std::move(call)]() mutable {
    const auto end = ends_.find(node);
    if (end == ends_.end() || end->second->life() != life) return;
    end->second->loop().Post("net", [end = end->second, call = std::move(call)] { call(*end); });
  });
}

template <typename Call>
void SimNetwork::After(Duration delay, NodeId node, Call call) {
  AtEnd(delay, node, [call](End& end) {
    if (end.receiver() != nullptr) call(*end.receiver());
  });
}

void SimNetwork::FetchRange(NodeId from, NodeId to, Offset offset, LogRangeRead fetched) {
  constexpr Duration kDeadline = std::chrono::seconds(2);
  // It goes with the node's process. Nobody else is answered, also where the node has another life
  // meanwhile.
  End& asking = *ends_.at(from);
  const uint64_t fetch = asking.Wait(std::move(fetched));
  const auto answer = [this, from, life = asking.life(), fetch](const Result<LogRange>& range) {
    const Duration delay(random_.Between(0, faults_.delay_max.count()));
    AtEndOf(life, delay, from, [fetch, range](End& end) { end.Answer(fetch, range); });
  };
  // What is lost on the way is not answered.
  AtEnd(kDeadline, from, [fetch](End& end) {
    end.Answer(fetch, Error(Reason::kLeaderNotAvailable, "the node does not answer"));
  });
  if (ends_.count(to) == 0 || IsCut(from, to) || random_.Chance(faults_.loss)) return;
  const Duration delay(random_.Between(0, faults_.delay_max.count()));
  AtEnd(delay, to, [this, from, to, offset, answer](End& end) {
    if (!end.range_reader()) return;
    end.range_reader()(offset, [this, from, to, answer](Result<LogRange> range) {
      if (ends_.count(from) != 0 && !IsCut(to, from)) answer(range);
    });
  });
}

void SimNetwork::Send(raft::Message message) {
  const NodeId to = message.to.node;
  const NodeId from = message.from.node;
  if (observer_ != nullptr) observer_->OnSent(message);
  if (ends_.count(to) == 0 || IsCut(from, to) || random_.Chance(faults_.loss)) return;
  const int copies = random_.Chance(faults_.duplicate) ? 2 : 1;
  const std::string text = scheduler_.trace().keeps() ? TextOf(message) : std::string();
  if (auto* const append = std::get_if<raft::AppendRequest>(&message.body)) append->batches.clear();
  const auto sent = std::make_shared<const raft::Message>(std::move(message));
  for (int i = 0; i < copies; ++i) {
    const Duration most = random_.Chance(faults_.late) ? faults_.late_max : faults_.delay_max;
    const Duration delay(random_.Between(faults_.delay_min.count(), most.count()));
    AtEnd(delay, to, [this, sent, text](const End& end) {
      if (end.receiver() == nullptr || IsCut(sent->from.node, sent->to.node)) return;
      scheduler_.trace().Note("message", static_cast<uint64_t>(sent->to.node.value),
                              sent->body.index(), text);
      if (observer_ != nullptr) observer_->OnReceived(*sent);
      end.receiver()->OnMessage(*sent);
    });
  }
}

void SimNetwork::Tell(NodeId node, NodeId of, bool connected) {
  if (ends_.count(node) == 0) return;
  const Duration delay(random_.Between(0, faults_.delay_max.count()));
  After(delay, node, [of, connected](RaftTransport::Receiver& receiver) {
    if (connected) {
      receiver.OnConnected(of);
    } else {
      receiver.OnDisconnected(of);
    }
  });
}

void SimNetwork::OnAttached(NodeId node) {
  for (const auto& [other, end] : ends_) {
    if (other == node || end->receiver() == nullptr || IsCut(node, other) || IsCut(other, node))
      continue;
    Tell(node, other, true);
    Tell(other, node, true);
  }
}

void SimNetwork::OnDetached(NodeId node, const End* end) {
  if (ends_[node] != end) return;
  ends_.erase(node);
  for (const auto& [other, unused] : ends_) Tell(other, node, false);
}

void SimNetwork::Cut(NodeId from, NodeId to, bool noticed) {
  if (!cuts_.insert({from, to}).second || !noticed) return;
  Tell(from, to, false);
  Tell(to, from, false);
}

void SimNetwork::Isolate(NodeId node, const std::vector<NodeId>& nodes, Random& random) {
  const bool noticed = random.Chance(0.5);
  const bool to = random.Chance(0.8);
  const bool from = !to || random.Chance(0.7);
  for (const NodeId other : nodes) {
    if (other == node) continue;
    if (to) Cut(other, node, noticed);
    if (from) Cut(node, other, noticed);
  }
}

void SimNetwork::CutSome(const std::vector<NodeId>& nodes, Random& random) {
  const double share = random.Fraction();
  for (const NodeId from : nodes) {
    for (const NodeId to : nodes) {
      if (from != to && random.Chance(share)) Cut(from, to, random.Chance(0.5));
    }
  }
}

void SimNetwork::HealAll() {
  for (const auto& [from, to] : std::exchange(cuts_, {})) {
    Tell(from, to, true);
    Tell(to, from, true);
  }
}

}  // namespace gregor
