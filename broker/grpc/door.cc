#include "broker/grpc/door.h"

#include <algorithm>
#include <utility>

#include "broker/grpc/hot_call.h"
#include "broker/grpc/hot_stream.h"

namespace gregor {
namespace {

// Fetches of others may wait for what is held: little is left, or the largest batch does not fit.
bool IsFetchMemoryShort(const BrokerApi& broker) {
  const Budget& memory = broker.fetch_memory();
  const size_t largest = std::min(broker.message_bytes_limit() + kEnvelopeBytes, memory.max());
  return memory.max() - memory.used() < std::max(memory.max() / 4, largest);
}

}  // namespace

Door::Door(BrokerApi& broker, GrpcServer::Options options, std::shared_ptr<DrainSignal> drain,
           std::unique_ptr<grpc::ServerCompletionQueue> queue)
    : broker(broker),
      options(std::move(options)),
      own_metrics(this->options.metrics == nullptr ? Metrics::Create() : nullptr),
      metrics(own_metrics != nullptr ? *own_metrics : *this->options.metrics),
      drain(std::move(drain)),
      queue(std::move(queue), "grpc-hot"),
      produce_gate(this->options.produce_bytes_max),
      slot_memory(this->options.memory_bytes_max / 4),
      decode_loop_(NewThreadLoop("grpc-decode")),
      control_loop_(NewThreadLoop("grpc-control")) {}

Door::~Door() = default;

void Door::Watch() {
  constexpr Duration kSlowest = std::chrono::seconds(1);
  const Duration interval =
      std::min({kSlowest, options.heartbeat_interval / 4, options.call_timeout / 4});
  // No call holds the door by this: the queue drops the task when it closes.
  queue.After(interval, [this] {
    Tick();
    Watch();
  });
}

void Door::Tick() {
  const MonotonicTime now = SystemClock().Now();
  while (!endless.empty()) {
    const auto oldest = endless.front().lock();
    if (oldest == nullptr) {  // the broker dropped it
      endless.pop_front();
      continue;
    }
    if (oldest->arrived() + options.call_timeout > now) break;
    oldest->Expire();
  }
  const bool is_short = IsFetchMemoryShort(broker);
  for (const auto& stream : LivingStreams()) stream->OnTick(now, is_short);
  if (!is_short) return;
  for (const auto& call : LivingCalls()) call->CutIfUntaken(now - options.fetch_stalled_after);
}

void Door::BreakOff() {
  for (const auto& call : LivingCalls()) call->BreakOff();
  for (const auto& stream : LivingStreams()) stream->BreakOff();
}

std::vector<std::shared_ptr<HotUnary>> Door::LivingCalls() {
  std::vector<std::shared_ptr<HotUnary>> living;
  for (const auto* const list : {&endless, &bounded}) {
    for (const auto& each : *list) {
      if (auto call = each.lock()) living.push_back(std::move(call));
    }
  }
  return living;
}

std::vector<std::shared_ptr<HotStream>> Door::LivingStreams() {
  std::vector<std::shared_ptr<HotStream>> living;
  std::erase_if(streams, [&](const auto& entry) {
    auto stream = entry.second.lock();
    if (stream == nullptr) return true;
    living.push_back(std::move(stream));
    return false;
  });
  return living;
}

std::shared_ptr<ByteGate> Door::ConnectionOf(const std::string& peer) {
  const MutexLock lock(connections_mutex_);
  auto& entry = connections_[peer];
  auto gate = entry.lock();
  if (gate == nullptr) {
    gate = std::make_shared<ByteGate>(options.connection_unsent_bytes_max);
    entry = gate;
  }
  if (connections_.size() >= connections_sweep_) {
    std::erase_if(connections_, [](const auto& each) { return each.second.expired(); });
    connections_sweep_ = 2 * connections_.size() + 64;
  }
  return gate;
}

void Door::Decode(Task work) {
  queue.Begin([&] { decode_loop_->Post("grpc.decode", std::move(work)); });
}

void Door::OnControl(Task work) {
  bool here = false;
  queue.Begin([&] {
    here = control_loop_->InLoop();
    if (!here) control_loop_->Post("grpc.control", std::move(work));
  });
  if (here) work();
}

void Door::StopLoops() {
  decode_loop_.reset();
  control_loop_.reset();
}

}  // namespace gregor
