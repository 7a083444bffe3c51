#include "rpc/queue/grpc_log.h"

#include <google/protobuf/stubs/logging.h>
#include <grpc/support/log.h>

#include <string_view>

#include "base/check.h"

namespace gregor {
namespace {

void OnLog(gpr_log_func_args* args) {
  if (args->severity != GPR_LOG_SEVERITY_ERROR) {
    VLOG(1) << "gRPC: " << args->message;
    return;
  }
  const std::string_view message = args->message;
  // A node has one certificate, whatever it is called.
  if (message.find("No match found for server name") != std::string_view::npos) return;
  // A connection was given up before it stood: another attempt has taken its place.
  if (message.find("cancel_check_peer") != std::string_view::npos) return;
  // Nor did a connection that was reset as it came.
  if (message.find("Failed getpeername") != std::string_view::npos) return;
  // Whoever connects can cause these.
  if (message.find("Handshake failed") != std::string_view::npos) {
    LOG_EVERY_T(WARNING, 10) << "A TLS connection was refused, by this node or the other end ("
                             << message
                             << "): compare both certificates (`gregor cert show`). Who signed "
                                "them, are they valid, and "
                                "do both ends use TLS?";
    return;
  }
  LOG(WARNING) << "gRPC: " << message;
}

// Errors of the parser are the client's, which is told of them: anybody could fill the log.
void OnProtobufLog(google::protobuf::LogLevel level, const char* file, int line,
                   const std::string& message) {
  if (level == google::protobuf::LOGLEVEL_FATAL) {
    LOG(ERROR) << "Protobuf: " << message << " (" << file << ":" << line << ")";
  } else {
    VLOG(1) << "Protobuf: " << message;
  }
}

}  // namespace

void SendGrpcLogToGlog() {
  gpr_set_log_function(OnLog);
  google::protobuf::SetLogHandler(OnProtobufLog);
}

}  // namespace gregor
