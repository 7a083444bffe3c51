#include "broker/grpc/grpc_log.h"

#include <grpc/support/log.h>

#include <optional>

#include "base/check.h"
#include "base/thread_annotations.h"

namespace gregor {
namespace {

constexpr size_t kCapturedBytesMax = 64 << 10;

struct Captured {
  Mutex mutex;
  std::optional<std::string> text TS_GUARDED_BY(mutex);
};

Captured& TheCaptured() {
  static Captured captured;
  return captured;
}

void OnLog(gpr_log_func_args* args) {
  if (args->severity != GPR_LOG_SEVERITY_ERROR) {
    VLOG(1) << "gRPC: " << args->message;
    return;
  }
  Captured& captured = TheCaptured();
  {
    const MutexLock lock(captured.mutex);
    if (captured.text.has_value()) {
      if (captured.text->size() < kCapturedBytesMax) *captured.text += args->message;
      return;
    }
  }
  LOG(WARNING) << "gRPC: " << args->message;
}

}  // namespace

void SendGrpcLogToGlog() { gpr_set_log_function(OnLog); }

GrpcLogCapture::GrpcLogCapture() {
  const MutexLock lock(TheCaptured().mutex);
  CHECK(!TheCaptured().text.has_value());
  TheCaptured().text.emplace();
}

GrpcLogCapture::~GrpcLogCapture() {
  const MutexLock lock(TheCaptured().mutex);
  TheCaptured().text.reset();
}

std::string GrpcLogCapture::text() const {
  const MutexLock lock(TheCaptured().mutex);
  return *TheCaptured().text;
}

}  // namespace gregor
