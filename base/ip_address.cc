#include "base/ip_address.h"

#include <arpa/inet.h>

namespace gregor {

std::optional<std::string> CanonicalAddress(const std::string& text) {
  in6_addr address;
  char written[INET6_ADDRSTRLEN];
  for (const int family : {AF_INET, AF_INET6}) {
    if (inet_pton(family, text.c_str(), &address) != 1 || text.find('\0') != std::string::npos)
      continue;
    return inet_ntop(family, &address, written, sizeof written);
  }
  return std::nullopt;
}

}  // namespace gregor
