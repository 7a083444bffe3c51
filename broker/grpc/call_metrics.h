#ifndef GREGOR_BROKER_GRPC_CALL_METRICS_H_
#define GREGOR_BROKER_GRPC_CALL_METRICS_H_

#include <grpcpp/support/status_code_enum.h>

#include <array>
#include <atomic>
#include <string>

#include "base/metrics.h"

namespace gregor {

// The numbers of one method's calls (docs/operations.md): gregor_grpc_calls_total by code, and what
// else is asked for. Thread: any.
class MethodMetrics {
 public:
  // `method` as on the wire, without the leading slash: "gregor.v1.ProduceService/Produce".
  // REQUIRES: `metrics` outlives this.
  MethodMetrics(Metrics& metrics, std::string method);

  const std::string& method() const { return method_; }
  // A call has ended. Codes that were never seen are not shown.
  void Ended(grpc::StatusCode code);
  Gauge& AddOpen();
  LatencyHistogram& AddLatency(const std::string& name, const std::string& help);
  Counter& AddBytes(const std::string& name, const std::string& help);

 private:
  static constexpr size_t kCodes = 17;

  Metrics& metrics_;
  const std::string method_;
  std::array<std::atomic<Counter*>, kCodes> ended_{};
};

// "NOT_FOUND", as the gRPC documents write it.
std::string StatusCodeName(grpc::StatusCode code);

}  // namespace gregor

#endif  // GREGOR_BROKER_GRPC_CALL_METRICS_H_
