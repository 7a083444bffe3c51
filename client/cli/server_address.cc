#include "client/cli/server_address.h"

#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "client/cli/record_format.h"

namespace gregor {
namespace {

constexpr char kDefaultPort[] = "9094";

Error BadAddress(const std::string& text, const std::string& why) {
  return Error(Reason::kInvalidArgument, "\"" + text + "\" is no HOST:PORT: " + why);
}

bool ConsistsOf(std::string_view text, std::string_view others) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           others.find(c) != std::string_view::npos;
  });
}

Result<std::string> ParseOne(const std::string& text) {
  if (text.find("://") != std::string::npos)
    return BadAddress(text, "a host and a port of the gRPC API are wanted, without scheme");
  const bool in_brackets = text.starts_with('[');
  const size_t bracket = text.find(']');
  if (in_brackets && bracket == std::string::npos) return BadAddress(text, "the ] is missing");
  const size_t colon = text.find(':', in_brackets ? bracket : 0);
  if (!in_brackets && colon != text.rfind(':'))
    return BadAddress(text, "an IPv6 address is written in brackets, [::1]:9094");
  const std::string host = text.substr(0, colon);
  const bool is_host =
      in_brackets ? host.size() == bracket + 1 && ConsistsOf(host.substr(1, bracket - 1), ":.%-_")
                  : ConsistsOf(host, ".-_");
  if (!is_host) return BadAddress(text, "\"" + host + "\" is no name or address of a host");
  if (colon == std::string::npos) return host + ":" + kDefaultPort;
  const std::string port = text.substr(colon + 1);
  int64_t number = 0;
  if (!ParseWholeNumber(port, &number) || number < 1 || number > 65535)
    return BadAddress(text, "the port \"" + port + "\" is no number from 1 to 65535");
  return host + ":" + std::to_string(number);
}

}  // namespace

Result<std::string> ParseServerAddresses(const std::string& text) {
  std::string addresses;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    ASSIGN_OR_RETURN(const std::string address, ParseOne(text.substr(begin, end - begin)));
    addresses += (addresses.empty() ? "" : ",") + address;
    begin = end + 1;
  }
  return addresses;
}

Result<std::string> ChooseServer(const std::string& given) {
  if (!given.empty()) return given;
  const char* const variable = std::getenv("GREGOR_SERVER");
  if (variable == nullptr || *variable == 0) return std::string(kDefaultServer);
  auto addresses = ParseServerAddresses(variable);
  if (addresses.ok()) return addresses;
  return Error(Reason::kInvalidArgument,
               "GREGOR_SERVER in the environment: " + addresses.error().message);
}

}  // namespace gregor
