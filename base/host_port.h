#ifndef GREGOR_BASE_HOST_PORT_H_
#define GREGOR_BASE_HOST_PORT_H_

#include <cstdint>
#include <string>

namespace gregor {

// "host:port", with brackets around an IPv6 address, which may have them already. Thread: any.
std::string JoinHostPort(const std::string& host, int32_t port);

}  // namespace gregor

#endif  // GREGOR_BASE_HOST_PORT_H_
