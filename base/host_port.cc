#include "base/host_port.h"

namespace gregor {

std::string JoinHostPort(const std::string& host, int32_t port) {
  const bool needs_brackets = host.find(':') != std::string::npos && host.front() != '[';
  return (needs_brackets ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

}  // namespace gregor
