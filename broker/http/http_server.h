#ifndef GREGOR_BROKER_HTTP_HTTP_SERVER_H_
#define GREGOR_BROKER_HTTP_HTTP_SERVER_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "base/result.h"

namespace gregor {

// A small HTTP/1.1 server for what operators and their tools read: metrics, liveness, readiness,
// version. GET and HEAD only. One thread of its own ("http"), so that it answers while everything
// else is busy. Bounded: header size, the time in which a request must have arrived, and
// connections; beyond their limit the one that has waited longest for a request makes room.
class HttpServer {
 public:
  struct Reply {
    int status = 200;
    std::string content_type = "text/plain; charset=utf-8";
    std::string body;
  };
  // Makes the reply for a path. Thread: the server's; must not block.
  using Handler = std::function<Reply()>;

  struct Options {
    std::string host = "127.0.0.1";
    uint16_t port = 9095;                           // 0: a free one
    std::map<std::string, Handler> handlers;        // by path, such as "/metrics"
    size_t connections_max = 256;                   // at least 1
    std::chrono::milliseconds idle_timeout{30000};  // for a whole request, and between two
  };

  // Fails with kInvalidConfig where the address cannot be listened on (in use, not of this
  // machine), saying so.
  static Result<std::unique_ptr<HttpServer>> Start(Options options);
  // Closes all connections and stops the thread.
  virtual ~HttpServer() = default;

  // The port that was really bound.
  virtual uint16_t port() const = 0;
};

}  // namespace gregor

#endif  // GREGOR_BROKER_HTTP_HTTP_SERVER_H_
