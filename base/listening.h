#ifndef GREGOR_BASE_LISTENING_H_
#define GREGOR_BASE_LISTENING_H_

#include <cstdint>
#include <string>

#include "base/result.h"

namespace gregor {

// An address to listen on, the same words for every listener.
struct ListenAddress {
  std::string host;
  uint16_t port = 0;
  std::string api;   // what listens there: "gRPC", "the cluster's other nodes"
  std::string flag;  // which says where: "--grpc-listen"
  // To be known where another port is chosen.
  std::string remark = "port 0: a free one";

  // "host:port", with brackets around an IPv6 address.
  std::string ToString() const;
};

// Why that failed and what to do, as kInvalidConfig with the detail `address`. `cause` is what the
// library that listens says, in the system's words among its own.
Error CannotListen(const ListenAddress& address, const std::string& cause);

}  // namespace gregor

#endif  // GREGOR_BASE_LISTENING_H_
