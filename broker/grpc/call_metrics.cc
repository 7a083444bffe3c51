#include "broker/grpc/call_metrics.h"

#include <utility>

namespace gregor {
namespace {

constexpr const char* kCodeNames[] = {
    "OK",        "CANCELLED",      "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
    "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
    "ABORTED",   "OUT_OF_RANGE",   "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
    "DATA_LOSS", "UNAUTHENTICATED"};

}  // namespace

std::string StatusCodeName(grpc::StatusCode code) {
  const auto index = static_cast<size_t>(code);
  return index < std::size(kCodeNames) ? kCodeNames[index] : std::to_string(index);
}

MethodMetrics::MethodMetrics(Metrics& metrics, std::string method)
    : metrics_(metrics), method_(std::move(method)) {}

void MethodMetrics::Ended(grpc::StatusCode code) {
  const auto index = static_cast<size_t>(code) < kCodes ? static_cast<size_t>(code)
                                                        : static_cast<size_t>(grpc::UNKNOWN);
  Counter* counter = ended_[index].load(std::memory_order_acquire);
  if (counter == nullptr) {
    counter = &metrics_.AddCounter("gregor_grpc_calls_total", "Calls that have ended.",
                                   {{"method", method_}, {"code", kCodeNames[index]}});
    ended_[index].store(counter, std::memory_order_release);
  }
  counter->Add();
}

Gauge& MethodMetrics::AddOpen() {
  return metrics_.AddGauge("gregor_grpc_streams_open", "Streams that are open.",
                           {{"method", method_}});
}

LatencyHistogram& MethodMetrics::AddLatency(const std::string& name, const std::string& help) {
  return metrics_.AddLatency(name, help, {{"method", method_}});
}

Counter& MethodMetrics::AddBytes(const std::string& name, const std::string& help) {
  return metrics_.AddCounter(name, help, {{"method", method_}});
}

}  // namespace gregor
