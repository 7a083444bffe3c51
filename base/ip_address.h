#ifndef GREGOR_BASE_IP_ADDRESS_H_
#define GREGOR_BASE_IP_ADDRESS_H_

#include <optional>
#include <string>

namespace gregor {

// An IPv4 or IPv6 address in the one way of writing it, that of inet_ntop(3); nullopt where the
// text is none. Thread: any.
std::optional<std::string> CanonicalAddress(const std::string& text);

}  // namespace gregor

#endif  // GREGOR_BASE_IP_ADDRESS_H_
